"""Other tools' search files as ours: each in the shape that the tool's documentation shows."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_files import exploring

from sweep.core.convert import TOOLS, converted
from sweep.core.loading import load
from sweep.core.parameters import Choice, Constant, FloatRange, IntRange
from sweep.errors import SpecError

# docs.wandb.ai/models/sweeps/define-sweep-configuration, sweep-config-keys
WANDB = """\
program: train.py
name: sweepdemo
project: my-first-sweep
entity: team
description: a first sweep
method: bayes
metric:
  goal: minimize
  name: validation_loss
parameters:
  learning_rate:
    distribution: log_uniform_values
    min: 0.0001
    max: 0.1
  batch_size:
    distribution: q_uniform
    q: 8
    min: 30
    max: 256
  epochs:
    value: 27
  dropout: {min: 0.0, max: 0.5}
  optimizer:
    parameters:
      name: {values: ["adam", "sgd"]}
      momentum: {distribution: uniform, min: 0, max: 1}
early_terminate:
  type: hyperband
  s: 2
  eta: 3
  max_iter: 27
  strict: true
command: ["${env}", python, "${program}", "${args}"]
run_cap: 40
"""

# github.com/kubeflow/katib, examples/v1beta1/hp-tuning
KATIB = """\
---
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata:
  namespace: kubeflow
  name: tpe
spec:
  objective:
    type: maximize
    goal: 0.99
    objectiveMetricName: Validation-accuracy
    additionalMetricNames:
      - Train-accuracy
  algorithm:
    algorithmName: tpe
    algorithmSettings:
      - name: random_state
        value: "7"
  parallelTrialCount: 3
  maxTrialCount: 12
  maxFailedTrialCount: 3
  parameters:
    - name: lr
      parameterType: double
      feasibleSpace: {min: "0.01", max: "0.03", distribution: logUniform}
    - name: num-layers
      parameterType: int
      feasibleSpace: {min: "2", max: "5"}
    - name: optimizer
      parameterType: categorical
      feasibleSpace:
        list: [sgd, adam, ftrl]
  earlyStopping:
    algorithmName: medianstop
    algorithmSettings:
      - name: min_trials_required
        value: "1"
      - name: start_step
        value: "5"
  trialTemplate:
    primaryContainerName: training-container
    trialParameters:
      - name: learningRate
        reference: lr
    trialSpec:
      apiVersion: batch/v1
      kind: Job
      spec:
        template:
          spec:
            containers:
              - {name: sidecar, command: [sleep, "9"]}
              - name: training-container
                image: mnist:v1
                command: [python3, mnist.py]
                args: ["--lr=${trialParameters.learningRate}"]
"""

# docs.determined.ai, experiment configuration reference
DETERMINED = """\
name: mnist_adaptive
description: tuning
labels: [mnist]
data: {url: https://example.com/mnist.tar.gz}
hyperparameters:
  learning_rate: {type: log, minval: -5.0, maxval: 1.0, base: 10.0}
  global_batch_size: 64
  n_filters: {type: int, minval: 8, maxval: 64}
  dropout: {type: double, minval: .2, maxval: .8}
  optimizer:
    name: {type: categorical, vals: [adam, sgd]}
    beta: {type: const, val: 0.9}
searcher:
  name: adaptive_asha
  metric: validation_error
  smaller_is_better: true
  max_trials: 16
  max_length: {epochs: 64}
  max_rungs: 4
  divisor: 4
  mode: standard
  max_concurrent_trials: 8
resources: {slots_per_trial: 1, resource_pool: default}
max_restarts: 5
reproducibility: {experiment_seed: 42}
min_validation_period: {epochs: 1}
entrypoint: python3 -m determined.launch.torch_distributed python3 train.py
"""

# nni.readthedocs.io, experiment config reference, search space
NNI = """\
experimentName: MNIST
searchSpace:
  batch_size:
    _type: choice
    _value: [16, 32, 64]
  learning_rate:
    _type: loguniform
    _value: [0.0001, 0.1]
  hidden: {_type: randint, _value: [8, 65]}
  width: {_type: quniform, _value: [10, 100, 4]}
  layer0:
    _type: choice
    _value:
      - _name: Empty
      - _name: Conv
        kernel_size: {_type: choice, _value: [1, 3, 5]}
      - _name: Max_pool
        pooling_size: {_type: randint, _value: [2, 6]}
trialCommand: python3 mnist.py
trialCodeDirectory: .
trialGpuNumber: 1
trialConcurrency: 2
maxExperimentDuration: 24h
maxTrialNumber: 100
tuner:
  name: TPE
  classArgs: {optimize_mode: maximize}
assessor:
  name: Medianstop
  classArgs: {start_step: 5}
trainingService:
  platform: local
  useActiveGpu: True
"""
FILES = {"wandb": WANDB, "katib": KATIB, "determined": DETERMINED, "nni": NNI}


def spec(tool, text=None):
    return load(converted(tool, text or FILES[tool], "theirs.yaml"), source="ours.yaml")


def refused(tool, old, new):
    text = FILES[tool]
    assert old in text
    with pytest.raises(SpecError) as caught:
        converted(tool, text.replace(old, new), "theirs.yaml")
    return caught.value.problems


def test_wandb():
    found = spec("wandb")
    assert (found.name, found.objective.name) == ("sweepdemo", "validation_loss")
    assert found.command == ["python", "train.py", "{args_bool_values}"]
    assert found.parameters == {
        "learning_rate": FloatRange(min=0.0001, max=0.1, log=True),
        "batch_size": IntRange(min=32, max=256, step=8),
        "epochs": Constant(value=27),
        "dropout": FloatRange(min=0.0, max=0.5),
        "optimizer.name": Choice(values=["adam", "sgd"]),
        "optimizer.momentum": FloatRange(min=0.0, max=1.0),
    }
    scheduler = found.scheduler
    assert (scheduler.type, scheduler.max_t, scheduler.grace_period, scheduler.reduction_factor) == ("asha", 27, 3, 3)
    assert (found.search.algorithm, found.budget.trials) == ("tpe", 40)


def test_katib():
    found = spec("katib")
    assert found.objective.model_dump(exclude={"min", "max"}) == {
        "name": "Validation-accuracy",
        "goal": "maximize",
        "target": 0.99,
    }
    assert found.parameters == {
        "lr": FloatRange(min=0.01, max=0.03, log=True),
        "num-layers": IntRange(min=2, max=5),
        "optimizer": Choice(values=["sgd", "adam", "ftrl"]),
    }
    assert (found.search.algorithm, found.search.seed) == ("tpe", 7)
    assert (found.scheduler.type, found.scheduler.grace_period) == ("median", 5)
    assert (found.budget.trials, found.budget.failures, found.resources.max_concurrent) == (12, 3, 3)
    assert found.command == ["python3", "mnist.py", "--lr={lr}"]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("", ["{python}", "train.py", "{args_bool_values}"]),
        (
            'command: [nice, "${interpreter}", "${program}", "${args_no_boolean_flags}"]',
            ["nice", "{python}", "train.py", "{args}"],
        ),
        ('command: ["${program}", "${args_no_hyphens}", "{}"]', ["train.py", "{overrides}", "{{}}"]),
        ('command: [a, "${args_json}", "${args_json_file}"]', ["a", "{config_json}", "{config_file}"]),
    ],
)  # fmt: skip
def test_each_macro_of_wandb_has_one_of_ours(theirs, ours):
    text = WANDB.replace('command: ["${env}", python, "${program}", "${args}"]', theirs)
    assert spec("wandb", text).command == ours


def test_a_macro_without_an_equivalent_is_refused_by_its_line():
    found = refused("wandb", '"${args}"]', '"${envvar:HOME}"]')
    assert found == [
        "theirs.yaml:33:1: command: has a macro without an equivalent here. Take it out and convert again."
    ]
    found = refused("katib", "${trialParameters.learningRate}", "${trialSpec.Name}")
    assert "trialSpec: its command has a macro without an equivalent" in found[0]


def test_determined():
    found = spec("determined")
    assert found.parameters == {
        "learning_rate": FloatRange(min=1e-5, max=10.0, log=True),
        "global_batch_size": Constant(value=64),
        "n_filters": IntRange(min=8, max=64),
        "dropout": FloatRange(min=0.2, max=0.8),
        "optimizer.name": Choice(values=["adam", "sgd"]),
        "optimizer.beta": Constant(value=0.9),
    }
    scheduler = found.scheduler
    assert (scheduler.type, scheduler.time_attr, scheduler.max_t) == ("asha", "epoch", 64)
    assert (scheduler.grace_period, scheduler.reduction_factor) == (1, 4)
    assert (found.budget.trials, found.resources.max_concurrent, found.resources.gpu) == (16, 8, 1)
    assert (found.retries.max, found.search.seed, found.entrypoint) == (5, 42, "train.py:train")


def test_nni_with_its_nested_choice_as_a_conditional_group():
    found = spec("nni")
    assert found.parameters == {
        "batch_size": Choice(values=[16, 32, 64]),
        "learning_rate": FloatRange(min=0.0001, max=0.1, log=True),
        "hidden": IntRange(min=8, max=64),
        "width": IntRange(min=12, max=100, step=4),
        "layer0._name": Choice(values=["Empty", "Conv", "Max_pool"]),
        "layer0.kernel_size": Choice(values=[1, 3, 5], when={"layer0._name": "Conv"}),
        "layer0.pooling_size": IntRange(min=2, max=5, when={"layer0._name": "Max_pool"}),
    }
    assert found.objective.model_dump(exclude={"min", "max"}) == {"name": "default", "goal": "maximize", "target": None}
    assert (found.budget.trials, found.budget.time_s, found.resources.max_concurrent) == (100, 86400, 2)
    assert (found.scheduler.type, found.scheduler.grace_period, found.entrypoint) == ("median", 5, "mnist.py:train")


@pytest.mark.parametrize("tool", list(TOOLS))
def test_what_was_taken_from_what_is_said_and_what_was_left_out_too(tool):
    text = converted(tool, FILES[tool], "theirs.yaml")
    assert text.startswith(f"# From theirs.yaml, a file for {TOOLS[tool][0]}, by `sweep convert`.\n# Left out: ")
    said = {
        "wandb": [
            "project, entity, description: names and pages",
            "search:\n  algorithm: tpe  # method: bayes",
        ],
        "katib": ["max_concurrent: 3  # spec.parallelTrialCount", "# Katib ran it in the image mnist:v1; paths"],
        "determined": ["grace_period: 1  # max_t divided 3 times by 4: 4 rungs there", "data, min_validation_period"],
        "nni": ["# an option of Conv: {", "trainingService: NNI's own", 'time: "24h"  # maxExperimentDuration'],
    }[tool]
    for piece in said:
        assert piece in text, text


@pytest.mark.parametrize(
    ("tool", "old", "new", "line"),
    [
        ("wandb", "run_cap: 40", "run_cap: 40\nnotify: me", "theirs.yaml:35:1: notify: there is no equivalent here."),
        ("wandb", "distribution: log_uniform_values", "distribution: normal\n    mu: 3", "yaml:11:3: parameters.le"),
        ("wandb", "distribution: q_uniform", "distribution: q_log_uniform_values", "yaml:15:3: parameters.b"),
        ("wandb", 'values: ["adam", "sgd"]', "values: [a, b], probabilities: [0.9, 0.1]", "probabilities: values are"),
        ("wandb", "type: hyperband", "type: envelope", "theirs.yaml:28:3: early_terminate.type: envelope isn't W&B's"),
        ("katib", "algorithmName: tpe", "algorithmName: enas", "yaml:15:5: spec.algorithm.algorithmName: enas has"),
        ("katib", "maxTrialCount: 12", "nasConfig: {graphConfig: {}}", "theirs.yaml:20:3: spec.nasConfig: there is no"),
        ("katib", "distribution: logUniform", "distribution: logNormal", "parameters[0]: "),
        ("determined", "name: adaptive_asha", "name: single", "searcher.name: single is no search that there is here."),
        ("determined", "type: int, minval: 8", "type: log, count: 3, minval: 8", "a count of values on log scale"),
        ("determined", "max_restarts: 5", "hooks: [a]", "theirs.yaml:24:1: hooks: there is no equivalent here."),
        ("nni", "_type: loguniform", "_type: lognormal", "theirs.yaml:6:3: searchSpace.learning_rate: {_type: lognorm"),
        ("nni", "name: TPE", "name: ENAS", "tuner.name: ENAS has no equivalent here."),
        ("nni", "trialCommand: python3 mnist.py", "searchSpaceFile: s.json", "searchSpaceFile: write the search space"),
        ("nni", "pooling_size:", "kernel_size:", "layer0: kernel_size belongs to two of the options"),
        ("nni", "name: Medianstop", "name: Curvefitting", "assessor.name: Curvefitting has no equivalent here."),
    ],
)  # fmt: skip
def test_what_has_no_equivalent_is_refused_by_name_with_its_line(tool, old, new, line):
    found = refused(tool, old, new)
    assert any(line in problem for problem in found), found


def test_everything_that_has_no_equivalent_is_told_at_once_in_the_files_order():
    found = refused("wandb", "run_cap: 40", "notify: me\nalso: that")
    assert [problem.split(": ")[1] for problem in found] == ["notify", "also"]


@pytest.mark.parametrize("tool", TOOLS)
def test_each_problem_of_another_tools_file_names_it(tool):
    theirs = FILES["nni" if tool != "nni" else "katib"]
    with pytest.raises(SpecError) as caught:
        converted(tool, theirs, "theirs.yaml")
    lines = str(caught.value).splitlines()
    assert lines
    assert all(line.startswith("theirs.yaml:") for line in lines)
    assert not any(" None " in line for line in lines)


def test_a_file_that_is_none_is_told():
    for text, message in [("", "the file is empty"), ("[1, 2]", "expected a map of keys"), ("a: [", "isn't YAML|end")]:
        with pytest.raises(SpecError, match=message):
            converted("wandb", text, "theirs.yaml")


@exploring(200)
@given(st.sampled_from(list(TOOLS)), st.lists(st.integers(0, 60), min_size=1, max_size=6, unique=True))
def test_any_part_of_a_file_is_ours_or_told(tool, dropped):
    lines = FILES[tool].splitlines()
    text = "\n".join(line for place, line in enumerate(lines) if place not in dropped)
    with contextlib.suppress(SpecError):
        load(converted(tool, text, "theirs.yaml"), source="ours.yaml")
