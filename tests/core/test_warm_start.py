"""Trials of an earlier study as ours: those that lie in our space, at the fidelity that ours have."""

import math

import pytest
from spec_files import MINIMAL, problems

from sweep.core import events as ev
from sweep.core.loading import load
from sweep.core.study import StudyMachine
from sweep.core.warm_start import Lesson, Shown, lessons, mismatch

HEAD = "entrypoint: m:f\nmetric: {name: loss, goal: minimize}\n"
EARLIER = (
    HEAD
    + """\
name: vit-1
parameters:
  lr: {min: 1e-5, max: 1.0, log: true}
  dim: {min: 8, max: 128}
  act: [relu, gelu]
  batch: 32
scheduler: {max_t: 9}
"""
)
OURS = (
    HEAD
    + """\
name: vit-2
parameters:
  lr: {min: 1e-4, max: 0.1, log: true}
  dim: {min: 32, max: 64}
  act: [gelu, silu]
  batch: 32
scheduler: {max_t: 9}
search: {warm_start: [vit-1]}
"""
)


def earlier(*trials, text=EARLIER):
    """A study whose trials have these configs and reports, t to loss or metrics; without one at max_t: stopped."""
    spec = load(text, source="vit.yaml")
    machine = StudyMachine(spec)
    machine.handle(ev.RunStarted(time=0, executor="x", slots=1))
    for number, (config, reports) in enumerate(trials):
        machine.handle(ev.TrialCreated(time=1, trial=number, config=config))
        machine.handle(ev.AttemptStarted(time=2, trial=number, attempt=1))
        for t, shown in reports.items():
            metrics = {spec.scheduler.time_attr: t, **(shown if isinstance(shown, dict) else {"loss": shown})}
            machine.handle(ev.Reported(time=3, trial=number, attempt=1, metrics=metrics))
        done = max(reports, default=0) >= spec.scheduler.max_t
        if not done:
            machine.trials[number].verdict = None
        outcome = "returned" if reports else "failed"
        machine.handle(ev.AttemptEnded(time=4, trial=number, attempt=1, outcome=outcome))
    return machine


GOOD = {"lr": 0.01, "dim": 40, "act": "gelu", "batch": 32}


def _ours(text=OURS, *overrides):
    return load(text, source="vit.yaml", overrides=overrides)


def test_what_lies_in_our_space_is_learned_and_the_rest_is_counted_by_reason():
    machine = earlier(
        (GOOD, {1: 2.0, 9: 1.0}),
        ({**GOOD, "dim": 8}, {9: 1.0}),
        ({**GOOD, "dim": 128}, {9: 1.0}),
        ({**GOOD, "act": "relu"}, {9: 1.0}),
        (GOOD, {}),
        (GOOD, {1: math.nan}),
    )
    found = lessons(_ours(), machine, {})
    assert [lesson.trial for lesson in found.found] == [0]
    assert found.found[0] == Lesson(
        study="vit-1",
        trial=0,
        config=GOOD,
        state="complete",
        best=Shown(t=9, values=(1.0,)),
        shown=[Shown(t=1, values=(2.0,)), Shown(t=9, values=(1.0,))],
    )
    assert found.told() == (
        "warm_start: 1 of 4 trials of vit-1 fits this space; "
        "2 have dim outside 32..64; 1 have act not among gelu, silu."
    )


def test_a_trial_of_a_shorter_study_is_one_that_was_stopped_there():
    machine = earlier((GOOD, {1: 2.0, 3: 1.5}), text=EARLIER.replace("max_t: 9", "max_t: 3"))
    (lesson,) = lessons(_ours(), machine, {}).found
    assert (lesson.state, lesson.best) == ("stopped", None)
    assert [(one.t, one.values) for one in lesson.shown] == [(1, (2.0,)), (3, (1.5,))]


def test_of_a_longer_study_only_what_ours_could_have_seen_counts():
    machine = earlier((GOOD, {9: 1.5, 20: 0.1}), (GOOD, {20: 0.1}), text=EARLIER.replace("max_t: 9", "max_t: 20"))
    found = lessons(_ours(), machine, {})
    assert [(lesson.state, lesson.best.values) for lesson in found.found] == [("complete", (1.5,))]
    assert found.told().endswith("1 have no value up to epoch 9.")


def test_a_parameter_that_the_earlier_study_lacked_is_a_constant_of_ours_or_assumed_or_the_trial_is_skipped():
    machine = earlier((GOOD, {9: 1.0}))
    more = OURS.replace("  batch: 32\n", "  batch: 32\n  drop: {min: 0.0, max: 0.5}\n  wd: 0.1\n")
    assert lessons(_ours(more), machine, {}).told().endswith("; 1 have no drop.")
    (lesson,) = lessons(_ours(more), machine, {"drop": 0}).found
    assert lesson.config == {**GOOD, "drop": 0.0, "wd": 0.1}
    assert list(lesson.config) == ["lr", "dim", "act", "batch", "drop", "wd"]


def test_another_constant_another_condition_and_constraints_are_kept():
    machine = earlier((GOOD, {9: 1.0}), ({**GOOD, "lr": 0.05}, {9: 1.0}))
    assert "2 have batch other than 64" in lessons(_ours(OURS.replace("batch: 32", "batch: 64")), machine, {}).told()
    conditional = OURS.replace("dim: {min: 32, max: 64}", "dim: {min: 50, max: 64, when: {act: silu}}")
    assert "dim" not in lessons(_ours(conditional), machine, {}).found[0].config
    assert "1 break a constraint" in lessons(_ours(OURS + "constraints: [lr < 0.02]\n"), machine, {}).told()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("metric.goal=maximize", "vit-1 has the goal minimize, and this file maximize."),
        ("metric.name=acc", "vit-1 has the metric loss, and this file acc."),
        ("scheduler.time_attr=step", "vit-1 counts in epoch, and this file in step."),
    ],
)
def test_what_cannot_be_compared_is_told(change, text):
    assert mismatch(_ours(OURS, change), load(EARLIER, source="vit.yaml")) == text


def test_the_same_metric_can_be_compared():
    assert mismatch(_ours(), load(EARLIER, source="vit.yaml")) is None


BOUNDED = "[{name: loss, goal: minimize}, {name: latency, max: 5}]"
TWO = "[{name: loss, goal: minimize}, {name: acc, goal: maximize}]"


def _with(text, metric):
    return text.replace("{name: loss, goal: minimize}", metric)


def test_bounds_are_judged_by_what_earlier_trials_reported_and_ours_allow():
    machine = earlier(
        (GOOD, {1: {"loss": 1.0, "latency": 4.0}, 9: {"loss": 0.5, "latency": 7.0}}),
        (GOOD, {9: {"loss": 0.4}}),
        text=_with(EARLIER, "[{name: loss, goal: minimize}, {name: latency, max: 9}]"),
    )
    first, second = lessons(_ours(_with(OURS, BOUNDED)), machine, {}).found
    assert [one.excess for one in first.shown] == [{"latency": -1.0}, {"latency": 2.0}]
    assert first.best.t == 1, "within the bound comes before a lower loss"
    assert second.best.excess == {"latency": math.inf}


def test_a_metric_that_was_reported_and_not_bounded_there_is_known_too():
    machine = earlier((GOOD, {9: {"loss": 0.5, "latency": 7.0}}))
    (lesson,) = lessons(_ours(_with(OURS, BOUNDED)), machine, {}).found
    assert lesson.best.excess == {"latency": 2.0}


def test_bound_of_which_the_earlier_study_knows_nothing_counts_as_kept_and_that_is_told():
    found = lessons(_ours(_with(OURS, BOUNDED)), earlier((GOOD, {9: 0.5})), {})
    assert found.found[0].best.excess == {}
    assert found.told() == (
        "warm_start: 1 of 1 trials of vit-1 fits this space. "
        "It never reported latency, so its trials count as within that bound."
    )


def test_several_objectives_are_learned_in_the_order_of_ours():
    machine = earlier(
        (GOOD, {1: {"acc": 0.7, "loss": 2.0}, 9: {"acc": 0.9, "loss": 1.0}}),
        (GOOD, {9: {"acc": 0.9, "loss": math.nan}}),
        text=_with(EARLIER, "[{name: acc, goal: maximize}, {name: loss, goal: minimize}]"),
    )
    ours = _ours(_with(OURS, TWO))
    assert mismatch(ours, machine.spec) is None
    (lesson,) = lessons(ours, machine, {}).found
    assert lesson.best == Shown(t=9, values=(1.0, 0.9))
    assert [one.values for one in lesson.shown] == [(2.0, 0.7), (1.0, 0.9)]


@pytest.mark.parametrize(
    ("ours", "theirs", "text"),
    [
        (TWO, "{name: loss, goal: minimize}", "vit-1 has the metric loss, and this file acc."),
        (TWO, TWO.replace("maximize", "minimize"), "vit-1 has the goal minimize for acc, and this file maximize."),
        (TWO, "[{name: loss, goal: minimize}, {name: acc, min: 0}]", "vit-1 has the metric loss, and this file acc."),
        ("{name: loss, goal: minimize}", TWO, None),
        (BOUNDED, "{name: loss, goal: minimize}", None),
    ],
)
def test_each_of_our_objectives_has_to_be_one_of_theirs(ours, theirs, text):
    assert mismatch(_ours(_with(OURS, ours)), load(_with(EARLIER, theirs), source="vit.yaml")) == text


@pytest.mark.parametrize(
    ("search", "line"),
    [
        ("{warm_start: [a, a]}", "vit.yaml:5:26: search.warm_start[1]: 'a' is listed twice."),
        ("{warm_start: [vit]}", "search.warm_start[0]: a study can't learn from itself."),
        ("{warm_start: [{study: a, assume: {lrr: 3}}]}", "search.warm_start[0].assume.lrr: 'lrr' is no parameter."),
        ("{warm_start: [{study: a, assume: {lr: 3}}]}", "search.warm_start[0].assume.lr: got 3, which is outside"),
        ("{warm_start: [{stud: a}]}", "search.warm_start[0].stud: unknown. Did you mean study?"),
        ("{warm_start: [3]}", "search.warm_start[0]: expected a map, got 3."),
    ],
)  # fmt: skip
def test_wrong_warm_starts_are_told(search, line):
    assert any(line in problem for problem in problems(f"{MINIMAL}search: {search}\n")), problems(
        f"{MINIMAL}search: {search}\n"
    )


def test_a_bound_that_was_never_reported_is_kept_through_the_file():
    kept = Lesson(
        study="a", trial=0, config=GOOD, state="stopped", best=None,
        shown=[Shown(t=1, values=(1.0,), excess={"latency": math.inf})],
    )  # fmt: skip
    assert Lesson.model_validate_json(kept.model_dump_json()) == kept
