"""The live view and its frames."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plays import AsciiStream, Play, drawn, new_spec
from rich.cells import cell_len
from rich.console import Console

from sweep.core import events as ev
from sweep.core import plan
from sweep.core.plan import survival
from sweep.core.spec import Budget, FloatRange, Resources, Retries, Scheduler, Search, StudySpec
from sweep.core.study import StudyMachine
from sweep.core.trial import TrialState
from sweep.store.paths import StudyPaths
from sweep.watch.frame import Canvas, frame
from sweep.watch.live import LiveView
from sweep.watch.summary import summary
from sweep.watch.tables import best, status, studies_table, study_row, trial_story, trials_csv, trials_table
from sweep.watch.tails import Tails
from sweep.watch.tally import Tally
from sweep.watch.text import glyphs_for


def tally_of(play: Play) -> Tally:
    spec = play.machine.spec
    tally = Tally(spec, [rung.t for rung in plan.make(spec, slots=3).rungs])
    machine = StudyMachine(spec)
    for event in play.events:
        machine.handle(event)
        tally.take(machine, event)
    return tally


def picture(play: Play, size: tuple[int, int], encoding: str = "utf-8") -> list[str]:
    canvas = Canvas(glyphs_for(encoding), *size)
    made = plan.make(play.machine.spec, slots=3)
    return drawn(frame(tally_of(play), made, canvas, play.now, Tails(StudyPaths(Path("studies/toy")))), size)


def started(spec: StudySpec, steps: int, **kinds: int) -> Play:
    play = Play(spec)
    play.begin(notes=["No GPU here."], dashboard="http://127.0.0.1:8265")
    for turn in range(1, steps + 1):
        play.step("failed" if turn == kinds.get("fail_at") else "report")
    return play


def test_frame_says_what_it_promises(spec, size):
    play = started(spec, 22, fail_at=9)
    lines = picture(play, size)
    text = "\n".join(lines)
    assert max(map(cell_len, lines)) <= size[0]
    assert len(lines) <= size[1]
    top = play.machine.best
    assert "toy  ·  running" in lines[0]
    assert f"trial {top.number} at epoch" in lines[1]
    assert "of 12 trials" in lines[2]
    assert "of 3 slots busy" in text
    assert "GPU each" not in text  # these trials run on the CPU
    assert "http://127.0.0.1:8265" in text
    assert "within the best" in text
    assert "ValueError: no [bold]luck[/bold] ✗" in text
    assert "attempt-1.log" in text
    assert "optimizer" in text
    assert "width" not in text  # constants say nothing


@pytest.mark.parametrize("rows", range(1, 12))
def test_frame_never_exceeds_a_small_height_once_its_head_fits(spec, rows):
    lines = picture(started(spec, 22, fail_at=9), (80, rows))
    assert len(lines) <= max(rows, 5)


def test_frame_says_how_many_running_trials_it_hides():
    play = Play(new_spec(budget=Budget(trials=60)), slots=40)
    play.begin()
    for _ in range(45):
        play.step()
    lines = picture(play, (80, 24))
    shown = sum(line.startswith("   ") and "/9" in line for line in lines)
    assert f"and {40 - shown} more running" in "\n".join(lines)


def test_a_wide_terminal_has_room_for_share_memory_pace_and_place():
    play = Play(new_spec(resources=Resources(gpu=0.25)))
    play.begin()
    for _ in range(4):
        play.step()
    for trial in list(play._running):
        play.report(trial, gpu_memory_gib=1.25)
    wide = picture(play, (150, 40))
    head = next(line for line in wide if line.startswith("trial"))
    rows = [line for line in wide if "node-1" in line]
    assert rows
    assert [word in head for word in ("where", "gpu", "memory", "s/epoch")] == [True] * 4
    assert all("node-1 cpu" in row and "0.25" in row and "1.2GiB" in row for row in rows)
    narrow = "\n".join(picture(play, (80, 40)))
    assert "where" not in narrow
    assert "lr" in narrow


def test_frame_keeps_its_lines_between_two_trials():
    play = Play(new_spec(), slots=1)
    play.begin()
    play.step()
    while play.machine.running():
        play.report(0)
    between = picture(play, (80, 24))
    assert "    -  1 starting" in between
    play.step()
    assert len(picture(play, (80, 24))) == len(between)


def test_frame_names_the_share_of_trials_on_a_gpu():
    play = Play(new_spec(), slots=2)
    play.begin()
    trial, attempt = play._to_start.pop(0)
    play.handle(ev.AttemptStarted(time=play.now, trial=trial, attempt=attempt, node="node-1", device="cuda:0"))
    assert "1 of 2 slots busy, 0.25 GPU each" in "\n".join(picture(play, (80, 24)))


def test_frame_says_why_trials_cannot_begin_until_they_do():
    play = Play(new_spec(), slots=2)
    play.begin()
    play.handle(ev.Delayed(time=play.now, attempts=2, reason="other work on this Ray holds 4 of 4 CPU"))
    text = "\n".join(picture(play, (80, 24)))
    assert "    -  2 starting" in text
    assert "can't begin: other work on this Ray holds 4 of 4 CPU" in text
    play.step()
    assert "can't begin" in "\n".join(picture(play, (80, 24)))
    play.step()
    assert "can't begin" not in "\n".join(picture(play, (80, 24)))


def test_frame_tells_trials_that_are_starting_from_those_that_wait():
    play = Play(new_spec(), slots=2)
    play.begin()
    text = "\n".join(picture(play, (80, 24)))
    assert "2 of 12 trials: 2 starting\n" in text
    assert "0 of 2 slots busy, 2 starting" in text
    assert "    -  2 starting" in text
    assert "waiting" not in text
    play.handle(ev.StopRequested(time=play.now, reason="SIGINT"))
    assert "starting" not in "\n".join(picture(play, (80, 24)))


def test_frame_shows_parameters_on_log_scale_first_where_room_is_short():
    linear = {name: FloatRange(min=0, max=1) for name in ("dim", "depth", "dropout", "smoothing")}
    play = Play(new_spec(parameters={**linear, "lr": FloatRange(min=1e-5, max=1e-1, log=True)}))
    play._config = lambda: {**dict.fromkeys(linear, 0.5), "lr": 1e-3}
    play.begin()
    play.step()
    head = next(line for line in picture(play, (80, 24)) if "trial " in line and "val_loss" in line)
    assert head.split()[:3] == ["trial", "lr", "dim"]
    assert "smoothing" not in head


def test_rungs_that_nobody_reached_have_no_zeros(spec):
    play = started(spec, 5)
    (rung,) = (line for line in picture(play, (80, 24)) if line.strip().startswith("epoch 9"))
    assert rung.split() == ["epoch", "9"]
    (row,) = (line for line in drawn(status(play.machine, StudyPaths(Path("toy")))) if line.split()[:1] == ["9"])
    assert row.split() == ["9"]


def test_frame_in_ascii_is_ascii(spec):
    text = "\n".join(picture(started(spec, 22, fail_at=9), (80, 24), "ascii"))
    assert text.isascii()
    assert "luck[/bold] ?" in text


def test_time_left_is_not_guessed_from_a_few_trials(spec):
    play = started(spec, 5)
    assert tally_of(play).time_left(play.now) is None


def test_time_left_is_at_most_what_the_budget_leaves():
    play = started(new_spec(budget=Budget(time="10m")), 5)
    left = tally_of(play).time_left(play.now + 60)
    assert left is not None
    assert not left.guessed
    assert left.seconds == pytest.approx(600 - 5 * 1.5 - 60)


def test_time_left_is_guessed_from_enough_trials():
    play = Play(new_spec(budget=Budget(trials=100)))
    play.begin()
    while tally_of(play).final < 10:
        play.step()
    left = tally_of(play).time_left(play.now)
    assert left is not None
    assert left.guessed
    assert left.seconds == pytest.approx(play.machine.elapsed_s / 10 * 90)


def test_time_left_is_not_bounded_while_paused_trials_may_go_on():
    play = Play(new_spec(budget=Budget(trials=4), scheduler=Scheduler(max_t=9, promote=True)), slots=1)
    play.begin()
    tally = tally_of(play)
    while not (play.machine.ending and any(row.t > row.first_t for row in tally.running.values())):
        play.step()
        tally = tally_of(play)
    assert tally.counts[TrialState.PAUSED]
    assert tally.time_left(play.now) is None


def test_time_left_of_the_last_trials_is_bounded_by_the_slowest():
    play = Play(new_spec(budget=Budget(trials=2), scheduler=Scheduler(max_t=9, type="none")), slots=2)
    play.begin()
    play.step()
    play.step()
    assert tally_of(play).time_left(play.now) is None
    for trial in (0, 1, 1, 1):
        play.now += 10
        play.report(trial)
    left = tally_of(play).time_left(play.now)
    assert left is not None
    assert not left.guessed
    assert left.seconds == pytest.approx((40 + 1.5) * 8)


def test_tally_of_a_resumed_study_equals_the_one_that_saw_everything(spec):
    play = started(spec, 25, fail_at=9)
    play.begin()
    whole = tally_of(play)
    late = Tally(spec, [rung.t for rung in plan.make(spec, slots=3).rungs])
    late.take(play.machine, play.events[-1])
    assert (late.counts, late.best, late.rungs) == (whole.counts, whole.best, whole.rungs)
    assert list(late.decisions) == list(whole.decisions)


def test_tally_that_comes_to_a_run_later_equals_the_one_that_saw_it_begin():
    play = Play(new_spec(budget=Budget(trials=40)))
    play.begin(dashboard="http://127.0.0.1:8265")
    for _ in range(60):
        play.step()
    whole = tally_of(play)
    late = Tally(play.machine.spec, [rung.t for rung in plan.make(play.machine.spec, slots=3).rungs])
    late.take(play.machine, play.events[-1])
    assert (late.slots, late.dashboard) == (3, "http://127.0.0.1:8265")
    assert late.final >= 6
    assert late.time_left(play.now) == whole.time_left(play.now)


def test_live_view_leaves_a_last_picture(spec):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24, color_system=None, _environ={})
    play = Play(spec)
    view = LiveView(console, plan.make(spec, slots=3), clock=lambda: play.now)
    play._seen = view.event
    play.to_the_end(fail_each=7)
    view.close()
    view.close()
    last = out.getvalue()[out.getvalue().rindex("toy  ·  complete") :]
    assert "budget.trials is used up" in last
    assert "trials/" in last
    assert "running" not in last
    assert "\x1b[?25h" in last  # the cursor is there again


def test_live_view_closed_before_any_event_writes_nothing(spec):
    out = io.StringIO()
    LiveView(Console(file=out), plan.make(spec, slots=1)).close()
    assert not out.getvalue()


def test_live_view_on_an_ascii_terminal(spec, ascii_stream: AsciiStream):
    console = Console(file=ascii_stream, force_terminal=True, width=80, height=24, color_system=None, _environ={})
    play = Play(spec)
    view = LiveView(console, plan.make(spec, slots=3), screen=True, clock=lambda: play.now)
    play._seen = view.event
    play.to_the_end(fail_each=5)
    view.close()
    assert "toy  |  complete" in ascii_stream.text()


values = st.one_of(st.none(), st.floats(), st.just(float("nan")))
happenings = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["report", "report", "report", "failed", "lost", "returned"]), values),
        st.tuples(st.sampled_from(["stop", "begin", "pause", "resume", "extend"]), st.none()),
    ),
    max_size=60,
)
specs = st.builds(
    new_spec,
    budget=st.sampled_from([Budget(trials=6), Budget(time="40s"), Budget(trials=20, failures=2), Budget(gpu_hours=1)]),
    scheduler=st.sampled_from([Scheduler(max_t=9), Scheduler(max_t=4, type="none"), Scheduler(max_t=9, brackets=2)]),
    retries=st.sampled_from([Retries(), Retries(max=1)]),
    search=st.sampled_from([Search(algorithm="random"), Search(repeats=1, finalists=2)]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(specs, happenings, st.sampled_from([(80, 24), (20, 5), (120, 40)]), st.sampled_from(["utf-8", "ascii"]))
def test_any_reachable_state_can_be_drawn(spec, happenings, size, encoding):
    play = Play(spec)
    play.begin()
    for kind, value in happenings:
        if kind == "stop":
            play.handle(ev.StopRequested(time=play.now, reason="SIGINT"))
        elif kind == "begin":
            play.begin()
        elif kind in ("pause", "resume", "extend"):
            play.ask(kind)
        else:
            play.step(kind, value)
    lines = picture(play, size, encoding)
    assert max(map(cell_len, lines)) <= size[0]
    tally, machine, paths = tally_of(play), play.machine, StudyPaths(Path("nowhere"))
    assert tally.counts == machine.counts()
    assert (tally.best.trial if tally.best else None) == (machine.best.number if machine.best else None)
    searched = [trial for trial in machine.trials.values() if trial.repeat_of is None]
    counted = survival(searched, [r.t for r in tally.rungs], machine.metric)
    assert [(rung.t, rung.reached, rung.best) for rung in tally.rungs] == counted
    assert set(tally.running) == {n for n, t in machine.trials.items() if t.state is TrialState.RUNNING}
    views = [
        studies_table([study_row(machine, paths)]), status(machine, paths, live=True), trials_table(machine),
        best(machine, paths), summary(machine, paths), *(trial_story(machine, paths, n) for n in machine.trials),
    ]  # fmt: skip
    for view in views:
        view.json()
        assert max(map(cell_len, drawn(view, size)), default=0) <= size[0]
    assert trials_csv(machine).count("\n") == len(machine.trials) + 1


def test_word_said_in_a_signal_handler_stands_in_the_view(finished, spec):
    console = Console(width=80, height=24, file=io.StringIO(), force_terminal=True)
    view = LiveView(console, plan.make(spec, slots=2))
    view.event(finished, ev.RunStarted(time=1.0, executor="inline", slots=2))
    view.note("running trials end at their next report")
    lines = ["".join(segment.text for segment in line) for line in console.render_lines(view.picture())]
    view.close()
    assert lines[0].startswith("running trials end at their next report")
    assert len(lines) < 24
