"""Any history in which people ask things of a study: legal, ending, and the same when replayed."""

from hypothesis import given, settings
from hypothesis import strategies as st
from small_spec import small_spec
from study_runs import Asked

from sweep.core import commands as core
from sweep.core import events as ev
from sweep.core.spec import Budget, Metric, Scheduler, Search
from sweep.core.study import StudyMachine, replay

VERBS = st.one_of(
    st.tuples(st.sampled_from(["stop", "cancel", "pause", "resume"]), st.just({})),
    st.tuples(st.sampled_from(["stop", "cancel"]), st.fixed_dictionaries({"trial": st.integers(0, 4)})),
    st.tuples(st.just("retry"), st.fixed_dictionaries({"which": st.sampled_from(["failed", "oom"])})),
    st.tuples(st.just("extend"), st.fixed_dictionaries({"trials": st.integers(1, 3)})),
    st.tuples(st.just("extend"), st.fixed_dictionaries({"time_s": st.just(50.0)})),
)


GUIDED = Scheduler(max_t=9, promote=True)

SCHEDULERS = [
    GUIDED,
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
    return small_spec(
        metric=METRICS[0] if scheduler.type == "median" or scheduler is GUIDED else draw(st.sampled_from(METRICS)),
        budget=Budget(
            trials=draw(st.integers(1, 5)),
            time=draw(st.sampled_from([None, 60.0])),
            patience=draw(st.sampled_from([None, 1, 2])),
        ),
        scheduler=scheduler,
        search=Search(
            algorithm="gp" if scheduler is GUIDED else "random",
            repeats=0 if scheduler.type == "pbt" else draw(st.integers(0, 2)),
            finalists=2,
        ),
    )


class Chaos(Asked):
    """A run to which anything happens that can."""

    def __init__(self, study, slots, data):
        super().__init__(study, slots)
        self.draw = data.draw
        self.verdicts = {}
        self.begin()

    def happen(self, move):
        live = {trial.number: trial for trial in self.machine.running()} if self.machine.run else {}
        if move in ("report", "end", "fail"):
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
        """A worker may be one step ahead when its decision comes, and ends after it."""
        if (trial, attempt) in self.verdicts:
            return self.do_end(trial, attempt, t)
        values = st.floats(0, 1)
        decision = self.report(trial, attempt, t, loss=self.draw(values), latency=self.draw(values))
        if decision.action != "advance":
            self.verdicts[trial, attempt] = decision
            if self.draw(st.booleans()) and t < self.machine.spec.scheduler.max_t:
                self.report(trial, attempt, t + 1, loss=self.draw(values), latency=self.draw(values))
        return None

    def do_end(self, trial, attempt, _):
        if (trial, attempt) in self.verdicts:
            self.end(trial, attempt, self.verdicts.pop((trial, attempt)).outcome)

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
        run.happen(data.draw(st.sampled_from(["start", "report", "report", "end", "fail", "ask", "die", "begin"])))
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
