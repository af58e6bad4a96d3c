"""Crashes in awkward places: during a promotion, between runs, on a full disk."""

import json
import os
import shutil
import signal
import subprocess
import sys

import optuna
import pytest

from sweep.store import events, study_folder
from sweep.store.paths import study_paths


@pytest.fixture
def study(launch, folder):
    assert launch("toy.yaml", "--set", "promote.top_k=3").code == 0
    return study_paths(folder / "studies", "toy")


def cut(study, event_type):
    """Cut the log after the first event of a type, as if the driver had died there."""
    lines = study.events.read_text().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if f'"type":"{event_type}"' in line)
    study.events.write_text("".join(lines[: place + 1]))


def test_promotion_that_was_killed_in_the_middle_is_finished_by_a_resume(folder, study, sweep):
    cut(study, "promoted")
    for left in ("v2", "v3"):
        shutil.rmtree(folder / "registry/toy" / left)
    (folder / "registry/toy/aliases.jsonl").unlink()
    assert sweep("resume", "toy").code == 0
    rows = json.loads(sweep("models", "ls", "--json").out)
    best = json.loads(sweep("best", "toy", "--json").out)["trial"]
    assert [row["version"] for row in rows] == ["v1", "v2", "v3"]
    assert (rows[-1]["trial"], rows[-1]["aliases"]) == (best, ["champion"])


def test_finished_promotion_is_not_done_again_over_a_persons_choice(folder, study, sweep):
    assert sweep("models", "alias", "toy@v1", "champion").code == 0
    assert sweep("resume", "toy").code == 0
    rows = json.loads(sweep("models", "ls", "--json").out)
    assert [row["aliases"] for row in rows] == [["champion"], [], []]


def test_version_never_holds_other_weights_than_its_value(folder, launch, sweep):
    (folder / "train.py").write_text(
        "def train(config, ctx):\n"
        "    value = 0.1 if ctx.attempt == 1 else 5.0\n"
        "    ctx.report({'loss': value}, checkpoint={'loss of these weights': value})\n"
        "    if ctx.attempt == 1:\n"
        "        raise RuntimeError('once')\n"
    )
    assert launch("toy.yaml", "--set", "retries.max=1", "--set", "budget.trials=1").code == 0
    (row,) = json.loads(sweep("models", "ls", "--json").out)
    written = json.loads((folder / "registry/toy/v1/checkpoint/manifest.json").read_text())
    assert written["attempt"] == 2
    assert row["value"] == written["metrics"]["loss"] == 5.0


def test_trial_without_a_value_never_displaces_the_best_checkpoint(folder, launch, sweep):
    """It ranks behind all, whatever the scale of the metric: here all values are above 0."""
    source = (folder / "train.py").read_text().replace("abs(config", "5 + abs(config")
    (folder / "train.py").write_text(source)
    arguments = ["toy.yaml", "--set", "checkpoint.keep_best_in_study=1", "--set", "budget.time=1h"]
    assert launch(*arguments).code == 0
    paths = study_paths(folder / "studies", "toy")
    best = json.loads(sweep("best", "toy", "--json").out)["trial"]
    # As if the driver had died with a trial created, and time had run out before the next one.
    lines = [line for line in paths.events.read_text().splitlines() if '"type":"run_ended"' not in line]
    lines = [line for line in lines if "promot" not in line]
    last = json.loads(lines[-1])
    lines.append(json.dumps({"time": last["time"], "type": "ticked"}))
    late = {"time": last["time"] + 4000, "type": "ticked"}
    spec_trials = json.loads(sweep("trials", "toy", "--json").out)
    assert len(spec_trials) == 4
    paths.events.write_text("\n".join([*lines, json.dumps(late)]) + "\n")
    assert sweep("resume", "toy", "--executor", "inline").code == 0
    assert list(paths.trial(best).checkpoints.iterdir())


def test_journal_of_a_complete_study_is_completed(folder, study, sweep):
    study.optuna_journal.unlink()
    assert sweep("resume", "toy").code == 0
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(study.optuna_journal)))
    assert len(optuna.load_study(study_name="toy", storage=storage).trials) == 4


def test_leftovers_of_killed_writers_are_gone_after_a_resume(folder, study, sweep):
    cut(study, "decided")
    left = study.trial(0).checkpoints / ".epoch-1.999.tmp"
    left.mkdir(parents=True)
    (study.root / ".scratch-999").mkdir()
    assert sweep("resume", "toy", "--executor", "inline").code == 0
    assert not left.exists()
    assert not (study.root / ".scratch-999").exists()


def test_full_disk_interrupts_the_study_and_blames_no_trial(folder, launch, sweep, monkeypatch):
    calls = []

    def full(self, *lines):
        calls.append(lines)
        if len(calls) == 8:
            raise OSError(28, os.strerror(28))
        return append(self, *lines)

    append = events.EventLog.append
    monkeypatch.setattr(events.EventLog, "append", wrapped(full))
    result = launch()
    assert result.code == 1, result
    assert "No space left on device" in result.err
    assert "sweep resume toy" in result.err
    assert "defect" not in result.err
    monkeypatch.setattr(events.EventLog, "append", append)
    assert sweep("resume", "toy", "--executor", "inline").code == 0
    assert {trial["state"] for trial in json.loads(sweep("trials", "toy", "--json").out)} <= {"complete", "stopped"}


def wrapped(append):
    """As the log itself tells of a disk's refusal."""

    def told(self, *lines):
        try:
            return append(self, *lines)
        except OSError as error:
            from sweep.errors import StorageError

            raise StorageError(f"x: can't be written ({error.strerror}). Then: sweep resume toy") from error

    return told


def test_checkpoint_that_finds_no_room_is_not_the_trials_failure(folder, launch, sweep, monkeypatch):
    (folder / "train.py").write_text("import os\n\ndef train(config, ctx):\n    raise OSError(28, os.strerror(28))\n")

    def full(_):
        from sweep.errors import StorageError

        raise StorageError("x: can't be written (No space left on device). Then: sweep resume toy")

    monkeypatch.setattr("sweep.store.trial_files.check_room", full)
    assert launch().code == 1
    stored = study_folder.read(study_paths(folder / "studies", "toy"))
    assert [trial.failures for trial in stored.machine.trials.values()] == [0]


@pytest.mark.parametrize(("before", "code"), [(signal.SIG_IGN, 0), (signal.SIG_DFL, 130)])
def test_closed_terminal_ends_a_study_but_under_nohup(folder, launch, before, code):
    source = (folder / "train.py").read_text()
    begun = source.index("\n", source.index("def train("))
    hang_up = "\n    import os, signal; os.kill(os.getpid(), signal.SIGHUP)"
    (folder / "train.py").write_text(source[:begun] + hang_up + source[begun:])
    kept = signal.signal(signal.SIGHUP, before)
    try:
        assert launch("toy.yaml").code == code
    finally:
        signal.signal(signal.SIGHUP, kept)


def test_forked_child_dies_of_a_signal_and_is_no_second_driver(folder):
    """A pool ends its children by SIGTERM: with the driver's handler they would stay, and the pool wait for ever."""
    (folder / "train.py").write_text(
        "import multiprocessing\n\n"
        "def train(config, ctx):\n"
        "    with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "        assert pool.map(abs, [-1, 2]) == [1, 2]\n"
        "    ctx.report({'epoch': 1, 'loss': 1.0}, checkpoint={'x': 1})\n"
    )
    command = [sys.executable, "-m", "sweep", "launch", "toy.yaml", "--executor", "inline", "--yes"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_deleted_current_folder_is_told(folder, sweep, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    result = sweep("preview", str(tmp_path / "toy.yaml"))
    assert result.code == 2
    assert "the current folder is gone" in result.err


def test_journal_that_cannot_be_made_ends_no_study(sweep, launch, folder):
    launch()
    journal = folder / "studies/toy/optuna.log"
    journal.unlink()
    journal.mkdir()
    for arguments in (("launch", "toy.yaml", "--yes"), ("extend", "toy", "--trials", "+3")):
        done = sweep(*arguments, "--executor", "inline")
        assert done.code == 0, done.err
        assert "Optuna's journal is incomplete" in done.out
    assert len(json.loads(sweep("trials", "toy", "--json").out)) == 7
