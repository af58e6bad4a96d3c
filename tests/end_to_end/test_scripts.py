"""Studies whose training code is a script: the same on each executor, through a kill of the driver and a cancel."""

import json
import shutil
from pathlib import Path

import pytest
from processes import Study

import sweep
from sweep.errors import InputError
from sweep.registry import load_weights, resolve

ROOT = Path(__file__).parents[2]

# Waits where the test holds the study up, and leaves marks as the training function of `processes.Study` does.
SCRIPT = """
import argparse, os, pathlib, time
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--save", type=pathlib.Path)
args = parser.parse_args()
marks, last = pathlib.Path(os.environ["SWEEP_TEST_MARKS"]), args.save / "last"
trial, attempt = os.environ["SWEEP_TRIAL"], os.environ["SWEEP_ATTEMPT"]
(marks / f"pid-{trial}-{attempt}").write_text(str(os.getpid()))
for epoch in range(int(last.read_text()) + 1 if last.exists() else 1, 4):
    with (marks / "epochs").open("a") as file:
        file.write(f"{trial} {attempt} {epoch}\\n")
    while (marks / f"hold-{trial}-{epoch}").exists():
        time.sleep(0.02)
    last.write_text(str(epoch))
    print(f"epoch={epoch} loss={abs(args.x) + 1 / epoch}")
"""
SPEC = """
name: scripted
command: "{python} script.py {args} --save {checkpoint_dir}"
metric: {name: loss, goal: minimize}
parameters: {x: {min: -1.0, max: 1.0}}
search: {algorithm: random}
scheduler: {type: none, max_t: 3}
budget: {trials: 3}
resources: {max_concurrent: 1}
promote: {model: scripted}
"""
EXECUTORS = [
    "inline",
    *(pytest.param(name, marks=[pytest.mark.ray, pytest.mark.xdist_group("ray")]) for name in ("ray", "tune")),
]


@pytest.fixture
def study(tmp_path, request):
    made = Study(tmp_path, request.param, SPEC, name="scripted")
    (tmp_path / "script.py").write_text(SCRIPT)
    yield made
    if made.driver is not None and made.driver.poll() is None:
        made.kill()


def reported(study):
    return [(line["trial"], line["metrics"]["epoch"]) for line in study.lines("reported")]


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("study", EXECUTORS, indirect=True)
def test_a_killed_driver_takes_its_script_along_and_a_resume_goes_on_from_what_it_saved(study):
    study.hold(1, 3)
    study.start("launch", "scripted.yaml", "--yes")
    study.wait_for_epoch(1, 3)
    study.wait_for(lambda: reported(study)[-1:] == [(1, 2)], "trial 1's second report")
    pid = int((study.marks / "pid-1-1").read_text())
    study.kill()
    # Ray's worker sees that its driver is gone a little later than this process does.
    study.driver = type("Gone", (), {"poll": lambda self: None})()
    study.wait_for(lambda: gone(pid), "the script's end")
    study.release()
    study.start("resume", "scripted")
    assert study.ended() == 0, study.output()
    assert study.states() == ["complete"] * 3
    assert [mark for mark in study.epochs() if mark[0] == 1] == [(1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 2, 3)]
    version = json.loads(study.ask("models", "show", "scripted", "--json"))
    assert version["version"] == 1
    assert (study.folder / "registry/scripted/v1/checkpoint/state/last").read_text() == "3"


@pytest.mark.ray
@pytest.mark.xdist_group("ray")
@pytest.mark.parametrize("study", ["ray"], indirect=True)
def test_a_cancel_ends_the_script_in_the_middle_of_a_step(study):
    study.hold(0, 2)
    study.start("launch", "scripted.yaml", "--yes")
    study.wait_for_epoch(0, 2)
    pid = int((study.marks / "pid-0-1").read_text())
    study.ask("cancel", "scripted", "0")
    study.wait_for(lambda: gone(pid), "the script's end")
    assert study.ended() == 0, study.output()
    assert study.states() == ["stopped", "complete", "complete"]


def test_a_script_that_is_not_there_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(SPEC)
    with pytest.raises(InputError, match=r"there is no file .*script\.py"):
        sweep.launch("s.yaml", executor="inline")
    assert not (tmp_path / "studies").exists()


@pytest.mark.slow
def test_the_search_file_that_ships_ends_with_a_model_that_loads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "search_spaces", tmp_path / "search_spaces")
    changes = ["budget.trials=2", "parameters.lr=0.1", "scheduler.max_t=4"]
    study = sweep.launch("search_spaces/script.yaml", executor="inline", overrides=changes)
    assert study.status["state"] == "complete"
    assert study.best.value > 0.8
    weights = load_weights(resolve(Path("registry"), "script@champion"))
    assert weights["0.weight"].shape == (study.best.config["hidden"], 64)
