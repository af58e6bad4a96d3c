"""Wrong input is refused before anything is spent: exit code 2, in words, and nothing half-made is left."""

import os
import re

import pytest
from cli_files import SPEC

MAKE = {"train.py", "toy.yaml"}


def left(folder):
    return {path.name for path in folder.iterdir()} - MAKE - {"__pycache__"}


FILES = {
    "empty file": ("", r"toy\.yaml.*empty"),
    "tabs": (SPEC.replace("  x:", "\tx:"), r"toy\.yaml:5.*tab"),
    "wrong type": (SPEC.replace("min: -1.0", "min: low"), r"toy\.yaml:5:\d+: parameters\.x\.min: expected a number"),
    "unknown key": (SPEC + "bugdet: {}\n", r"toy\.yaml:11:1: bugdet: unknown.* Did you mean budget\?"),
    "unknown key inside": (
        SPEC.replace("max_t: 3", "max_t: 3, reduction_facter: 3"),
        r"scheduler\.reduction_facter: unknown.* Did you mean reduction_factor\?",
    ),
    "reversed range": (SPEC.replace("min: -1.0, max: 1.0", "min: 1.0, max: -1.0"), r"parameters\.x.*1\.0.*-1\.0"),
    "log with zero": (
        SPEC.replace("min: -1.0, max: 1.0", "min: 0.0, max: 1.0, log: true"),
        r"parameters\.x.*log.*(above 0|> 0|positive|greater than 0)",
    ),
    "duplicate key": (SPEC + "budget: {trials: 5}\n", r"toy\.yaml:11:1: budget.*twice|budget.*line 8"),
    "gpu that can't be": (SPEC.replace("{cpu: 1}", "{cpu: 1, gpu: 1.5}"), r"resources\.gpu: got 1\.5\. Use a fraction"),
    "engine that isn't there": (
        SPEC + "environment: {image: x}\n",
        r"environment\.image: is not supported by this version",
    ),
    "another tool's spelling": (
        SPEC.replace("goal: minimize", "mode: min"),
        r"metric.*mode.*goal: minimize",
    ),
    "module that isn't there": (
        SPEC.replace("train.py:train", "no.such.module:train"),
        r"entrypoint: .*no\.such\.module|entrypoint: .*'no'",
    ),
    "file that isn't there": (SPEC.replace("train.py:train", "trian.py:train"), r"entrypoint: .*trian\.py"),
    "function that isn't there": (SPEC.replace("train.py:train", "train.py:trian"), r"entrypoint: .*trian.*train"),
    "storage that is a file": (SPEC + "storage: train.py\n", r"storage .*train\.py is a file"),
    "registry that is a file": (
        SPEC.replace("{model: toy}", "{model: toy, registry: train.py}"),
        r"train\.py: can't be a registry, since .*train\.py is a file",
    ),
}


@pytest.mark.parametrize("case", FILES)
@pytest.mark.parametrize("verb", ["launch", "preview"])
def test_wrong_file_is_refused_in_words_and_leaves_nothing(folder, sweep, verb, case):
    text, message = FILES[case]
    (folder / "toy.yaml").write_text(text)
    result = sweep(verb, "toy.yaml", *(["--executor", "inline", "--yes"] if verb == "launch" else []))
    assert result.code == 2, result
    assert re.search(message, result.err), result.err
    assert "Traceback" not in result.err
    assert left(folder) == set()


def test_more_gpus_than_this_machine_has_are_refused_where_it_is_to_run_them(folder, sweep, monkeypatch):
    monkeypatch.setattr("sweep.machine.visible_gpus", lambda: 2)
    assert sweep("preview", "toy.yaml", "--set", "resources.gpu=2").code == 0
    result = sweep("preview", "toy.yaml", "--set", "resources.gpu=4")
    assert result.code == 2
    assert "a trial asks for 4 GPUs, and no node has more than 2" in result.err
    # Nobody listens there: it is the address that is refused, after the plan.
    result = sweep("launch", "toy.yaml", "--set", "resources.gpu=4", "--address", "127.0.0.1:1", "--yes")
    assert result.code == 2
    assert "whether the cluster at 127.0.0.1:1 can is seen at the start" in result.out
    assert "no Ray cluster lets us in" in result.err


def test_missing_file_names_the_nearest(folder, launch):
    result = launch("toi.yaml")
    assert result.code == 2
    assert "toi.yaml: there is no such file. Did you mean toy.yaml?" in result.err
    assert left(folder) == set()


def test_all_problems_of_all_files_are_told_at_once(folder, sweep):
    (folder / "other.yaml").write_text(SPEC.replace("max_t: 3", "max_t: 0").replace("trials: 4", "trials: none"))
    (folder / "toy.yaml").write_text(SPEC.replace("minimize", "smaller"))
    result = sweep("validate", "toy.yaml", "other.yaml")
    assert result.code == 2
    assert all(key in result.err for key in ("metric.goal", "scheduler.max_t", "budget.trials"))


def test_storage_that_cannot_be_written_is_refused(folder, launch):
    if os.geteuid() == 0:
        # root may write anywhere but where the kernel says no
        result = launch("toy.yaml", "--set", "storage=/proc/studies")
    else:
        (folder / "locked").mkdir(mode=0o500)
        result = launch("toy.yaml", "--set", "storage=locked/studies")
    assert result.code == 2
    assert "can't be written" in result.err
    assert left(folder) <= {"locked"}


def test_same_name_with_another_file_is_refused_with_the_difference(folder, launch):
    assert launch().code == 0
    (folder / "toy.yaml").write_text(SPEC.replace("max_t: 3", "max_t: 2").replace("max: 1.0", "max: 2.0"))
    before = (folder / "studies/toy/events.jsonl").read_bytes()
    result = launch()
    assert result.code == 2
    assert "study 'toy' exists" in result.err
    assert "scheduler.max_t: 3 -> 2" in result.err
    assert "parameters.x.max: 1.0 -> 2.0" in result.err
    assert "--name toy-2" in result.err
    assert (folder / "studies/toy/events.jsonl").read_bytes() == before


def test_unknown_study_names_the_nearest(folder, sweep, launch):
    launch()
    result = sweep("status", "toi")
    assert result.code == 2
    assert "no study 'toi'" in result.err
    assert "Did you mean toy?" in result.err


def test_metric_that_is_never_reported_fails_with_the_nearest_name(folder, launch):
    (folder / "toy.yaml").write_text(SPEC.replace("train.py:train", "train.py:misnamed"))
    result = launch()
    assert result.code == 1
    assert "the metric loss was never reported; it reported los. Did you mean metric.name: los?" in result.out
    assert not (folder / "registry").exists()


def test_training_function_that_raises_fails_the_trial_and_names_its_log(folder, launch, sweep):
    (folder / "toy.yaml").write_text(SPEC.replace("train.py:train", "train.py:raises"))
    result = launch()
    assert result.code == 1
    assert "ValueError: the data is made of cheese" in result.out
    assert "attempt-1.log" in result.out
    assert "the first 3 trials all failed" in result.out
    assert "ValueError: the data is made of cheese" in sweep("logs", "toy", "0").out


def test_unknown_executor_is_refused(folder, sweep):
    result = sweep("launch", "toy.yaml", "--executor", "cloud", "--yes")
    assert result.code == 2
    assert "executor: 'cloud' is unknown. Use one of ray, tune, inline." in result.err
    assert left(folder) == set()


def test_debug_shows_the_traceback(sweep):
    assert "Traceback" not in sweep("status", "nothing").err
    assert "Traceback" in sweep("status", "nothing", "--debug").err


@pytest.mark.parametrize("alias", ["Best", "latest", "v3"])
def test_alias_that_cannot_be_is_refused_before_the_study(folder, launch, alias):
    result = launch("toy.yaml", "--set", f"promote.alias={alias}")
    assert result.code == 2
    assert "promote.alias" in result.err
    assert left(folder) == set()


@pytest.mark.parametrize("line", [("launch", "toy.yaml"), ("status", "toy"), ("models", "ls")])
def test_cluster_elsewhere_that_does_not_answer_is_told(folder, sweep, line):
    result = sweep(*line, "--address", "http://127.0.0.1:9")
    assert result.code == 2
    assert "address: no Ray cluster takes a job at 'http://127.0.0.1:9'" in result.err
    assert left(folder) == set()
