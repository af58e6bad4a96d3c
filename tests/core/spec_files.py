"""Search files for tests: one minimal, one with every key, and strategies that make valid ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from sweep.core.flow import flow
from sweep.core.loading import load
from sweep.errors import SpecError

MINIMAL = """\
entrypoint: sweep.training.vision:train
metric: {name: val_loss, goal: minimize}
parameters:
  lr: {min: 1e-5, max: 1e-1, log: true}
"""

COMPLETE = """\
name: vit
entrypoint: train.py:train
metric: {name: val_loss, goal: minimize, target: 0.1}
parameters:
  lr: {min: 1e-5, max: 1e-1, log: true}
  depth: {min: 2, max: 12, step: 2}
  dropout: {min: 0, max: 0.5, step: 0.1}
  optimizer: [sgd, adam]
  momentum: {min: 0.5, max: 0.99, when: {optimizer: sgd}}
  width: {values: [64, 128, 256], ordered: true}
  heads: [2, 4, 8]
  epochs: 20
  note: {value: "plain: text"}
derived: {ffn: 4 * width}
zip: [[width, heads]]
constraints: ["width % heads == 0", "depth <= epochs"]
search:
  algorithm: tpe
  seed: 3
  startup_trials: 10
  points_to_evaluate: [{lr: 0.001, depth: 4}, {optimizer: adam}]
  warm_start: [vit-old]
scheduler: {type: asha, time_attr: epoch, max_t: 20, grace_period: 1, reduction_factor: 3, brackets: 2, promote: true}
budget: {trials: 100, time: 1h30m, gpu_hours: 8, cost: 20, failures: 5, patience: 30}
resources: {gpu: 0.25, cpu: 2, gpu_memory: 8GiB, max_concurrent: 8, price: {gpu_hour: 2.5, core_hour: 0.04}}
retries: {max: 2, on_oom: grow, on_preempt: free}
checkpoint: {every: 2, keep_last: 2, keep_best_in_study: 5}
promote: {model: vit, top_k: 2, min_metric: 0.5, alias: candidate, if_better: false, registry: registry}
environment: {image: "pytorch-cuda:v2.9", env: {OMP_NUM_THREADS: 1}, working_dir: .}
storage: s3://bucket/studies
"""


def exploring(examples: int) -> settings:
    """Settings of a property's test: the same examples in each run."""
    return settings(
        max_examples=examples, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )


def problems(text: str, *overrides: str, source: str = "vit.yaml") -> list[str]:
    """What the loader says of a wrong file."""
    with pytest.raises(SpecError) as caught:
        load(text, source=source, overrides=overrides)
    return caught.value.problems


def only(text: str, *overrides: str) -> str:
    """The one problem of a file that has one."""
    found = problems(text, *overrides)
    assert len(found) == 1, found
    return found[0]


folders = st.sampled_from(["vit", "a.b", "x_1", "0", "null", "1e5", "yes", "True", "v-2"])
names = st.sampled_from(["lr", "_", "a-b", "y", "no", "null", "true", "e5", "N_1", "model", "x" * 64])
floats = st.floats(allow_nan=False, allow_infinity=False, width=64).filter(lambda value: abs(value) < 1e150)
texts = st.text(max_size=12)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(10**12), 10**12), floats, texts)


@st.composite
def ranges(draw: st.DrawFn) -> dict[str, Any]:
    whole, log = draw(st.booleans()), draw(st.booleans())
    real = st.floats(1e-9, 1e9) if log else floats
    ends = st.integers(1 if log else -(10**9), 10**9) if whole else real
    low, high = sorted(draw(st.lists(ends, min_size=2, max_size=2, unique=True)))
    form: dict[str, Any] = {"min": low, "max": high}
    if log:
        form["log"] = True
    elif draw(st.booleans()):
        form["step"] = draw(st.integers(1, high - low)) if whole else (high - low) / draw(st.integers(1, 9))
        if form["step"] == 0:  # two neighbours among the smallest floats
            del form["step"]
    return form


def _not_calls(value: Any) -> bool:
    return not (isinstance(value, str) and "(" in value)


choices = st.lists(scalars, min_size=2, max_size=5, unique_by=lambda value: (str(value), 0)).filter(
    lambda values: all(value not in values[:place] for place, value in enumerate(values))
)
parameters = st.one_of(
    ranges(),
    choices,
    choices.map(lambda values: {"values": values, "ordered": True}),
    scalars.filter(_not_calls),
    scalars.map(lambda value: {"value": value}),
)

sections: dict[str, st.SearchStrategy[Any]] = {
    "search": st.fixed_dictionaries(
        {},
        optional={
            "algorithm": st.sampled_from(["auto", "tpe", "gp", "qmc", "random", "nsga2"]),
            "seed": st.integers(0, 2**31 - 1),
            "startup_trials": st.none() | st.integers(0, 100),
            "warm_start": st.lists(st.text(max_size=5).map("earlier {}".format), max_size=2, unique=True),
        },
    ),
    "scheduler": st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["asha", "none", "hyperband"]),
            "max_t": st.integers(10, 1000),
            "grace_period": st.integers(1, 10),
            "reduction_factor": st.integers(2, 5),
            "promote": st.booleans(),
        },
    ),
    "budget": st.fixed_dictionaries(
        {},
        optional={
            "trials": st.none() | st.integers(1, 1000),
            "time": st.one_of(st.integers(1, 10**7), st.floats(0.001, 1e9), st.sampled_from(["90m", "1h30m5s", "2d"])),
            "gpu_hours": st.floats(0.1, 100),
            "failures": st.integers(1, 9),
        },
    ),
    "resources": st.fixed_dictionaries(
        {},
        optional={
            "gpu": st.sampled_from([0, 0.25, 0.5, 1, 4, "auto"]),
            "cpu": st.floats(0.5, 64),
            "gpu_memory": st.sampled_from([8, "8GiB", "512MiB", "0.3GiB"]),
            "price": st.sampled_from([{"gpu_hour": 2.5}, {"node_hour": 1, "core_hour": 0.5}]),
        },
    ),
    "promote": st.fixed_dictionaries(
        {"model": folders}, optional={"alias": st.none() | st.sampled_from(["champion", "candidate", "best-of_1"])}
    ),
    "environment": st.fixed_dictionaries(
        {}, optional={"env": st.dictionaries(st.text(min_size=1, max_size=5), texts | st.integers(), max_size=2)}
    ),
    "storage": st.text(min_size=1, max_size=9),
}


@st.composite
def files(draw: st.DrawFn) -> str:
    """The text of a valid file, in the forms that people write."""
    space = draw(st.dictionaries(names, parameters, max_size=4))
    content: dict[str, Any] = {
        "name": draw(folders),
        "entrypoint": draw(st.sampled_from(["a.b:train", "dir/my file.py:main", "m:f"])),
        "metric": {
            "name": draw(st.text(min_size=1, max_size=8).filter(lambda name: name != "epoch")),
            "goal": "maximize",
        },
        "parameters": {**space, "width": {"min": 1, "max": 9}},
        **{name: draw(strategy) for name, strategy in sections.items() if draw(st.booleans())},
    }
    keys = draw(st.permutations(list(content)))
    return "".join(f"{key}: {flow(content[key])}\n" for key in keys)
