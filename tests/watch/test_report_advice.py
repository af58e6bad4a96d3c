"""What to search next."""

from plays import Play, new_spec

from sweep.core.loading import load
from sweep.core.parameters import FloatRange, IntRange
from sweep.core.spec import Budget
from sweep.watch.report.advice import advice, next_file


def acted(peak, parameter=None, trials=200):
    """A study whose trials are the better, the nearer their x is to `peak`."""
    spec = new_spec(
        parameters={"x": parameter or FloatRange(min=0.0, max=1.0), "y": FloatRange(min=0.0, max=1.0)},
        budget=Budget(trials=trials),
    )
    play = Play(spec, seed=3)
    draw = play._random

    def config():
        whole = isinstance(parameter, IntRange)
        low, high = spec.parameters["x"].min, spec.parameters["x"].max
        return {"x": draw.randint(low, high) if whole else draw.uniform(low, high), "y": draw.random()}

    play._config = config
    play.begin()
    report = play.report
    play.report = lambda trial, _=None: report(
        trial, abs(play.machine.trials[trial].config["x"] - peak) + 1 / (play.machine.trials[trial].t + 1)
    )
    return play.to_the_end().machine


def named(study):
    return {one.axis.name: one for one in advice(study)}


def test_a_range_that_the_best_push_against_becomes_wider_at_that_end():
    one = named(acted(peak=1.0))["x"]
    assert one.kind == "wider"
    assert one.low == 0.0
    assert one.high > 1.0
    assert "upper end of x, 1" in one.text


def test_a_range_that_begins_at_0_is_not_passed():
    found = named(acted(peak=0.0))
    assert "x" not in found or found["x"].low == 0.0


def test_a_range_above_0_stays_above_0():
    assert 0 < named(acted(peak=0.1, parameter=FloatRange(min=0.1, max=1.0)))["x"].low < 0.1
    assert named(acted(peak=2, parameter=IntRange(min=2, max=8)))["x"].low == 1


def test_a_count_that_begins_at_1_is_not_passed():
    found = named(acted(peak=1, parameter=IntRange(min=1, max=4)))
    assert "x" not in found or found["x"].low == 1


def test_a_range_that_the_best_leave_empty_becomes_narrower():
    one = named(acted(peak=0.5))["x"]
    assert one.kind == "narrower"
    assert 0 < one.low < 0.5 < one.high < 1


def test_of_a_parameter_that_does_not_matter_nothing_is_said():
    assert "y" not in named(acted(peak=0.5))


def test_of_ten_trials_nothing_is_said():
    assert advice(acted(peak=0.5, trials=9)) == []


def test_whole_numbers_stay_whole():
    one = named(acted(peak=100, parameter=IntRange(min=1, max=100)))["x"]
    assert isinstance(one.high, int)
    assert one.high > 100


def test_the_next_file_is_valid_learns_from_the_study_and_begins_with_its_best():
    study = acted(peak=1.0)
    text = next_file(study, advice(study))
    spec = load(text, source="next.yaml")
    assert spec.name == "toy-2"
    assert spec.parameters["x"].max > 1.0
    assert [each.study for each in spec.search.warm_start] == ["toy"]
    assert spec.search.points_to_evaluate[0]["x"] == study.best.config["x"]
    assert "# x: 0 to 1 -> 0 to 1.5" in text
    assert "null" not in text


def test_the_file_after_the_next_is_the_third():
    study = acted(peak=0.5)
    study.spec = study.spec.model_copy(update={"name": "toy-2"})
    assert "name: toy-3" in next_file(study, [])
