"""Each thing that can be wrong with a key: where, what came, the rule, the next step."""

# ruff: noqa: E501  # a message stands whole beside the line that causes it

import pytest
from spec_files import COMPLETE, MINIMAL, only, problems

from sweep.core.loading import load
from sweep.core.spec import Choice, Constant, FloatRange, IntRange


def test_three_keys_are_enough():
    spec = load(MINIMAL, source="search_spaces/vit.yaml")
    assert spec.name == "vit"
    assert spec.budget.trials == 50
    assert spec.scheduler.type == "asha"
    assert spec.objective.name == "val_loss"


def test_every_key_is_read():
    spec = load(COMPLETE, source="x.yaml")
    assert spec.budget.time_s == 5400
    assert spec.resources.gpu_memory == 8
    assert spec.environment.env == {"OMP_NUM_THREADS": "1"}
    assert spec.promote.model == "vit"
    assert spec.derived == {"ffn": "4 * width"}
    assert spec.zip == [["width", "heads"]]
    assert spec.parameters["momentum"].when == {"optimizer": "sgd"}
    assert spec.where("scheduler", "max_t").startswith("x.yaml:23:")


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("{min: 1, max: 9}", IntRange),
        ("{min: 1, max: 9, step: 2}", IntRange),
        ("{min: 1, max: 9, step: 0.5}", FloatRange),
        ("{min: 1, max: 9.0}", FloatRange),
        ("{min: 1e-5, max: 1}", FloatRange),
        ("[1, 2]", Choice),
        ("{values: [a], ordered: true}", Choice),
        ("3", Constant),
        ("text", Constant),
        ("null", Constant),
        ("{value: [3, 3]}", Constant),
    ],
)
def test_forms_of_a_parameter(form, kind):
    assert type(load(MINIMAL + f"  a: {form}\n", source="vit.yaml").parameters["a"]) is kind


PARAMETERS = [
    ("{min: abc, max: 1}", "min: expected a number, got the text 'abc'."),
    ("{min: '0.1', max: 1}", "min: expected a number, got the text '0.1'. Write 0.1, without quotes"),
    ("{min: 1, max: 1_000}", "max: expected a number, got the text '1_000'. Write 1000, without"),
    ("{min: true, max: 1}", "min: expected a number, got true."),
    ("{min: , max: 1}", "min: expected a number, got nothing."),
    ("{min: .nan, max: 1}", "min: got .nan. It has to be finite."),
    ("{min: 1, max: .inf}", "max: got .inf. It has to be finite."),
    ("{min: 1}", ": max: is missing."),
    ("{min: 5, max: 1}", "min: min 5 is above max 1. Swap them: {min: 1, max: 5}."),
    ("{min: 0.5, max: 1e-9}", "min 0.5 is above max 1.0e-09. Swap them: {min: 1.0e-09, max: 0.5}."),
    ("{min: 2, max: 2}", "min and max are both 2. Write 2 alone for a constant."),
    ("{min: 0, max: 1, log: true}", "min: got 0 with log: true. Log scale needs min above 0; there is no log of zero."),
    ("{min: 1, max: 9, log: true, step: 2}", "step: step and log: true exclude each other."),
    ("{min: 1, max: 9, step: 0}", "step: got 0. A step is above 0."),
    ("{min: 1, max: 9, step: 20}", "step: got 20, which is wider than the range from 1 to 9."),
    ("{min: -1e308, max: 1e308}", "is wider than a number can be."),
    ("{min: 1, max: 99999999999999999999}", "max: got 99999999999999999999. It has to be below 9223372036854775808."),
    ("{min: 1, max: 9, log: yes}", "log: expected true or false, got the text 'yes'. Write true."),
    ("{min: 1, max: 9, log: off}", "log: expected true or false, got the text 'off'. Write false."),
    ("[]", "a: is empty. List the values to try."),
    ("[1, 2, 1]", "a[2]: 1 is listed twice. Remove one of them."),
    ("[1, 1.0]", "a[1]: 1.0 equals 1. Remove one of them."),
    ("[1, true]", "a[1]: true equals 1. Remove one of them."),
    ("[[1], 2]", "a[0]: got a list. A value is a number, a text, true, false or null."),
    ("[1, .inf]", "a: got inf. A value is a finite number."),
    ("{values: 3}", "values: expected a list, got 3. Write [3]."),
    ("{values: [1, 2], min: 3}", "min: doesn't go with values. Keep one of them."),
    ("{value: 1, values: [1, 2]}", "value: doesn't go with values. Keep one of them."),
    ("{min: 1, max: 2, ordered: true}", "ordered: doesn't go with min. Keep one of them."),
    ("{min: 1, max: 2, logg: true}", "logg: unknown. Did you mean log?"),
    ("{min: 1, max: 2, prior: 3}", "prior: unknown. The keys here are min, max, log, step,"),
    ("{}", "a: is an empty map. Write {min: 0.0, max: 1.0}"),
    ("", "a: has no value. Write {min: 0.0, max: 1.0}"),
    (".nan", "a: got nan. A value is a finite number."),
    ("{min: 1, max: 2, when: {b: 1}}", "when.b: 'b' is no parameter."),
    ("{min: 1, max: 2, when: {lrr: 1}}", "when.lrr: 'lrr' is no parameter. Did you mean lr?"),
    ("{min: 1, max: 2, when: {a: 1}}", "when.a: a parameter can't depend on itself."),
    ("{min: 1, max: 2, when: {lr: 5.0}}", "lr can never be 5.0: got 5.0, which is outside 1e-05 to 0.1."),
    ("{min: 1, max: 2, when: {lr: []}}", "when.lr: is an empty list"),
    ("{min: 1, max: 2, when: {}}", "when: is empty. Name a parameter and its value"),
    ("{min: 1, max: 2, when: 3}", "when: expected a map, got 3."),
]


@pytest.mark.parametrize(("form", "message"), PARAMETERS)
def test_a_wrong_parameter_is_told(form, message):
    found = only(MINIMAL + f"  a: {form}\n")
    assert found.startswith("vit.yaml:5:")
    assert message in found.replace("parameters.a.", "").replace("parameters.", "")


def _with(section: str) -> str:
    return MINIMAL + section + "\n"


SECTIONS = [
    ("scheduler: {reduction_facter: 3}", "vit.yaml:5:13: scheduler.reduction_facter: unknown. Did you mean reduction_factor?"),
    ("scheduler: {grace-period: 3}", "scheduler.grace-period: unknown. Did you mean grace_period?"),
    ("shceduler: {max_t: 3}", "vit.yaml:5:1: shceduler: unknown. Did you mean scheduler?"),
    ("foo: 1", "foo: unknown. The keys here are name, entrypoint, command, metric, parameters, derived, zip,"),
    ("max_t: 9", "max_t: unknown. max_t belongs to scheduler."),
    ("search: {trials: 9}", "search.trials: unknown. trials belongs to budget."),
    ("search: {storage: 9}", "search.storage: unknown. storage belongs to the top level of the file, not into search."),
    ("scheduler: {grace_period: 9, max_t: 3}", "vit.yaml:5:27: scheduler.grace_period: got 9, which is above max_t 3."),
    ("scheduler: {max_t: 9, brackets: 4}", "scheduler.brackets: got 4, but grace_period 1, max_t 9 and reduction_factor 3 give 3 rungs."),
    ("scheduler: {max_t: 0}", "scheduler.max_t: got 0. It has to be at least 1."),
    ("scheduler: {max_t: 9.0}", "scheduler.max_t: expected a whole number, got 9.0. Write 9."),
    ("scheduler: {max_t: 9.5}", "scheduler.max_t: expected a whole number, got 9.5."),
    ("scheduler: {type: ashaa}", "scheduler.type: expected one of asha, hyperband, median, pbt, none, got the text 'ashaa'. Did you mean asha?"),
    ("scheduler: {time_attr: val_loss}", "metric.name: 'val_loss' is also scheduler.time_attr."),
    ("scheduler: {time_attr: 3}", 'scheduler.time_attr: expected a text, got 3. Put it in quotes: "3".'),
    ("scheduler: {promote: on}", "scheduler.promote: expected true, false or auto, got the text 'on'. Write true."),
    ("scheduler: asha", "scheduler: expected a map with the keys type, time_attr,"),
    ("search: {seed: -1}", "search.seed: got -1. It has to be at least 0."),
    ("search: {points_to_evaluate: [{lrr: 1}]}", "search.points_to_evaluate[0].lrr: 'lrr' is no parameter. Did you mean lr?"),
    ("search: {points_to_evaluate: [{lr: 1e-3}, {lr: 3}]}", "points_to_evaluate[1].lr: got 3, which is outside 1e-05 to 0.1."),
    ("search: {points_to_evaluate: {lr: 3}}", "points_to_evaluate: expected a list, got a map."),
    ("search: {warm_start: vit}", "search.warm_start: expected a list, got the text 'vit'. Write [vit]."),
    ("budget: {trials: 0}", "budget.trials: got 0. It has to be at least 1."),
    ("budget: {trials: 1e3}", "budget.trials: expected a whole number, got 1000.0. Write 1000."),
    ("budget: {time: 10}", None),
    ("budget: {time: 10 minutes}", "budget.time: expected a duration such as 10m, 1h30m or 45s, got the text '10 minutes'."),
    ("budget: {time: 30m1h}", "budget.time: expected a duration"),
    ("budget: {time: 0}", "budget.time: got 0. It has to be above 0."),
    ("budget: {time_s: 10}", "budget.time_s: unknown. Did you mean time?"),
    ("resources: {gpu: 1.5}", "vit.yaml:5:18: resources.gpu: got 1.5. Use a fraction up to 1, or a whole number."),
    ("resources: {gpu: -1}", "resources.gpu: got -1. Use a fraction"),
    ("resources: {gpu: all}", "resources.gpu: expected a number or auto, got the text 'all'."),
    ("resources: {gpu_memory: 8GB}", "resources.gpu_memory: expected a size such as 8GiB or 512MiB, got the text '8GB'. Write 8GiB."),
    ("resources: {cpu: 0}", "resources.cpu: got 0. It has to be above 0."),
    ("retries: {on_oom: growth}", "expected one of grow, shrink_batch, fail, got the text 'growth'. Did you mean grow?"),
    ("promote: {top_k: 1}", "vit.yaml:5:1: promote.model: is missing."),
    ("promote: {model: a/b}", "promote.model: got 'a/b'. It becomes a folder"),
    ("environment: {env: {A: true}}", 'environment.env.A: expected a text, got true. Put it in quotes: "true".'),
    ("name: a b", "vit.yaml:5:7: name: got 'a b'. It becomes a folder"),
    ("name: 3", 'name: expected a text, got 3. Put it in quotes: "3".'),
    ("storage: ''", "storage: is an empty text."),
    ("command: python train.py", "command: stands beside entrypoint. Keep exactly one of them."),
    ("constraints: ['lr <']", "vit.yaml:5:15: constraints[0]: column 5 of 'lr <': expected a value, it ends here."),
    ("constraints: ['lr + 1']", "is never true or false. Write a comparison"),
    ("constraints: ['lrr < 1']", "constraints[0]: 'lrr' is no parameter. Did you mean lr?"),
    ("constraints: ['__import__(\"os\") == 1']", "'__import__' is no function. A function is one of abs, ceil"),
    ("constraints: ['lr.x == 1']", "constraints[0]: 'lr.x' is no parameter. Did you mean lr?"),
    ("derived: {lr: 1 + 1}", "derived.lr: 'lr' is already a parameter."),
    ("derived: {a: b + 1, b: lr}", "derived.a: 'b' is no parameter."),
    ("zip: [[lr]]", "name at least two parameters."),
]  # fmt: skip


@pytest.mark.parametrize(("section", "message"), SECTIONS)
def test_a_wrong_section_is_told(section, message):
    if message is None:
        load(_with(section), source="vit.yaml")
        return
    assert any(message in problem for problem in problems(_with(section)))


@pytest.mark.parametrize("section", [section for section, message in SECTIONS if message and "zip" not in section])
def test_a_problem_is_told_once(section):
    only(_with(section))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL.replace("entrypoint: sweep.training.vision:train\n", ""), "vit.yaml:1:1: entrypoint: is missing. Name"),
        (MINIMAL.replace("sweep.training.vision:train", "train.py"), "vit.yaml:1:13: entrypoint: got 'train.py'. Write pack"),
        (MINIMAL.replace("metric: {name: val_loss, goal: minimize}\n", ""), "metric: is missing. Write metric: {name:"),
        (MINIMAL.replace("goal: minimize", ""), "vit.yaml:2:1: metric.goal: is missing."),
        (MINIMAL.replace("minimize", "up"), "metric.goal: expected one of minimize, maximize, got the text 'up'."),
        (MINIMAL[: MINIMAL.index("parameters")], "parameters: is missing. Write parameters: {lr: "),
        (MINIMAL[: MINIMAL.index("  lr")] + "  a: 3\n", "parameters: has nothing to search"),
        (MINIMAL[: MINIMAL.index("  lr")] + "  a: [3]\n", "parameters: has nothing to search"),
        (MINIMAL[: MINIMAL.index("parameters")] + "parameters: {}", "parameters: is empty. Name at least one"),
        (MINIMAL[: MINIMAL.index("parameters")] + "parameters: 3", "parameters: expected a map of names, got 3."),
        (MINIMAL + "  1a: 3\n", "vit.yaml:5:3: parameters.1a: can't be a parameter's name."),
        (MINIMAL.replace("goal: minimize", "goal: minimize, max: 3") + "search: {algorithm: gp}\n",
         "vit.yaml:5:21: search.algorithm: models one objective without bounds. Use auto, tpe or nsga2"),
        (MINIMAL.replace("{name: val_loss, goal: minimize}", "[]"), "metric: is empty. Write metric:"),
        (MINIMAL.replace("{name: val_loss, goal: minimize}", "[{name: a, goal: minimize}, {name: a, goal: minimize}]"),
         "metric[1].name: 'a' is listed twice."),
        (MINIMAL + "  a: {values: [1], when: {b: 1}}\n  b: {values: [1], when: {a: 1}}\n",
         "the conditions go in a circle: a -> b -> a."),
        (MINIMAL + "  a: [1, 2]\n  b: [1, 2, 3]\nzip: [[a, b]]\n", "zip[0]: the lists differ in length: a has 2, b has 3."),
        (MINIMAL + "  a: [1, 2]\nzip: [[a, lr]]\n", "zip[0][1]: 'lr' is no list of values"),
        (MINIMAL + "  a: [1, 2]\n  b: [1, 2]\nzip: [[a, b], [b, a]]\n", "zip[1][0]: 'b' is zipped twice."),
        (MINIMAL + "  a: [1, 2]\n  b: {values: [1, 2], when: {a: 3}}\n", "a can never be 3: got 3, which is not among its values [1, 2]."),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told(text, message):
    assert any(message in problem for problem in problems(text))


def test_a_file_whose_name_is_no_folder_name_needs_a_name():
    (problem,) = problems(MINIMAL, source="spaces/my vit.yaml")
    assert problem == (
        "spaces/my vit.yaml:1:1: name: is missing, and the file's name 'my vit' can't be a folder's name. "
        "Write name: my-vit."
    )
    assert load("name: vit\n" + MINIMAL, source="spaces/my vit.yaml").name == "vit"


def test_all_problems_come_at_once_in_the_file_s_order():
    text = (
        "metric: {name: val_loss, goal: up}\n"
        "parameters:\n"
        "  lr: {min: abc, max: 1}\n"
        "  bs: {low: 1, high: 2}\n"
        "scheduler: {max_t: 3, grace_period: 9, time_attr: 4, eta: 3}\n"
        "search: {algorithm: bayes, points_to_evaluate: [{bs: 3}, {zz: 3}]}\n"
        "resources: {gpu: 1.5}\n"
    )
    found = problems(text, "budget.trials=x")
    assert [problem.split(": ")[1] for problem in found] == [
        "entrypoint", "metric.goal", "parameters.lr.min", "parameters.bs", "scheduler.grace_period",
        "scheduler.time_attr", "scheduler.eta", "search.algorithm", "search.points_to_evaluate[1].zz",
        "resources.gpu", "budget.trials",
    ]  # fmt: skip


def test_a_misspelt_key_is_not_missed_a_second_time():
    assert "Did you mean goal?" in only(MINIMAL.replace("goal:", "gaol:"))
    assert "Did you mean max?" in only(MINIMAL.replace("max:", "maxx:"))


def test_empty_sections_are_as_good_as_none():
    assert load(MINIMAL + "scheduler:\npromote:\nsearch: null\n", source="vit.yaml") == load(MINIMAL, source="vit.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metric: {name: a, max: 5}", "metric: has bounds and no goal. Say what is to be best: {name: val_loss, goal"),
        ("metric: {name: a, goal: minimize, min: 2.0, max: 1.0}", "metric.min: got 2.0, which is above max 1.0."),
        ("metric: [{name: a, goal: minimize}, {name: b}]", "metric[1].goal: is missing. Write goal: minimize or"),
        ("metric: [{name: a, goal: minimize}, {name: b, max: 1.0, target: 3.0}]", "metric[1].target: needs a goal"),
        ("scheduler: {type: pbt, explore: [rl]}", "scheduler.explore[0]: 'rl' is no parameter. The file has lr."),
        ("scheduler: {explore: [lr]}", "scheduler.explore: is for type: pbt, and this is asha."),
        ("scheduler: {type: pbt}\nbudget: {time: 1h}", "budget.trials: is missing. With scheduler.type: pbt it is the"),
        (
            "scheduler: {type: median}\nmetric: [{name: a, goal: minimize}, {name: b, goal: minimize}]",
            "scheduler.type: median compares one objective, and metric has a and b.",
        ),
        (
            "budget: {cost: 20}",
            "budget.cost: needs prices. Write what an hour of a GPU, a core or a node costs: resources",
        ),
        ("budget: {cost: 20}\nresources: {gpu: 1}", "budget.cost: needs prices. Write what an hour"),
        ("resources: {price: {}}", "resources.price: is empty. Write what an hour costs: {gpu_hour: 2.5}."),
        ("resources: {price: {gpu_hour: 0}}", "resources.price.gpu_hour: got 0"),
        (
            "budget: {min_improvement: 0.1}\nmetric: [{name: a, goal: minimize}, {name: b, goal: minimize}]",
            "budget.min_improvement: is an amount of one objective, and metric has a and b. Use patience: it goes by",
        ),
    ],
)
def test_schedulers_and_objectives_that_cannot_be(text, message):
    file = MINIMAL if "metric:" not in text else MINIMAL.replace("metric: {name: val_loss, goal: minimize}\n", "")
    assert message in only(file + text + "\n")
