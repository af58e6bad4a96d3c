"""`sweep convert`: writes a file that `sweep validate` takes, or says what stands in the way."""

import pytest

WANDB = """\
program: train.py
method: random
metric: {name: loss, goal: minimize}
parameters:
  x: {min: -1.0, max: 1.0}
  deep: {parameters: {y: {distribution: log_uniform_values, min: 0.001, max: 1}}}
run_cap: 3
"""


SCRIPT = """import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--deep.y", type=float, dest="y")
args = parser.parse_args()
print(f"loss={args.x ** 2 + args.y}")
"""


def test_a_converted_file_is_launched_as_it_is(folder, sweep, launch):
    (folder / "sweep.yaml").write_text(WANDB)
    (folder / "train.py").write_text(SCRIPT)
    done = sweep("convert", "--from", "wandb", "sweep.yaml", "-o", "ours.yaml")
    assert done.code == 0
    assert "ours.yaml: written." in done.out
    assert sweep("validate", "ours.yaml").out.startswith("ours.yaml: fine. 2 parameters, 3 trials, max_t 100.")
    assert launch("ours.yaml").code == 0
    assert sweep("convert", "--from", "wandb", "sweep.yaml").out == (folder / "ours.yaml").read_text()


def test_a_file_that_is_there_is_kept(folder, sweep):
    (folder / "sweep.yaml").write_text(WANDB)
    done = sweep("convert", "--from", "wandb", "sweep.yaml", "-o", "toy.yaml")
    assert done.code == 2
    assert "toy.yaml: there already" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "wandb", "none.yaml"], "none.yaml: there is no such file"),
        (["--from", "katib", "sweep.yaml"], "sweep.yaml:1:1: program: there is no equivalent here."),
        (["--from", "ax", "sweep.yaml"], "'ax' is not one of"),
        (["--from", "wandb", "sweep.yaml", "-o", "nowhere/ours.yaml"], "nowhere/ours.yaml: can't be written"),
        (["--from", "optuna", "none.log"], "none.log: there is no such file"),
    ],
)
def test_what_cannot_be_converted_is_told(folder, sweep, arguments, message):
    (folder / "sweep.yaml").write_text(WANDB)
    done = sweep("convert", *arguments)
    assert done.code == 2
    assert message in done.err


def test_the_journal_of_one_of_our_studies_converts_too(folder, sweep, launch):
    assert launch().code == 0
    done = sweep("convert", "--from", "optuna", "studies/toy/optuna.log")
    assert done.code == 0
    assert "x: {min: -1.0, max: 1.0}" in done.out
