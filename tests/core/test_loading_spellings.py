"""Other tools' spellings: refused with the line rewritten, and the rewritten line is one we take."""

# ruff: noqa: E501, SIM905  # messages stand whole; lists of words are easier to read as one text

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from spec_files import MINIMAL, exploring, only, problems

from sweep.core.flow import flow
from sweep.core.loading import load
from sweep.core.spelling_keys import MOVES, VALUES
from sweep.errors import SpecError

PARAMETERS = [
    ("{distribution: log_uniform_values, min: 1e-5, max: 0.1}", "W&B", "{min: 1.0e-05, max: 0.1, log: true}"),
    ("{distribution: log_uniform, min: -5, max: -1}", "W&B", "{min: 0.00673795, max: 0.367879, log: true}"),
    ("{distribution: uniform, min: 0, max: 1}", "W&B", "{min: 0.0, max: 1.0}"),
    ("{distribution: q_uniform, min: 0, max: 1, q: 0.1}", "W&B", "{min: 0.0, max: 1.0, step: 0.1}"),
    ("{distribution: int_uniform, min: 1, max: 8}", "W&B", "{min: 1, max: 8}"),
    ("{distribution: categorical, values: [a, b]}", "W&B", "{values: [a, b]}"),
    ("{distribution: constant, value: 3}", "W&B", "3"),
    ("{low: 1e-5, high: 0.1, log: true}", "Optuna", "{min: 1.0e-05, max: 0.1, log: true}"),
    ("{lower: 1, upper: 8}", "Ray Tune", "{min: 1, max: 8}"),
    ("{choices: [1, 2]}", "Optuna", "{values: [1, 2]}"),
    ("{type: float, min: 1, max: 2}", "another tool", "{min: 1.0, max: 2.0}"),
    ("{type: int, min: 1, max: 8}", "another tool", "{min: 1, max: 8}"),
    ("{type: categorical, vals: [a, b]}", "Determined", "{values: [a, b]}"),
    ("{type: double, minval: 0, maxval: 1}", "Determined", "{min: 0.0, max: 1.0}"),
    ("{type: log, base: 10, minval: -5, maxval: -1}", "Determined", "{min: 1.0e-05, max: 0.1, log: true}"),
    ("{type: const, val: 3}", "Determined", "3"),
    ("{parameterType: double, feasibleSpace: {min: '0.01', max: '0.1', distribution: logUniform}}", "Katib",
     "{min: 0.01, max: 0.1, log: true}"),
    ("{parameterType: int, feasibleSpace: {min: '1', max: '8'}}", "Katib", "{min: 1, max: 8}"),
    ("{parameterType: categorical, feasibleSpace: {list: [a, b]}}", "Katib", "{values: [a, b]}"),
    ("{_type: loguniform, _value: [1e-5, 0.1]}", "NNI", "{min: 1.0e-05, max: 0.1, log: true}"),
    ("{_type: choice, _value: [1, 2]}", "NNI", "{values: [1, 2]}"),
    ("{_type: randint, _value: [1, 9]}", "NNI", "{min: 1, max: 8}"),
    ("{_type: quniform, _value: [0, 1, 0.5]}", "NNI", "{min: 0.0, max: 1.0, step: 0.5}"),
    ("'tune.loguniform(1e-5, 1e-1)'", "Ray Tune", "{min: 1.0e-05, max: 0.1, log: true}"),
    ("'tune.randint(1, 9)'", "Ray Tune", "{min: 1, max: 8}"),
    ("'tune.choice([16, 32])'", "Ray Tune", "{values: [16, 32]}"),
    ("'tune.quniform(0, 1, 0.1)'", "Ray Tune", "{min: 0.0, max: 1.0, step: 0.1}"),
    ("'trial.suggest_float(\"lr\", 1e-5, 1e-1, log=True)'", "Optuna", "{min: 1.0e-05, max: 0.1, log: true}"),
    ("'trial.suggest_int(\"n\", 1, 9, step=2)'", "Optuna", "{min: 1, max: 9, step: 2}"),
    ("'suggest_categorical(\"o\", [\"a\", \"b\"])'", "Optuna", "{values: [a, b]}"),
    ("'tag(log, interval(1e-5, 0.1))'", "Hydra", "{min: 1.0e-05, max: 0.1, log: true}"),
    ("'choice(adam, sgd)'", "Hydra", "{values: [adam, sgd]}"),
    ("{min: 1e-5, max: 1, scaling: log}", "Ax", "{min: 1.0e-05, max: 1, log: true}"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "tool", "line"), PARAMETERS)
def test_a_parameter_of_another_tool_is_rewritten(form, tool, line):
    found = only(MINIMAL + f"  a: {form}\n")
    assert found.startswith("vit.yaml:5:3: parameters.a: ")
    assert found.endswith(f"is {tool}'s spelling. Write: a: {line}")
    load(MINIMAL + f"  a: {line}\n", source="vit.yaml")


@pytest.mark.parametrize(
    "form", ["{distribution: normal, mu: 0, sigma: 1}", "{low: 1}", "{low: 9, high: 1}", "{choices: 3}"]
)
def test_without_an_equivalent_no_line_is_made_up(form):
    found = only(MINIMAL + f"  a: {form}\n")
    assert "Write:" not in found
    assert "There is no equivalent: give min and max, or values." in found


def test_wandbs_nested_parameters_are_answered_with_a_group():
    assert only(MINIMAL + "  net: {parameters: {depth: {min: 1, max: 3}}}\n").endswith(
        "parameters.net: 'parameters' inside a parameter is W&B's spelling. "
        "Leave it out: net: {depth: {min: 1, max: 3}}"
    )
    told = only(MINIMAL + "  net: {parameters: {lr: {distribution: uniform, min: 1, max: 3}, b: {value: 1}}}\n")
    assert told.endswith("Leave it out: net: {lr: {min: 1.0, max: 3.0}} and so on")


def test_a_list_of_parameters_is_rewritten_one_by_one():
    text = MINIMAL[: MINIMAL.index("  lr")] + (
        "  - {name: lr, parameterType: double, feasibleSpace: {min: '0.1', max: '1'}}\n"
        "  - {name: n, parameterType: int, feasibleSpace: {min: '1', max: '3'}}\n"
    )
    assert [problem.split("Write: ")[1] for problem in problems(text)] == [
        "lr: {min: 0.1, max: 1.0}",
        "n: {min: 1, max: 3}",
    ]


KEYS = [
    ("num_samples: 20", "num_samples: 'num_samples' is Ray Tune's spelling. Write: budget: {trials: 20}"),
    ("budget: {n_trials: 20}", "budget.n_trials: 'n_trials' is Optuna's spelling. Write: trials: 20"),
    ("max_trials: 20", "Determined's spelling. Write: budget: {trials: 20}"),
    ("run_cap: 20", "W&B's spelling. Write: budget: {trials: 20}"),
    ("timeout: 600", "Optuna's spelling. Write: budget: {time: 600}"),
    ("max_concurrent_trials: 4", "Write: resources: {max_concurrent: 4}"),
    ("scheduler: {eta: 4}", "scheduler.eta: 'eta' is W&B's spelling. Write: reduction_factor: 4"),
    ("scheduler: {min_iter: 2}", "Write: grace_period: 2"),
    ("scheduler: {max_iter: 27}", "Write: max_t: 27"),
    ("scheduler: {min_resource: 2}", "Optuna's spelling. Write: grace_period: 2"),
    ("scheduler: {max_resource: 27}", "Optuna's spelling. Write: max_t: 27"),
    ("scheduler: {grace: 2}", "Write: grace_period: 2"),
    ("scheduler: {type: async_hyperband}", "'async_hyperband' is another tool's word. Write: type: asha"),
    ("early_terminate: {type: hyperband, min_iter: 3, eta: 3}",
     "W&B's spelling. Write: scheduler: {type: asha, grace_period: 3, reduction_factor: 3}"),
    ("pruner: MedianPruner", "Optuna's spelling. Write: scheduler: {type: median}"),
    ("method: bayes", "method: 'method' is W&B's spelling. Write: search: {algorithm: tpe}"),
    ("algorithm: {name: random}", "Write: search: {algorithm: random}"),
    ("search: {algorithm: bayes}", "search.algorithm: 'bayes' is another tool's word. Write: algorithm: tpe"),
    ("search: {n_startup_trials: 5}", "Write: startup_trials: 5"),
    ("search: {initial: {lr: 0.01}}", "Write: points_to_evaluate: [{lr: 0.01}]"),
    ("gpus: 1", "Write: resources: {gpu: 1}"),
    ("resources: {num_gpus: 0.5}", "Write: gpu: 0.5"),
    ("resources: {gpus_per_trial: 0.5}", "Write: gpu: 0.5"),
    ("resources: {cpus: 2}", "Write: cpu: 2"),
    ("retries: {max_failures: 2}", "Write: max: 2"),
    ("max_restarts: 5", "Determined's spelling. Write: retries: {max: 5}"),
    ("program: train.py", "W&B's spelling. Write: command: \"{python} train.py {args}\""),
    ("storage_path: /data", "Write: storage: /data"),
    ("checkpoint: {num_to_keep: 2}", "Write: keep_last: 2"),
    ("hyperparameters: {a: 1}", "'hyperparameters' is Determined's spelling. Rename it to parameters."),
    ("direction: maximize", "Optuna's spelling. Write: metric: {name: val_loss, goal: maximize}"),
    ("smaller_is_better: true", "Write: metric: {name: val_loss, goal: minimize}"),
    ("num_samples: many", "Ray Tune's spelling. We write it budget.trials."),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message"), KEYS)
def test_a_key_of_another_tool_is_rewritten(line, message):
    assert message in only(MINIMAL + line + "\n")


def test_the_goal_has_its_own_words():
    text = MINIMAL.replace("goal: minimize", "mode: max")
    assert only(text).endswith("metric.mode: 'mode' is Ray Tune's spelling. Write: goal: maximize")
    assert only(MINIMAL.replace("minimize", "min")).endswith("'min' is another tool's word. Write: goal: minimize")


def test_a_metric_that_is_only_a_name_is_completed():
    text = MINIMAL.replace("{name: val_loss, goal: minimize}", "accuracy")
    assert problems(text + "mode: max\n") == [
        "vit.yaml:2:9: metric: expected a map, got the text 'accuracy'. Write: metric: {name: accuracy, goal: maximize}",
        "vit.yaml:5:1: mode: 'mode' is Ray Tune's spelling. Write: metric: {name: accuracy, goal: maximize}",
    ]


def test_a_section_whose_key_has_another_name_is_not_missing():
    text = re.sub("metric.*\n", "", MINIMAL)
    assert "Write: metric: {name: " in only(text + "mode: max\n")


def test_a_metric_that_nothing_names_is_left_to_be_filled_in():
    text = re.sub("metric.*\n", "", MINIMAL)
    assert only(text + "direction: maximize\n").endswith(
        "'direction' is Optuna's spelling. Write: metric: {name: YOUR_METRIC, goal: maximize}"
        "  # fill in for YOUR_METRIC: the name that your function reports"
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ('["${env}", python, train.py, "${args}"]', 'command: [python, train.py, "{args_bool_values}"]'),
        ('["${interpreter}", "${program}", "${args_no_hyphens}"]', 'command: ["{python}", train.py, "{overrides}"]'),
        ("python train.py --lr ${lr}", "Ours is {...}, with one of python, args, "),
    ],
)
def test_a_command_with_the_macros_of_another_tool_is_rewritten(words, line):
    text = re.sub("entrypoint.*\n", f"command: {words}\n", MINIMAL)
    found = only(text)
    assert found.startswith("vit.yaml:1:10: command: ${...} is another tool's spelling. ")
    assert line in found


def test_a_file_of_another_tool_asks_for_nothing_twice():
    text = "program: train.py\nmethod: bayes\nmetric: {name: loss, goal: minimize}\nhyperparameters: {lr: {min: 0, max: 1}}\n"
    assert len(problems(text)) == 3


_ends = st.one_of(st.integers(-1000, 1000), st.floats(-1e6, 1e6), st.just("abc"), st.none(), st.booleans())
_texts = st.text(max_size=8)
_raw_parameters = st.one_of(
    st.dictionaries(
        st.sampled_from(
            "low high lower upper minval maxval min max step q log base value val values vals choices when scale "
            "is_ordered log_scale".split()
        ),
        st.one_of(_ends, _texts, st.lists(st.one_of(_ends, _texts), max_size=3)),
        min_size=1,
        max_size=4,
    ).flatmap(
        lambda fields: st.sampled_from(
            "uniform log_uniform log_uniform_values q_log_uniform categorical constant int_uniform normal".split()
        ).map(lambda word: {"distribution": word, **fields})
    ),
    st.fixed_dictionaries(
        {
            "_type": st.sampled_from(["choice", "randint", "loguniform", "quniform"]),
            "_value": st.lists(_ends | _texts, max_size=4),
        }
    ),
    st.builds(
        "{}({}, {})".format,
        st.sampled_from(["tune.uniform", "tune.loguniform", "suggest_int", "interval", "choice", "tune.randint"]),
        _ends | _texts.map(repr),
        _ends,
    ),
)


@exploring(150)
@given(raw=_raw_parameters)
@example(raw={"distribution": "constant", "value": "tune.uniform(0, 1)"})
@example(raw={"distribution": "log_uniform", "min": 1, "max": 9999})
def test_every_rewritten_parameter_loads(raw):
    _load_what_it_says(MINIMAL + f"  a: {flow(raw)}\n", lambda line: MINIMAL + f"  {line}\n")


_moves = [(section, key) for section, keys in MOVES.items() for key in keys]
_values = st.one_of(
    st.integers(-2, 100),
    st.floats(0, 50),
    st.booleans(),
    st.sampled_from(["min", "maximize", "bayes", "grid", "train.py", "hyperband", "10m", "", "a: b\nc"]),
    _texts,
    st.dictionaries(st.sampled_from(["name", "type", "eta", "min_iter"]), st.integers(1, 9) | _texts, max_size=3),
    st.lists(st.integers(), max_size=2),
)


@exploring(200)
@given(place=st.sampled_from(_moves), value=_values)
def test_every_rewritten_key_loads(place, value):
    section, key = place
    text = f"{key}: {flow(value)}\n" if not section else f"{section}: {{{key}: {flow(value)}}}\n"
    base = re.sub("metric.*\n", "", MINIMAL) if section == "metric" else MINIMAL

    def repaired(line):
        elsewhere = line.split(":")[0] in MOVES and line.split(":")[0] != section
        top = line if not section or elsewhere else f"{section}: {{{line}}}"
        if section == "metric" and not elsewhere:
            top = f"metric: {{name: val_loss, {line}}}"
        name = top.split(":")[0]
        if name == "command":
            return re.sub("entrypoint.*\n", "", base) + top + "\n"
        return re.sub(f"^{name}:.*\n", "", base, flags=re.MULTILINE) + top + "\n"

    _load_what_it_says(base + text, repaired)


@pytest.mark.parametrize(("path", "word"), [(path, word) for path, words in VALUES.items() for word in words])
def test_every_foreign_word_has_one_of_ours(path, word):
    section, key = path
    name = "name: val_loss, " if section == "metric" else ""
    base = re.sub("metric.*\n", "", MINIMAL) if section == "metric" else MINIMAL
    if key == "algorithm":
        # A space that each algorithm can search, and what only one of them asks for.
        base = base.replace("{min: 1e-5, max: 1e-1, log: true}", "{min: 1, max: 9}")
        if word == "nsgaiii":
            base = re.sub("metric.*\n", "metric: [{name: a, goal: minimize}, {name: b, goal: minimize}]\n", base)
    _load_what_it_says(
        base + f"{section}: {{{name}{key}: {flow(word)}}}\n", lambda line: base + f"{section}: {{{name}{line}}}\n"
    )


def _load_what_it_says(text, repaired):
    """Each "Write: ..." of a wrong file, put in the place of what was wrong, loads."""
    try:
        load(text, source="vit.yaml")
    except SpecError as error:
        for problem in error.problems:
            _, written, line = problem.partition("Write: ")
            if written:
                load(repaired(line), source="vit.yaml")
