"""What the training tests share: placements, scripts with a training function, and a channel with given answers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.core.protocols import Decision, Placement
from sweep.training.attempt import run_attempt


class ScriptedChannel:
    """Keeps each report, and answers with "advance" unless told otherwise for a fidelity."""

    def __init__(self, answers: dict[int, str] | None = None, time_attr: str = "epoch") -> None:
        self.answers = answers or {}
        self.time_attr = time_attr
        self.reports: list[dict[str, float]] = []
        self.checkpoints: list[str | None] = []

    def report(self, metrics, checkpoint) -> Decision:
        self.reports.append(dict(metrics))
        self.checkpoints.append(checkpoint)
        action = self.answers.get(int(metrics[self.time_attr]), "advance")
        return Decision(action, f"the script says {action}")


@pytest.fixture
def scripted() -> type[ScriptedChannel]:
    return ScriptedChannel


@pytest.fixture
def placement(tmp_path: Path) -> Callable[..., Placement]:
    """Makes a placement of trial 17, attempt 2, seed 5; any field can be named."""
    standard = Placement(
        study="test",
        trial=17,
        attempt=2,
        config={},
        entrypoint="train.py:train",
        seed=5,
        time_attr="epoch",
        max_t=4,
        trial_dir=str(tmp_path / "trial"),
        device="cpu",
    )
    return lambda **fields: replace(standard, **fields)


@pytest.fixture
def run_trial(placement, scripted, tmp_path: Path) -> Callable[..., ScriptedChannel]:
    """Runs a training function with a config and returns the channel; `name` keeps trials apart."""

    def run(entrypoint, config, *, name="trial", answers=None, **fields):
        channel = scripted(answers)
        trial_dir = str(tmp_path / name)
        run_attempt(placement(entrypoint=entrypoint, config=config, trial_dir=trial_dir, **fields), channel)
        return channel

    return run


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    """Writes a training function's file and returns the entrypoint of its `train`."""

    def write(text: str, name: str = "train.py", folder: Path = tmp_path) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        return f"{folder / name}:train"

    return write
