"""Running the command line in this process, in an empty folder."""

import sys
from dataclasses import dataclass

import pytest
from cli_files import SPEC, TRAIN

from sweep.cli.main import main


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with a training function and a search file, as the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.delenv("SWEEP_DEBUG", raising=False)
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "toy.yaml").write_text(SPEC)
    return tmp_path


@pytest.fixture
def sweep(folder, monkeypatch, capsys):
    """Runs `sweep ARGUMENTS` and returns its exit code and output."""

    def run(*arguments):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["sweep", *arguments])
        try:
            main()
        except SystemExit as end:
            code = end.code
        else:
            code = 0
        captured = capsys.readouterr()
        return Result(int(code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def launch(sweep):
    """Runs `sweep launch` with the inline executor."""

    def run(spec="toy.yaml", *arguments):
        return sweep("launch", spec, "--executor", "inline", "--yes", *arguments)

    return run
