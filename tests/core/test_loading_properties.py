"""What holds for every text: a spec that survives being written out, or problems, and nothing else."""

# ruff: noqa: E501, SIM905  # lists of words are easier to read as one text

import random

from hypothesis import example, given
from hypothesis import strategies as st
from spec_files import COMPLETE, MINIMAL, exploring, files

from sweep.core.loading import load
from sweep.core.resolved import difference, resolved_yaml, spec_sha256
from sweep.core.space import contains, describe, midpoint, size
from sweep.core.support import unsupported
from sweep.errors import SpecError


def _load_or_problems(text, *overrides):
    problems = []
    try:
        spec = load(text, source="vit.yaml", overrides=overrides)
    except SpecError as error:
        problems = error.problems or ["a SpecError without problems"]
    else:
        assert load(resolved_yaml(spec), source="other.yaml") == spec
    assert [problem for problem in problems if not problem.startswith(("vit.yaml:", "--set "))] == []


@exploring(80)
@given(text=files())
def test_a_valid_file_survives_being_written_out(text):
    spec = load(text, source="vit.yaml")
    again = load(resolved_yaml(spec), source="other.yaml")
    assert again == spec
    assert spec_sha256(again) == spec_sha256(spec)
    assert difference(spec, again) == []
    assert resolved_yaml(again) == resolved_yaml(spec)
    assert load(resolved_yaml(spec, defaults=False), source="other.yaml") == spec


@exploring(60)
@given(text=files())
def test_the_midpoint_lies_in_the_space(text):
    spec = load(text, source="vit.yaml")
    assert contains(spec.parameters, midpoint(spec)) == []
    assert (size(spec.parameters) or 1) >= 1
    assert all(describe(parameter) for parameter in spec.parameters.values())
    assert all(line.startswith("vit.yaml:") for line in unsupported(spec))


@exploring(40)
@given(old=files(), new=files())
def test_the_difference_is_empty_exactly_when_the_hashes_agree(old, new):
    first, second = load(old, source="vit.yaml"), load(new, source="vit.yaml")
    assert (difference(first, second) == []) == (spec_sha256(first) == spec_sha256(second))


@exploring(200)
@given(text=st.text(max_size=120))
@example(text="\x00")
@example(text="? ? ?")
@example(text='a: "\\UFFFFFFFF"')
@example(text="a: !!float [1]")
@example(text="%TAG ! tag:x,2000:\n---\na: !b 1")
@example(text="{a: b, ? c}")
@example(text="&a : *a")
@example(text="<<: [1, {a: 2}]")
def test_any_text_gives_problems_and_nothing_else(text):
    _load_or_problems(text)


@exploring(150)
@given(
    words=st.lists(
        st.sampled_from("a: _b: _- _?_:_,_[_]_{_}_&_*_!_|_>_'_\"_%_@_#_\n_\n  _<<_~_1e5_---_..._ ".split("_"))
    )
)
def test_any_yaml_like_text_gives_problems_and_nothing_else(words):
    _load_or_problems("".join(words))


@exploring(120)
@given(seed=st.integers(0, 2**32), base=st.sampled_from([MINIMAL, COMPLETE]))
def test_any_damaged_file_gives_problems_and_nothing_else(seed, base):
    _load_or_problems(_damaged(base, random.Random(seed)))


def _damaged(text, rng):
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text) + 1)
        length = rng.choice([0, 1, 1, 3, 20])
        new = rng.choice(
            ["", "", " ", ":", "{", "}", "[", "]", ",", "\n", "'", '"', "-1", "null", "true", "1e400", "a", "*x", "&x "]
        )
        text = text[:at] + new + text[at + length :]
    return text


_words = st.sampled_from(
    ["1", "-1", "0", "1.5", ".nan", "null", "true", "yes", "''", "[]", "{}", "[1, [2]]", "{a: 1}", "abc", "'1'", "1e400",
     "9999999999999999999999", "{min: 1}", "[{}]", "[null]", "{a: {b: {c: 1}}}", "tune.choice(1)", "~"]
)  # fmt: skip
_paths = st.sampled_from(
    """name entrypoint command metric metric.name metric.goal metric.target metric.0 parameters parameters.lr
    parameters.lr.min parameters.lr.max parameters.lr.log parameters.lr.step parameters.lr.when parameters.lr.values
    parameters.optimizer parameters.width.values parameters.momentum.when derived derived.ffn zip zip.0 constraints
    constraints.0 search search.algorithm search.seed search.points_to_evaluate search.points_to_evaluate.0
    search.warm_start scheduler scheduler.type scheduler.max_t scheduler.brackets budget budget.time budget.trials
    resources resources.gpu resources.gpu_memory resources.cpu retries retries.max checkpoint checkpoint.every promote
    promote.model promote.alias environment environment.env environment.env.A storage x parameters.kind
    parameters.lr.kind early_terminate method algorithm hyperparameters mode""".split()
)


@exploring(180)
@given(base=st.sampled_from([MINIMAL, COMPLETE]), changes=st.lists(st.tuples(_paths, _words), min_size=1, max_size=4))
def test_any_value_anywhere_gives_problems_and_nothing_else(base, changes):
    _load_or_problems(base, *(f"{path}={word}" for path, word in changes))
