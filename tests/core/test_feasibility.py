"""A space in which no config is allowed is refused before anything starts, and a narrow one is told."""

from spec_files import MINIMAL

from sweep.core.feasibility import notes, problems, share_allowed
from sweep.core.loading import load
from sweep.core.space import Space


def _spec(text):
    return load(MINIMAL + text, source="vit.yaml")


def test_a_space_without_rules_needs_no_look():
    assert problems(_spec("")) == []
    assert notes(_spec("")) == ()


def test_a_finite_space_without_an_allowed_config_is_refused_for_sure():
    text = MINIMAL.replace("{min: 1e-5, max: 1e-1, log: true}", "[1, 2]") + "  n: [3, 4]\nconstraints: [lr * n > 9]\n"
    (line,) = problems(load(text, source="vit.yaml"))
    assert line == (
        "vit.yaml:6:14: constraints: none of the 4 configs of this space is allowed; "
        "most often: lr * n > 9 is not met. Widen the ranges, or drop it."
    )


def test_a_continuous_space_without_an_allowed_config_is_refused_after_many_draws():
    (line,) = problems(_spec("constraints: [lr > 0.2, lr < 0.05]\n"))
    assert "none of 20000 configs drawn is allowed; most often: lr > 0.2 is not met" in line


def test_a_space_whose_derived_values_can_never_be_had_is_refused():
    (line,) = problems(_spec("derived: {a: 1 / (lr - lr)}\n"))
    assert line.startswith("vit.yaml:5:10: derived: none of 20000 configs drawn")
    assert "division by zero" in line


def test_a_narrow_space_is_told_and_a_wide_one_is_not():
    assert notes(_spec("constraints: [lr < 0.05]\n")) == ()
    (line,) = notes(_spec("  n: {min: 1, max: 1000}\nconstraints: [n == 500]\n"))
    assert line.startswith("Constraints leave ")
    assert "of 2000 configs drawn" in line
    assert line.endswith("most often: n == 500 is not met.")


def test_a_point_that_breaks_a_constraint_is_refused_with_its_line():
    spec = _spec(
        "  n: {min: 1, max: 9}\nconstraints: [n > 3]\nsearch:\n  points_to_evaluate:\n    - {n: 4}\n    - {n: 2}\n"
    )
    (line,) = problems(spec)
    assert line == (
        "vit.yaml:10:7: search.points_to_evaluate[1]: no config with these values is allowed: n > 3 is not met."
    )


def test_a_point_whose_conditions_cannot_all_hold_is_refused():
    spec = _spec(
        "  a: [x, y]\n  b: {min: 1, max: 2, when: {a: x}}\n  c: {min: 1, max: 2, when: {a: y}}\n"
        "search: {points_to_evaluate: [{b: 1}, {b: 1, c: 1}]}\n"
    )
    (line,) = problems(spec)
    assert "search.points_to_evaluate[1]: no config with these values is allowed: b is not in use there." in line


def test_a_share_counts_the_configs_that_a_point_leaves_open():
    text = (
        MINIMAL.replace("{min: 1e-5, max: 1e-1, log: true}", "[1, 2]") + "  n: [3, 4, 5]\nconstraints: [lr < n - 2]\n"
    )
    space = Space(load(text, source="vit.yaml"))
    assert (share_allowed(space).allowed, share_allowed(space).seen) == (3, 6)
    given = share_allowed(space, {"lr": 2})
    assert (given.allowed, given.seen, given.whole) == (1, 3, True)


def test_a_space_with_one_allowed_config_of_thousands_is_launched_and_told():
    text = (
        MINIMAL.replace("lr: {min: 1e-5, max: 1e-1, log: true}", "n: {min: 0, max: 19998}")
        + "constraints: [n == 12345]\n"
    )
    spec = load(text, source="vit.yaml")
    assert problems(spec) == []
    assert notes(spec) == ("Constraints leave 1 of the 19999 configs (0.005 %); most often: n == 12345 is not met.",)


def test_a_look_ends_when_enough_was_seen():
    space = Space(_spec("constraints: [lr < 0.05]\n"))
    assert share_allowed(space, enough=1).seen < 10
    assert share_allowed(space).seen == 2000
