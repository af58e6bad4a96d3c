"""What is said before a study begins and when it has ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from plays import drawn, new_spec

from sweep.core import events as ev
from sweep.core import plan
from sweep.core.spec import Budget, Resources
from sweep.core.study import StudyMachine
from sweep.store.paths import StudyPaths
from sweep.watch.plan import plan_view
from sweep.watch.summary import summary
from sweep.watch.tables import (
    status,
)  # fmt: skip


def test_summary_tells_what_won_what_it_took_and_what_next(finished, paths, monkeypatch):
    monkeypatch.chdir(paths.root.parent.parent)
    finished.handle(
        ev.Promoted(
            time=0, trial=finished.best.number, model="toy", version=7, alias="champion", path="registry/toy/v7"
        )
    )
    view = summary(finished, paths)
    steps = sum(trial.t for trial in finished.trials.values())
    assert view.data["spent"] == {"unit": "epoch", "steps": steps, "full": 108, "ratio": steps / 108}
    text = " ".join("\n".join(drawn(view, (120, 40))).split())
    assert f"{steps} of the 108 epochs that full runs would take" in text
    assert "toy v7 (champion): registry/toy/v7" in text
    assert "optimizer" in text
    assert view.data["next"] == [
        f"sweep logs toy {status(finished, paths).data['failures'][0]['trials'][0]}",
        "sweep trials toy",
        "sweep best toy",
        "sweep report toy",
        "sweep tensorboard toy",
        "sweep models show toy",
    ]


def test_a_version_that_stands_when_an_extended_study_ends_is_told_once(finished, paths):
    number = finished.best.number
    for version, alias in ((7, "champion"), (8, None), (7, None)):
        promoted = ev.Promoted(time=0, trial=number, model="toy", version=version, alias=alias, path="registry/toy/v")
        finished.handle(promoted)
    assert [(each["version"], each["alias"]) for each in summary(finished, paths).data["promotions"]] == [
        (8, None), (7, None),
    ]  # fmt: skip


def test_summary_of_an_interrupted_study_says_how_to_go_on(spec):
    view = summary(StudyMachine(spec), StudyPaths(Path("my studies/toy")))
    assert view.data["next"][0] == "sweep resume toy --storage 'my studies'"
    assert not [command for command in view.data["next"] if command.startswith("sweep best")]
    assert "sweep tensorboard toy --storage 'my studies'" in view.data["next"]
    assert "No trial reported a finite val_loss." in drawn(view)[0]


def test_next_commands_name_the_folders_that_are_not_the_default(finished, paths, monkeypatch):
    monkeypatch.chdir(paths.root.parent.parent.parent)
    monkeypatch.delenv("SWEEP_STORAGE", raising=False)
    monkeypatch.delenv("SWEEP_REGISTRY", raising=False)
    promoted = ev.Promoted(
        time=0, trial=0, model="toy", version=1, path=str(paths.root.parent.parent / "models/toy/v1")
    )
    finished.handle(promoted)
    here = paths.root.parent.parent.name
    commands = summary(finished, paths).data["next"]
    assert f"sweep trials toy --storage {here}/studies" in commands
    assert f"sweep best toy --storage {here}/studies" in commands
    assert f"sweep models show toy --registry {here}/models" in commands
    monkeypatch.setenv("SWEEP_STORAGE", f"{here}/studies")
    assert "sweep best toy" in summary(finished, paths).data["next"]


@pytest.mark.parametrize(("resources", "row"), [(Resources(gpu=0.25), True), (Resources(), False)])
def test_the_plan_speaks_of_gpu_hours_only_where_a_gpu_is_taken(resources, row):
    spec = new_spec(resources=resources, budget=Budget(trials=1, time="5m"))
    text = "\n".join(drawn(plan_view(spec, plan.make(spec, slots=1))))
    assert ("GPU-hours" in text) is row
    assert "1 trial or 5m" in text


def test_the_plan_of_a_share_without_a_gpu_has_no_gpu_hours():
    spec = new_spec()
    made = replace(plan.make(spec, slots=1), gpu=0.0)
    assert "GPU-hours" not in "\n".join(drawn(plan_view(spec, made)))
