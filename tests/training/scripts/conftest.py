"""Runs a script as an attempt, with a channel whose answers are given."""

import sys
import textwrap
from pathlib import Path

import pytest

from sweep.training.attempt import run_attempt


class Run:
    """An attempt of a script.

    Attributes:
        channel: what it reported to.
        outcome: how it ended.
        log: the attempt's log.
    """

    def __init__(self, channel, outcome, log):
        self.channel, self.outcome, self.log = channel, outcome, log

    @property
    def epochs(self):
        return [int(report["epoch"]) for report in self.channel.reports]


@pytest.fixture
def attempt(placement, scripted, tmp_path):
    """Writes a script and returns the placement of an attempt that runs it."""

    def make(text, *words, **fields):
        (tmp_path / "work").mkdir(exist_ok=True)
        (tmp_path / "work" / "script.py").write_text(textwrap.dedent(text))
        standard = {
            "entrypoint": "",
            "command": ("{python}", "script.py", *(words or ["{args}"])),
            "metrics": ("loss",),
            "working_dir": str(tmp_path / "work"),
            "attempt": 1,
        }
        return placement(**{**standard, **fields})

    return make


@pytest.fixture
def run(attempt, scripted):
    """Runs a script to the end of its attempt."""

    def ran(text, *words, answers=None, **fields):
        placed = attempt(text, *words, **fields)
        channel = scripted(answers)
        path = Path(placed.trial_dir) / f"attempt-{placed.attempt}.log"
        try:
            outcome = run_attempt(placed, channel)
        except BaseException as error:
            error.log = path.read_text()
            error.channel = channel
            raise
        return Run(channel, outcome, path.read_text())

    return ran


@pytest.fixture
def python():
    return sys.executable
