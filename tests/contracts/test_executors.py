"""What every executor owes to the study, on each of them."""

import os
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from sweep.core.pool import Demand
from sweep.core.protocols import Decision, Placement
from sweep.core.spec import Resources
from sweep.executors.inline import InlineExecutor
from sweep.executors.simulated import Course, SimulatedExecutor
from sweep.store.paths import TrialPaths
from sweep.training.attempt import run_attempt, warm_up

FUNCTIONS = Path(__file__).with_name("functions.py")

WITHOUT_TRAINING = {
    "test_attempt_starts_reports_in_order_and_ends_once",
    "test_decision_ends_the_attempt_at_that_very_report",
    "test_paused_trial_goes_on_from_its_checkpoint",
    "test_no_more_run_at_once_than_there_are_slots",
    "test_study_that_ends_early_leaves_the_rest_unstarted",
    "test_defect_of_the_driver_is_raised_not_swallowed",
    "test_attempt_that_the_study_has_done_with_ends_and_the_next_one_runs",
}
"""What holds for simulated attempts too: the rest is about what training functions do to their process."""


class ScriptedDirector:
    """Hands out placements, decides by a rule, and writes down all that it is told."""

    def __init__(
        self, placements, decide=lambda placement, metrics: "advance", *, end_after=None, fail_on_report=False
    ):
        self.waiting = list(placements)
        self.decide = decide
        self.end_after = end_after
        self.fail_on_report = fail_on_report
        self.calls = []
        self.at_work = {}
        self.most_at_work = 0
        self.over = 0
        self.checkpoints = {}
        self.end_at, self.to_end = None, set()
        self.retry = {}

    @property
    def finished(self):
        if self.end_after is not None and self.over >= self.end_after:
            return not self.at_work
        return not self.waiting and not self.at_work and self.over > 0

    def batch(self):
        return nullcontext()

    def next_placement(self):
        if not self.waiting or (self.end_after is not None and self.over >= self.end_after):
            return None
        placement = self.waiting.pop(0)
        self.at_work[key(placement)] = placement
        self.most_at_work = max(self.most_at_work, len(self.at_work))
        return placement

    def started(self, placement, *, node, device, batch=None):
        self.calls.append(("started", key(placement)))

    def reported(self, placement, metrics, checkpoint):
        if self.fail_on_report:
            raise RuntimeError("a defect of the driver")
        self.calls.append(("reported", key(placement), metrics["epoch"], metrics["loss"]))
        if checkpoint:
            self.checkpoints[placement.trial] = checkpoint
        if self.end_at == (placement.trial, metrics["epoch"]):
            self.to_end.add(key(placement))
            del self.at_work[key(placement)]
            self.over += 1
        if key(placement) not in self.at_work:
            return Decision("pause", "the study has ended this attempt")
        return Decision(self.decide(placement, metrics), "because")

    def ended(self, placement, outcome, error=None, cause=None):
        self.calls.append(("ended", key(placement), outcome))
        self.errors = error
        if self.at_work.pop(key(placement), None) is None:
            return
        self.over += 1
        if outcome in self.retry:
            again = self.retry.pop(outcome)
            self.waiting.append(again(placement, self.checkpoints.get(placement.trial)))

    def tick(self):
        pass

    def unwanted(self):
        told, self.to_end = self.to_end, set()
        return told

    def wanted(self):
        return len(self.at_work) + len(self.waiting)

    def share(self):
        return Demand()

    def of(self, trial):
        return [call for call in self.calls if call[1][0] == trial]


def key(placement):
    return placement.trial, placement.attempt


@pytest.fixture(
    params=[
        pytest.param("inline"),
        pytest.param("simulated"),
        *(pytest.param(name, marks=[pytest.mark.ray, pytest.mark.xdist_group("ray")]) for name in ("ray", "tune")),
    ]
)
def make(request, tmp_path):
    """Makes an open executor; closes it at the end."""
    opened = []
    if request.param == "simulated" and request.function.__name__ not in WITHOUT_TRAINING:
        pytest.skip("it calls no training function")

    def build(resources=None):
        resources = resources or Resources(cpu=1, max_concurrent=2)
        if request.param == "inline":
            executor = InlineExecutor(run_attempt, resources)
        elif request.param == "simulated":
            executor = SimulatedExecutor(
                lambda config: Course({"loss": [1 / epoch for epoch in range(1, config["n"] + 1)]}),
                slots=resources.max_concurrent,
            )
        else:
            request.getfixturevalue("ray_cluster")
        if request.param == "ray":
            from sweep.executors.warm_executor import WarmExecutor

            executor = WarmExecutor(run_attempt, warm_up, resources, study="contract")
        elif request.param == "tune":
            from sweep.executors.tune_executor import TuneExecutor

            executor = TuneExecutor(
                run_attempt, resources, study="contract", scratch=tmp_path / "contract" / ".scratch"
            )
        opened.append(executor)
        return executor, executor.open()

    yield build
    for executor in opened:
        executor.close()


@pytest.fixture
def placement(tmp_path):
    def build(trial, function="count", attempt=1, n=3, **changes):
        fields = {
            "study": "contract",
            "trial": trial,
            "attempt": attempt,
            "config": {"n": n},
            "entrypoint": f"{FUNCTIONS}:{function}",
            "seed": 7,
            "time_attr": "epoch",
            "max_t": 100,
            "trial_dir": str(tmp_path / "contract" / "trials" / f"{trial:04d}"),
        }
        return Placement(**(fields | changes))

    return build


def test_attempt_starts_reports_in_order_and_ends_once(make, placement):
    executor, _ = make()
    director = ScriptedDirector([placement(0)])
    executor.run(director)
    assert director.calls == [
        ("started", (0, 1)),
        ("reported", (0, 1), 1, 1.0),
        ("reported", (0, 1), 2, 0.5),
        ("reported", (0, 1), 3, pytest.approx(1 / 3)),
        ("ended", (0, 1), "returned"),
    ]


@pytest.mark.parametrize(("action", "outcome"), [("stop", "stopped"), ("finish", "returned"), ("pause", "interrupted")])
def test_decision_ends_the_attempt_at_that_very_report(make, placement, action, outcome):
    executor, _ = make()
    director = ScriptedDirector([placement(0, n=50)], lambda _, metrics: action if metrics["epoch"] == 2 else "advance")
    executor.run(director)
    reports = [call[2] for call in director.calls[1:-1]]
    # Where training runs ahead, one that pauses hands in what it has done meanwhile.
    assert reports == [1, 2] or (action == "pause" and reports == [1, 2, 3])
    assert director.calls[-1] == ("ended", (0, 1), outcome)


def test_attempt_that_the_study_has_done_with_ends_and_the_next_one_runs(make, placement):
    executor, _ = make(Resources(cpu=1, max_concurrent=1))
    director = ScriptedDirector([placement(0, n=50), placement(1)])
    director.end_at = (0, 2)
    executor.run(director)
    assert [call[2] for call in director.of(0) if call[0] == "reported"] == [1, 2]
    assert director.of(1)[-1] == ("ended", (1, 1), "returned")


@pytest.mark.slow
def test_trial_of_two_gpus_has_one_reporter_and_stops_on_both(placement):
    """On Ray, which must have two GPUs for it, see executors/test_shares.py."""
    executor = InlineExecutor(run_attempt, Resources(cpu=1))
    executor.open()
    director = ScriptedDirector(
        [placement(0, "together", gpu=2, device="cpu")],
        lambda _, metrics: "stop" if metrics["epoch"] == 2 else "advance",
    )
    executor.run(director)
    assert director.calls == [
        ("started", (0, 1)),
        ("reported", (0, 1), 1, 0.5),
        ("reported", (0, 1), 2, 0.5),
        ("ended", (0, 1), "stopped"),
    ]
    assert director.checkpoints[0].endswith("epoch-2")


def test_exception_fails_the_attempt_with_its_traceback(make, placement):
    executor, _ = make()
    director = ScriptedDirector([placement(0, "fail")])
    executor.run(director)
    assert director.calls[-1] == ("ended", (0, 1), "failed")
    assert "ValueError: the learning rate was a fish" in director.errors
    assert "functions.py" in director.errors


def test_function_that_never_reports_returns(make, placement):
    executor, _ = make()
    director = ScriptedDirector([placement(0, "silent")])
    executor.run(director)
    assert director.calls == [("started", (0, 1)), ("ended", (0, 1), "returned")]


def test_output_is_in_the_attempts_log(make, placement):
    executor, _ = make()
    executor.run(ScriptedDirector([placement(0, "silent"), placement(1, "fail")]))
    root = Path(placement(0).trial_dir).parent
    assert "nothing to report" in TrialPaths(root / "0000").attempt_log(1).read_text()
    assert "ValueError: the learning rate was a fish" in TrialPaths(root / "0001").attempt_log(1).read_text()


def test_retry_is_the_same_trials_next_attempt(make, placement):
    executor, _ = make()
    director = ScriptedDirector([placement(0, "fail")])
    director.retry["failed"] = lambda failed, _: placement(failed.trial, "count", attempt=2, n=1)
    executor.run(director)
    assert [call for call in director.calls if call[0] == "ended"] == [
        ("ended", (0, 1), "failed"),
        ("ended", (0, 2), "returned"),
    ]


def test_paused_trial_goes_on_from_its_checkpoint(make, placement):
    executor, _ = make()
    director = ScriptedDirector(
        [placement(0, n=4)],
        lambda placed, metrics: "pause" if (placed.attempt, metrics["epoch"]) == (1, 2) else "advance",
    )
    director.retry["interrupted"] = lambda paused, checkpoint: placement(0, attempt=2, n=4, checkpoint=checkpoint)
    executor.run(director)
    assert [call[2] for call in director.calls if call[0] == "reported"] == [1, 2, 3, 4]


def test_no_more_run_at_once_than_there_are_slots(make, placement):
    executor, capacity = make()
    director = ScriptedDirector([placement(number, n=2) for number in range(5)])
    # The study hands out no more than the slots; an executor that took more would see None.
    hand_out = director.next_placement
    director.next_placement = lambda: hand_out() if len(director.at_work) < capacity.slots else None
    executor.run(director)
    assert director.over == 5
    assert director.most_at_work <= capacity.slots


def test_study_that_ends_early_leaves_the_rest_unstarted(make, placement):
    executor, _ = make(Resources(cpu=1, max_concurrent=1))
    director = ScriptedDirector([placement(number, n=1) for number in range(4)], end_after=1)
    executor.run(director)
    assert len(director.of(3)) == 0
    assert director.over >= 1


def test_environment_reaches_the_function_and_not_the_driver(make, placement):
    executor, _ = make()
    director = ScriptedDirector([placement(0, "environment", env={"SWEEP_TEST_LOSS": "0.125"})])
    executor.run(director)
    assert ("reported", (0, 1), 1, 0.125) in director.calls
    assert "SWEEP_TEST_LOSS" not in os.environ


def test_defect_of_the_driver_is_raised_not_swallowed(make, placement):
    executor, _ = make()
    with pytest.raises(RuntimeError, match="a defect of the driver"):
        executor.run(ScriptedDirector([placement(0)], fail_on_report=True))


def test_dead_process_is_a_lost_attempt(make, placement, request):
    if "inline" in request.node.name:
        pytest.skip("inline runs in this very process: its death is the test's")
    executor, _ = make()
    director = ScriptedDirector([placement(0, "die")])
    executor.run(director)
    assert director.calls[-1] == ("ended", (0, 1), "lost")


@pytest.mark.parametrize(("code", "outcome"), [(None, "returned"), (3, "failed")])
def test_exit_ends_the_attempt_and_nothing_else(make, placement, code, outcome):
    executor, _ = make()
    director = ScriptedDirector([placement(0, "leave", config={"code": code})])
    executor.run(director)
    assert director.calls[1:] == [("reported", (0, 1), 1, 1.0), ("ended", (0, 1), outcome)]
    assert code is None or "the training function called sys.exit(3)" in director.errors


def test_what_is_no_exception_fails_the_attempt_too(make, placement):
    executor, _ = make()
    director = ScriptedDirector([placement(0, "abort")])
    executor.run(director)
    assert director.calls[-1] == ("ended", (0, 1), "failed")
    assert "Abort: not even an Exception" in director.errors


def test_error_can_be_written_whatever_is_in_its_text(make, placement):
    executor, _ = make()
    director = ScriptedDirector([placement(0, "surrogates")])
    executor.run(director)
    assert r"ValueError: caf\udce9.png" in director.errors.encode().decode()


def test_closed_streams_hurt_neither_the_driver_nor_the_next_attempt(make, placement):
    executor, _ = make(Resources(cpu=1, max_concurrent=1))
    director = ScriptedDirector([placement(0, "close_stdout"), placement(1, n=1)])
    executor.run(director)
    assert [call[2] for call in director.calls if call[0] == "ended"] == ["returned", "returned"], director.errors
    assert not sys.stdout.closed
    assert not sys.stderr.closed
    assert "said to a closed stream" in TrialPaths(Path(placement(0).trial_dir)).attempt_log(1).read_text()


def test_log_says_of_a_decision_what_is_known(make, placement, request):
    executor, _ = make()
    executor.run(ScriptedDirector([placement(4)], lambda _, metrics: "finish"))
    last = TrialPaths(Path(placement(4).trial_dir)).attempt_log(1).read_text().splitlines()[-1].partition(" ")[2]
    # Tune's worker is only told that it is over.
    tune = "tune" in request.node.name
    assert last == "ended: " + ("by the study's decision (see sweep trials contract 4)" if tune else "because")


def test_driver_defect_that_the_function_swallows_is_raised(make, placement):
    executor, _ = make()
    with pytest.raises(RuntimeError, match="a defect of the driver"):
        executor.run(ScriptedDirector([placement(0, "swallow")], fail_on_report=True))
