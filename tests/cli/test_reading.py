"""What the reading verbs say and in which order, on a real study."""

import os

import pytest
from cli_files import SPEC


@pytest.fixture
def study(launch):
    result = launch()
    assert result.code == 0, result
    return result


def test_ls_has_the_latest_activity_first(folder, study, launch, sweep):
    assert launch("toy.yaml", "--name", "zebra", "--trials", "1").code == 0
    assert launch("toy.yaml", "--name", "ant", "--trials", "1").code == 0
    for age, name in enumerate(["zebra", "toy", "ant"]):
        os.utime(folder / f"studies/{name}/events.jsonl", (1_000_000 - age, 1_000_000 - age))
    names = [line.split()[0] for line in sweep("ls").out.splitlines()[1:]]
    assert names == ["zebra", "toy", "ant"]


def test_logs_of_a_trial_that_printed_nothing_say_so(folder, study, sweep):
    log = folder / "studies/toy/trials/0003/attempt-1.log"
    for make in (log.unlink, log.touch):
        make()
        for more in ([], ["--follow"]):
            result = sweep("logs", "toy", "3", *more)
            assert (result.code, result.out, result.err) == (0, "", "trial 3, attempt 1 printed nothing\n")


def test_logs_of_a_trial_that_printed_are_its_words_only(folder, study, sweep):
    (folder / "studies/toy/trials/0000/attempt-1.log").write_text("hello\n")
    result = sweep("logs", "toy", "0")
    assert (result.out, result.err) == ("hello\n", "")


def test_models_ls_fits_eighty_columns(folder, launch, sweep, monkeypatch):
    (folder / "toy.yaml").write_text(SPEC.replace("model: toy", "model: a-rather-long-name-of-a-model"))
    assert launch("toy.yaml", "--name", "a-study-of-some-length").code == 0
    monkeypatch.setenv("COLUMNS", "80")
    lines = sweep("models", "ls").out.splitlines()
    assert max(map(len, lines)) <= 80
    row = lines[1].split()
    assert row[1] == "v1"
    assert len(row[-2]) == len("2026-01-31")
    assert len(row[-1]) == len("23:59")
    assert "…" not in "".join(lines)
