"""What people ask of a study: whether it is granted, what it changes, and that a replay does the same."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from study_runs import Run, spec, told

from sweep.core import commands as core
from sweep.core import control
from sweep.core import events as ev
from sweep.core.spec import Budget, Metric, Resources, Retries, Scheduler, Search
from sweep.core.study import StudyMachine, replay
from sweep.core.trial import TrialState

_ids = (f"request-{number}" for number in itertools.count())


class Asked(Run):
    """A run of which things are asked, as the driver does it; attempts that are to end now do."""

    def ask(self, verb, **arguments):
        request = ev.Request(id=next(_ids), time=self.tick(), verb=verb, **arguments)
        accepted, answer = control.consider(self.machine, request)
        event = ev.Controlled(time=self.tick(), request=request, accepted=accepted, answer=answer)
        self.ends = [c for c in self.handle(event) if isinstance(c, core.EndAttempt)]
        for each in self.ends:
            self.end(each.trial, each.attempt, "stopped")
        self.finish()
        return accepted, answer

    def handle(self, event):
        commands = super().handle(event)
        for command in commands:
            if isinstance(command, core.CreateRepeat):
                config = self.machine.trials[command.of].config
                self.handle(ev.TrialCreated(time=self.tick(), trial=command.trial, config=config, repeat_of=command.of))
        return commands

    def finish(self):
        """What the driver writes when there is nothing left to do."""
        if self.commands and isinstance(self.commands[-1], core.EndRun) and self.machine.run:
            end = self.commands[-1]
            self.handle(ev.RunEnded(time=self.tick(), reason=end.reason, complete=end.complete))

    def die(self):
        """The driver is gone, and whoever asks next has noticed."""
        self.starts.clear()
        self.handle(ev.RunEnded(time=self.tick(), reason="its driver ended without a word", complete=False))

    def complete(self, loss=0.5, **metrics):
        """Start what is next and take it to max_t."""
        trial, attempt = self.start()
        self.report(trial, attempt, 9, loss=loss, **metrics)
        self.end(trial, attempt, "returned")
        self.finish()
        return trial

    def states(self):
        return [trial.state.value for trial in self.machine.trials.values()]


def begun(slots=2, **changes):
    run = Asked(spec(**changes), slots)
    run.begin()
    return run


def test_stop_creates_no_more_trials_and_lets_those_at_work_come_to_their_ends():
    run = begun()
    run.start(), run.start()
    assert run.ask("stop") == (True, "no new trials; 2 trials at work go to the end")
    assert run.report(0, 1, 1, loss=0.5).action == "advance"
    assert run.report(0, 1, 9, loss=0.5).action == "finish"
    run.end(0, 1, "returned")
    assert len(run.machine.trials) == 2
    assert not run.ended()
    run.report(1, 1, 9, loss=0.4)
    run.end(1, 1, "returned")
    assert run.ended() == [core.EndRun("stopped by a person", complete=True)]
    assert run.states() == ["complete", "complete"]


def test_stopped_study_retries_a_trial_that_is_lost():
    run = begun(slots=1)
    run.start()
    run.ask("stop")
    run.end(0, 1, "lost")
    assert [(start.trial, start.attempt) for start in run.starts] == [(0, 2)]


def test_cancel_ends_every_attempt_now_and_the_study_with_them():
    run = begun()
    run.start(), run.start()
    run.report(0, 1, 1, loss=0.5)
    accepted, answer = run.ask("cancel")
    assert (accepted, answer) == (True, "the study is cancelled: 2 trials end now")
    assert [(end.trial, end.attempt) for end in run.ends] == [(0, 1), (1, 1)]
    assert run.states() == ["stopped", "stopped"]
    assert run.machine.trials[1].reason == "cancelled by a person"
    assert told(run) == {0: ("stopped", 0.5), 1: ("stopped", None)}
    assert run.machine.ended.complete


def test_cancel_ends_attempts_that_a_halted_study_waits_for():
    run = begun(budget=Budget(time=60.0))
    run.start(), run.start()
    run.tick(100)
    run.handle(ev.Ticked(time=run.tick()))
    assert not run.ended()
    assert run.ask("cancel") == (True, "2 trials at work end now")
    assert run.machine.ended.complete


def test_trial_that_reached_its_end_is_overthough_the_study_is_cancelled_before_its_process_is_gone():
    run = begun(slots=1)
    run.start()
    run.report(0, 1, 9, loss=0.5)
    run.ask("cancel")
    assert run.states() == ["complete"]


def test_pause_starts_nothing_until_resumed_and_trials_at_work_go_on():
    run = begun(slots=2)
    run.start()
    assert run.ask("pause") == (True, "no trial is started; 1 trial at work goes on; sweep resume s goes on")
    before = len(run.machine.trials)
    run.report(0, 1, 9, loss=0.5)
    run.end(0, 1, "returned")
    assert len(run.machine.trials) == before
    assert not run.ended()
    run.ask("resume")
    assert len(run.machine.trials) == before + 1
    assert not run.machine.paused


def test_paused_study_whose_trials_have_all_ended_ends():
    run = begun(slots=1, budget=Budget(trials=1))
    run.start()
    run.ask("pause")
    run.report(0, 1, 9, loss=0.5)
    run.end(0, 1, "returned")
    assert run.ended()[0].complete


def test_paused_study_keeps_a_trial_that_waits_to_go_on():
    run = begun(slots=1, budget=Budget(trials=1))
    run.start()
    run.ask("pause")
    run.end(0, 1, "lost")
    assert not run.ended()
    assert not run.starts
    run.ask("resume")
    assert [start.attempt for start in run.starts] == [2]


def test_paused_study_is_interrupted_like_any_other():
    run = begun(slots=1)
    run.ask("pause")
    run.handle(ev.StopRequested(time=run.tick(), reason="Ctrl-C"))
    run.finish()
    assert not run.machine.ended.complete
    run.begin()
    assert [start.trial for start in run.starts] == [0]


def test_time_stands_still_while_a_paused_study_has_nothing_at_work():
    run = begun(slots=1, budget=Budget(time=1000.0, trials=9))
    run.start()
    run.ask("pause")
    run.tick(100)
    run.report(0, 1, 9, loss=0.5)
    run.end(0, 1, "returned")
    spent = run.machine.elapsed_s
    assert spent > 100, "a trial at work takes time"
    run.tick(5000)
    assert not run.machine.overdue(run.now)
    run.ask("resume")
    assert run.machine.elapsed_s == pytest.approx(spent, abs=5)
    assert run.machine.ending is None


def test_new_driver_lifts_a_pause():
    run = begun()
    run.ask("pause")
    run.die()
    run.begin()
    assert not run.machine.paused
    assert run.starts


@pytest.mark.parametrize("verb", ["stop", "cancel", "pause"])
def test_study_that_has_ended_refuses(verb):
    run = begun(slots=1, budget=Budget(trials=1))
    run.complete()
    before = run.machine.ended
    accepted, answer = run.ask(verb)
    assert not accepted
    assert answer == f"study 's' has ended: budget.trials is used up: 1 trial. There is nothing left to {verb}."
    assert run.machine.ended is before


def test_study_that_is_at_work_and_not_paused_refuses_to_resume():
    assert begun().ask("resume") == (False, "study 's' isn't paused.")


def test_paused_study_refuses_another_pause():
    run = begun()
    run.ask("pause")
    assert run.ask("pause") == (False, "study 's' is paused already.")


# One trial


def test_stopped_trial_ends_at_its_next_report_and_the_study_goes_on():
    run = begun()
    run.start(), run.start()
    assert run.ask("stop", trial=1) == (True, "trial 1 ends at its next report")
    assert run.ends == []
    assert run.report(0, 1, 1, loss=0.5).action == "advance"
    decision = run.report(1, 1, 1, loss=0.1)
    assert (decision.action, decision.reason) == ("stop", "stopped by a person")
    run.end(1, 1, "stopped")
    assert run.machine.trials[1].state is TrialState.STOPPED
    assert run.machine.ending is None


def test_cancelled_trial_ends_now_and_is_no_failure_though_it_never_reported():
    run = begun()
    run.start(), run.start()
    run.ask("cancel", trial=0)
    assert [(end.trial, end.attempt) for end in run.ends] == [(0, 1)]
    assert run.states()[0] == "stopped"
    assert told(run)[0] == ("stopped", None)
    assert run.machine.ending is None


def test_waiting_trial_is_stopped_without_an_attempt():
    run = begun(slots=1, budget=Budget(trials=3))
    run.start()
    run.die()
    run.ask("stop", trial=0)
    assert run.states() == ["stopped"]
    run.begin()
    assert [start.trial for start in run.starts] == [1]


def test_trial_whose_attempt_is_on_its_way_is_ended_when_it_begins():
    run = begun(slots=1)
    run.ask("cancel", trial=0)
    assert run.states() == ["waiting"]
    run.start()
    assert core.EndAttempt(0, 1) in run.commands
    run.end(0, 1, "stopped")
    assert run.states()[0] == "stopped"


def test_trial_that_is_unknown_or_has_ended_is_refused():
    run = begun(slots=1)
    run.complete()
    assert run.ask("cancel", trial=7) == (False, "study 's' has no trial 7. It has 0 to 1.")
    assert run.ask("stop", trial=0) == (False, "trial 0 has ended: it is complete (reached max_t (epoch 9)).")


# Retry


def failed(run, cause=None):
    trial, attempt = run.start()
    run.end(trial, attempt, "failed", "ValueError: no", cause)
    run.finish()


def test_failed_trials_of_an_ended_study_get_a_further_attempt_and_it_creates_no_others():
    run = begun(slots=1, budget=Budget(trials=2))
    failed(run)
    run.complete()
    assert run.states() == ["failed", "complete"]
    assert run.ask("retry", which="failed") == (True, "1 trial gets a further attempt: 0")
    assert run.machine.ended is None, "there is something to resume"
    run.begin()
    assert [(start.trial, start.attempt) for start in run.starts] == [(0, 2)]
    run.complete(loss=0.1)
    assert run.states() == ["complete", "complete"]
    assert run.machine.best.number == 0
    assert len(run.ended()) == 2
    assert run.machine.counts()[TrialState.FAILED] == 0


def test_retry_on_a_live_study_tells_the_driver_to_teach_its_sampler_anew():
    run = begun(slots=1, budget=Budget(trials=4))
    failed(run)
    run.ask("retry", which="failed")
    assert core.Relearn() in run.commands


def test_retried_trial_has_its_retries_again():
    run = begun(slots=1, budget=Budget(trials=1), retries=Retries(max=1))
    failed(run)
    failed(run)
    assert run.states() == ["failed"]
    run.ask("retry", which="failed")
    run.begin()
    failed(run)
    assert run.states() == ["waiting"]


def test_study_that_its_failures_ended_goes_on_with_its_search():
    run = begun(slots=1, budget=Budget(trials=9, failures=2))
    failed(run)
    failed(run)
    assert run.machine.ended.reason == "budget.failures is used up: 2 trials failed"
    run.ask("retry", which="failed")
    run.begin()
    for _ in range(3):
        run.complete()
    assert len(run.machine.trials) > 3


def test_oom_retries_get_a_larger_share_and_others_are_left_alone():
    run = Asked(spec(budget=Budget(trials=2), resources=Resources(gpu=0.25)), slots=1, gpu=0.25)
    run.begin()
    failed(run, "gpu_memory")
    failed(run)
    assert run.ask("retry", which="oom") == (True, "1 trial gets a further attempt: 0")
    run.begin()
    assert [(start.trial, start.demand.gpu) for start in run.starts] == [(0, 0.5)]


def test_oom_retries_without_a_share_to_grow_split_the_batch():
    run = begun(slots=1, budget=Budget(trials=1))
    failed(run, "host_memory")
    run.ask("retry", which="oom")
    run.begin()
    assert [start.batch_split for start in run.starts] == [2]


def test_nothing_to_retry_is_refused_in_words():
    run = begun(slots=1, budget=Budget(trials=9))
    assert run.ask("retry", which="failed") == (False, "no trial of study 's' has failed.")
    failed(run)
    refusal = "no trial of study 's' has failed for lack of memory (1 trial failed otherwise: --failed)."
    assert run.ask("retry", which="oom") == (False, refusal)


# Extend


def test_extended_study_that_had_ended_goes_on_to_its_new_limit():
    run = begun(slots=1, budget=Budget(trials=2))
    run.complete()
    run.complete()
    assert run.ask("extend", trials=3) == (True, "the study may take 5 trials in all")
    run.begin()
    for _ in range(3):
        run.complete()
    assert len(run.machine.trials) == 5
    assert run.ended()[-1] == core.EndRun("budget.trials is used up: 5 trials", complete=True)


def test_live_study_is_extended_even_when_its_last_trials_are_at_work():
    run = begun(slots=1, budget=Budget(trials=1))
    run.start()
    run.handle(ev.Ticked(time=run.tick()))
    assert run.machine.ending.cause == "trials"
    run.ask("extend", trials=1)
    assert run.machine.ending is None
    run.report(0, 1, 9, loss=0.5)
    run.end(0, 1, "returned")
    assert [start.trial for start in run.starts] == [1]


def test_stopped_study_is_extended_from_the_trials_it_has():
    run = begun(slots=1, budget=Budget(trials=50))
    run.start()
    run.ask("stop")
    run.report(0, 1, 9, loss=0.5)
    run.end(0, 1, "returned")
    run.finish()
    assert run.ask("extend", trials=2) == (True, "the study may take 3 trials in all")


def test_extension_must_lift_what_ended_the_study():
    run = begun(slots=1, budget=Budget(trials=1, time=600.0))
    run.complete()
    refusal = "study 's' would end at once: budget.trials is used up. Add --trials +N"
    assert run.ask("extend", time_s=60.0) == (False, refusal)


def test_study_that_its_time_ended_is_extended_in_time():
    run = begun(slots=1, budget=Budget(trials=9, time=60.0))
    run.start()
    run.tick(100)
    assert run.report(0, 1, 1, loss=0.5).action == "stop"
    run.end(0, 1, "stopped")
    run.finish()
    assert run.ask("extend", trials=5)[0] is False
    assert run.ask("extend", time_s=60.0)[0]
    run.begin()
    assert run.starts


def test_limit_that_the_file_doesnt_have_cant_be_extended():
    run = begun()
    assert run.ask("extend", gpu_hours=1.0) == (
        False,
        "study 's' has no limit in budget.gpu_hours that could be extended.",
    )


def test_reached_target_ends_an_extended_study_no_more():
    run = begun(slots=1, metric=Metric(name="loss", goal="minimize", target=0.5), budget=Budget(trials=9))
    run.start()
    run.report(0, 1, 1, loss=0.4)
    run.end(0, 1, "returned")
    run.finish()
    assert run.machine.ended.complete
    run.ask("extend", trials=2)
    run.begin()
    run.start()
    assert run.report(1, 1, 1, loss=0.3).action == "advance"


def test_exhausted_space_cant_be_extended():
    run = begun(slots=1)
    run.start()
    run.handle(ev.SpaceExhausted(time=run.tick()))
    assert run.ask("extend", trials=5)[0] is False


# Without a driver


def test_interrupted_study_whose_trials_had_begun_is_stopped_and_left_to_a_resume():
    run = begun(slots=2)
    run.start()
    run.die()
    accepted, answer = run.ask("stop")
    assert accepted
    assert answer == "no new trials; 1 trial had begun: sweep resume s takes them to their ends"
    assert run.states() == ["waiting", "stopped"]
    assert not run.machine.idle
    run.begin()
    assert [start.trial for start in run.starts] == [0]
    run.complete()
    assert len(run.machine.trials) == 2


def test_interrupted_study_is_cancelled_without_a_driver():
    run = begun(slots=2)
    run.start()
    run.report(0, 1, 1, loss=0.5)
    run.die()
    assert run.ask("cancel")[0]
    assert run.states() == ["stopped", "stopped"]
    assert run.machine.idle


def test_pause_without_a_driver_says_that_nothing_is_started_anyway():
    run = begun()
    run.die()
    assert run.ask("pause") == (False, "nobody is at work on study 's', so nothing is started until sweep resume s.")


def test_end_of_the_search_outlives_an_interrupt():
    run = begun(slots=1, budget=Budget(trials=50, patience=1))
    run.complete(loss=0.1)
    run.start()
    run.report(1, 1, 9, loss=0.2)
    run.ask("stop")
    run.handle(ev.StopRequested(time=run.tick(), reason="Ctrl-C"))
    run.end(1, 1, "interrupted")
    run.finish()
    run.begin()
    assert run.machine.ending.cause == "stop"
    assert not run.starts


VERBS = st.one_of(
    st.tuples(st.sampled_from(["stop", "cancel", "pause", "resume"]), st.just({})),
    st.tuples(st.sampled_from(["stop", "cancel"]), st.fixed_dictionaries({"trial": st.integers(0, 4)})),
    st.tuples(st.just("retry"), st.fixed_dictionaries({"which": st.sampled_from(["failed", "oom"])})),
    st.tuples(st.just("extend"), st.fixed_dictionaries({"trials": st.integers(1, 3)})),
    st.tuples(st.just("extend"), st.fixed_dictionaries({"time_s": st.just(50.0)})),
)


SCHEDULERS = [
    Scheduler(max_t=3),
    Scheduler(max_t=4, reduction_factor=2, promote=True),
    Scheduler(max_t=4, reduction_factor=2, type="hyperband", brackets=2),
    Scheduler(max_t=3, type="median"),
    Scheduler(max_t=3, type="none"),
    Scheduler(max_t=4, type="pbt"),
]


METRICS = [
    Metric(name="loss", goal="minimize"),
    [Metric(name="loss", goal="minimize"), Metric(name="latency", max=0.5)],
    [Metric(name="loss", goal="minimize"), Metric(name="latency", goal="minimize")],
]


@st.composite
def small_specs(draw):
    scheduler = draw(st.sampled_from(SCHEDULERS))
    return spec(
        metric=METRICS[0] if scheduler.type == "median" else draw(st.sampled_from(METRICS)),
        budget=Budget(
            trials=draw(st.integers(1, 5)),
            time=draw(st.sampled_from([None, 60.0])),
            patience=draw(st.sampled_from([None, 1, 2])),
        ),
        scheduler=scheduler,
        search=Search(
            algorithm="random", repeats=0 if scheduler.type == "pbt" else draw(st.integers(0, 2)), finalists=2
        ),
    )


class Chaos(Asked):
    """A run to which anything happens that can."""

    def __init__(self, study, slots, data):
        super().__init__(study, slots)
        self.draw = data.draw
        self.begin()

    def happen(self, move):
        live = {trial.number: trial for trial in self.machine.running()} if self.machine.run else {}
        if move in ("report", "fail"):
            if live:
                number = self.draw(st.sampled_from(sorted(live)))
                getattr(self, f"do_{move}")(number, len(live[number].attempts), live[number].t + 1)
        else:
            getattr(self, f"do_{move}")()
        self.finish()

    def do_start(self):
        if self.starts and self.machine.run and not self.machine.paused:
            before = len(self.commands)
            self.start()
            for command in self.commands[before:]:
                if isinstance(command, core.EndAttempt):
                    self.end(command.trial, command.attempt, "stopped")

    def do_report(self, trial, attempt, t):
        values = st.floats(0, 1)
        decision = self.report(trial, attempt, t, loss=self.draw(values), latency=self.draw(values))
        if decision.action != "advance":
            self.end(trial, attempt, decision.outcome)

    def do_fail(self, trial, attempt, _):
        self.end(trial, attempt, self.draw(st.sampled_from(["failed", "lost"])), "why")

    def do_ask(self):
        verb, arguments = self.draw(VERBS)
        self.ask(verb, **arguments)

    def do_die(self):
        if self.machine.run:
            self.die()

    def do_begin(self):
        self.begin()

    @property
    def over(self):
        return self.machine.ended is not None and self.machine.ended.complete


@settings(max_examples=300, deadline=None)
@given(data=st.data(), slots=st.integers(1, 3), study=small_specs())
def test_any_history_with_requests_is_legal_ends_and_replays_to_the_same(data, slots, study):
    run = Chaos(study, slots, data)
    for _ in range(data.draw(st.integers(0, 40))):
        run.happen(data.draw(st.sampled_from(["start", "report", "report", "fail", "ask", "die", "begin"])))
        assert len(run.machine.running()) <= slots or not run.machine.run
    # Left to itself it comes to an end, whatever it was asked.
    run.happen("begin")
    for _ in range(200):
        if run.over:
            break
        run.happen("start")
        run.happen("report")
    machine = run.machine
    assert run.over
    assert all(trial.state.final for trial in machine.trials.values())
    proposed = [trial for trial in machine.trials.values() if trial.repeat_of is None]
    assert len(proposed) == machine.books.proposed <= machine.limits.trials
    assert sorted(machine.trials) == list(range(len(machine.trials)))
    told_of = {c.trial for c in run.commands if isinstance(c, core.TellSampler | core.ReportToSampler)}
    assert all(machine.trials[number].repeat_of is None for number in told_of), "a repeat was told"

    again = StudyMachine(study)
    commands = [command for event in run.history for command in again.handle(event)]
    assert commands == run.commands
    lines = [ev.ANY_EVENT.validate_json(event.model_dump_json(exclude_none=True)) for event in run.history]
    assert replay(study, lines).trials == machine.trials
