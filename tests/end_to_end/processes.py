"""A study whose driver is a real process, held up and let go by marks in a folder."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

TRAIN = '''
import os, pathlib, time

def train(config, ctx):
    """Each epoch leaves a mark, and waits where the test holds the study up."""
    state = ctx.restore() or {"epoch": 0}
    marks = pathlib.Path(os.environ["SWEEP_TEST_MARKS"])
    for epoch in range(state["epoch"] + 1, 4):
        with (marks / "epochs").open("a") as file:
            file.write(f"{ctx.trial} {ctx.attempt} {epoch}\\n")
        gate = marks / f"hold-{ctx.trial}-{epoch}"
        while gate.exists():
            time.sleep(0.02)
        if (marks / f"fail-{ctx.trial}").exists():
            raise ValueError("told to fail")
        ctx.report({"epoch": epoch, "loss": abs(config["x"]) + 1 / epoch + ctx.seed % 100 / 1e4},
                   checkpoint={"epoch": epoch})
'''


def offspring(pid):
    """The processes that a process has started, and those that they have."""
    try:
        text = "".join(path.read_text() for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"))
    except FileNotFoundError:
        return []
    return [each for child in map(int, text.split()) for each in (child, *offspring(child))]


class Study:
    """A folder with a study that processes drive.

    Args:
        folder: an empty one.
        executor: of the driver.
        spec: the search file, whose name is that of the study.
    """

    def __init__(self, folder, executor, spec, name="hardy"):
        self.folder, self.executor, self.name = folder, executor, name
        self.marks = folder / "marks"
        self.marks.mkdir()
        (folder / "train.py").write_text(TRAIN)
        (folder / f"{name}.yaml").write_text(spec)
        self.events = folder / "studies" / name / "events.jsonl"
        self.driver = None

    def command(self, *arguments):
        return [sys.executable, "-m", "sweep", *arguments]

    def environment(self):
        return {**os.environ, "SWEEP_TEST_MARKS": str(self.marks), "PYTHONUNBUFFERED": "1"}

    def start(self, *arguments):
        with (self.folder / "out.log").open("a") as out:
            self.driver = subprocess.Popen(
                self.command(*arguments, "--executor", self.executor),
                cwd=self.folder,
                env=self.environment(),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def hold(self, trial, epoch):
        (self.marks / f"hold-{trial}-{epoch}").touch()

    def release(self, trial="*"):
        for gate in self.marks.glob(f"hold-{trial}-*"):
            gate.unlink()

    def fail(self, trial):
        (self.marks / f"fail-{trial}").touch()

    def mend(self):
        for mark in self.marks.glob("fail-*"):
            mark.unlink()

    def wait_for(self, condition, what):
        """Until the condition holds; the driver's end or two minutes are a failure."""
        deadline = time.monotonic() + 120
        while not condition():
            assert self.driver.poll() is None, f"the driver ended before {what}:\n{self.output()}"
            assert time.monotonic() < deadline, f"{what} never came:\n{self.output()}"
            time.sleep(0.02)

    def wait_for_epoch(self, trial, epoch):
        at_epoch = lambda: any(mark[0] == trial and mark[2] == epoch for mark in self.epochs())
        self.wait_for(at_epoch, f"trial {trial}'s epoch {epoch}")

    def output(self):
        return (self.folder / "out.log").read_text()

    def kill(self):
        """-9 to the driver alone: what it started must look after itself, or be gone with Ray."""
        os.kill(self.driver.pid, signal.SIGKILL)
        self.driver.wait()

    def ended(self):
        """The driver's exit code."""
        return self.driver.wait(timeout=180)

    def lines(self, kind=None):
        text = self.events.read_text() if self.events.exists() else ""
        # What follows the last line's end is being written.
        found = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return [line for line in found if kind in (None, line["type"])]

    def epochs(self):
        path = self.marks / "epochs"
        return [tuple(map(int, line.split())) for line in path.read_text().splitlines()] if path.exists() else []

    def ask(self, *arguments, code=0):
        """What a command prints; it must end with this code."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def ask_later(self, *arguments):
        """The process of a command that waits for an answer."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def states(self):
        return [row["state"] for row in json.loads(self.ask("trials", self.name, "--json"))]
