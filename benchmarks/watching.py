"""What does it cost to watch a study, and how soon is a report there?

    python benchmarks/watching.py [--repeats 3] [--only view report beside]

- view: the live view on a terminal of 120 columns and 40 rows with 16 trials at work and 10 reports a second, as the
  share of a core that its process takes beyond one that only takes the same events in. Promised: 3 %.
- report: `sweep report` of 1,000 trials. Promised: 10 s and 5 MB.
- beside: the same study on two warm Ray workers that are always busy, five reports a second each, with lines into a
  file; with the live view on a terminal; with lines and `sweep watch` on a terminal beside it; with lines and `sweep
  ui` beside it, whose page is followed. In turn; wall time, seconds of a training step, and the CPU seconds of what
  watches beside.

The machine's other work shows in the wall times, so the spread is printed. Ten minutes.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path

from rich.console import Console

from sweep.core import events as ev
from sweep.core import plan
from sweep.core.spec import Budget, FloatRange, Metric, Scheduler, Search, StudySpec
from sweep.core.study import StudyMachine
from sweep.executors.simulated import Course
from sweep.simulating import simulate
from sweep.watch.live import LiveView
from ui import study

ROWS, COLUMNS = 40, 120
AT_WORK, REPORTS_A_SECOND = 16, 10
VIEW_S = 15.0
PROMISED_SHARE, PROMISED_REPORT_S, PROMISED_REPORT_MB = 0.03, 10.0, 5.0
SWEEP = [sys.executable, "-m", "sweep"]

TRAIN = """
import time

def train(config, ctx):
    for epoch in range(1, 21):
        began = time.perf_counter()
        spent = time.thread_time()
        total = 0
        for i in range({rounds}):
            total += i * i
        ctx.report({{"epoch": epoch, "loss": config["x"] + 1 / epoch, "seconds": time.perf_counter() - began,
                    "cpu_seconds": time.thread_time() - spent}})
"""
SPEC = """
name: {name}
entrypoint: train.py:train
metric: {{name: loss, goal: minimize}}
parameters: {{x: {{min: 0.0, max: 1.0}}}}
search: {{algorithm: random}}
scheduler: {{type: none, max_t: 20}}
budget: {{trials: 6}}
resources: {{cpu: 1}}
"""


@contextmanager
def terminal() -> Iterator[int]:
    """A terminal that somebody reads; the end that a program gets."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def read() -> None:
        try:
            while os.read(leader, 65536):
                pass
        except OSError:
            pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield follower
    finally:
        os.close(follower)
        reader.join(5)
        os.close(leader)


def terminal_environment() -> dict[str, str]:
    """For a program on a terminal."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    return {**kept, "TERM": "xterm-256color"}


# The live view


def view_share(repeats: int) -> bool:
    """Print the share of a core; whether the promise is held."""
    with terminal() as screen:
        found: dict[str, list[float]] = {"none": [], "view": []}
        for _ in range(repeats):
            for side, taken in found.items():
                command = [sys.executable, __file__, "--feed", side]
                done = subprocess.run(
                    command, stdout=screen, stderr=subprocess.PIPE, env=terminal_environment(), check=True, text=True
                )
                taken.append(float(done.stderr.split()[-1]))
    shares = [with_view - bare for with_view, bare in zip(found["view"], found["none"], strict=True)]
    print("| live view | share of a core | min to max |\n|---|---|---|")
    for name, values in (("events taken in", found["none"]), ("and drawn", found["view"]), ("the view", shares)):
        print(f"| {name} | {statistics.median(values):.2%} | {min(values):.2%} to {max(values):.2%} |")
    held = statistics.median(shares) < PROMISED_SHARE
    print(f"\npromised: {PROMISED_SHARE:.0%} of a core: {'held' if held else 'MISSED'}\n")
    return held


def feed(side: str) -> None:
    """In a process of its own: take reports in at their rate, with or without a view; the share of a core to stderr."""
    spec = StudySpec(
        name="watched",
        entrypoint="m:f",
        metric=Metric(name="val_loss", goal="minimize"),
        parameters={"lr": FloatRange(min=1e-5, max=1e-1, log=True), "dropout": FloatRange(min=0.0, max=0.5)},
        search=Search(algorithm="random", seed=1),
        scheduler=Scheduler(max_t=81, grace_period=3),
        budget=Budget(trials=64),
    )
    losses = [1 + 2 / t for t in range(1, 82)]
    course = Course({"val_loss": losses, "accuracy": losses}, 1.0)
    waiting = iter(list(simulate(spec, lambda _: course, slots=AT_WORK).log.events())[1:])
    machine, now = StudyMachine(spec), [0.0]
    view = LiveView(Console(), plan.make(spec, slots=AT_WORK), clock=lambda: now[0]) if side == "view" else None

    def until_report() -> None:
        for event in waiting:
            machine.handle(event)
            now[0] = event.time
            if view is not None:
                view.event(machine, event)
            if isinstance(event, ev.Reported):
                return

    while len(machine.running()) < AT_WORK or len(machine.trials) < AT_WORK + 4:
        until_report()
    began, spent = time.perf_counter(), time.process_time()
    for turn in range(round(VIEW_S * REPORTS_A_SECOND)):
        time.sleep(max(0.0, began + turn / REPORTS_A_SECOND - time.perf_counter()))
        until_report()
    share = (time.process_time() - spent) / (time.perf_counter() - began)
    if view is not None:
        view.close()
    print(share, file=sys.stderr)


# The report


def report(repeats: int) -> bool:
    """Print seconds and megabytes; whether the promises are held."""
    seconds, cpu, size = [], [], 0.0
    with tempfile.TemporaryDirectory() as name:
        paths = study(Path(name), 1000)
        for _ in range(repeats):
            out = Path(name, "report.html")
            began, spent = time.perf_counter(), _children_s()
            command = [*SWEEP, "report", paths.root.name, "--storage", name, "--out", str(out)]
            subprocess.run(command, check=True, capture_output=True)
            seconds.append(time.perf_counter() - began)
            cpu.append(_children_s() - spent)
            size = out.stat().st_size / 1e6
    middle = statistics.median(seconds)
    print("| report of 1,000 trials | s | min to max | CPU s | MB |\n|---|---|---|---|---|")
    print(
        f"| `sweep report` | {middle:.1f} | {min(seconds):.1f} to {max(seconds):.1f} | {statistics.median(cpu):.1f} | "
        f"{size:.2f} |"
    )
    held = middle < PROMISED_REPORT_S and size < PROMISED_REPORT_MB
    print(f"\npromised: {PROMISED_REPORT_S:.0f} s, {PROMISED_REPORT_MB:.0f} MB: {'held' if held else 'MISSED'}\n")
    return held


# Beside training


class Watched:
    """One run of the study, and what it took."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        (folder / f"{name}.yaml").write_text(SPEC.format(name=name))
        self.events = folder / "studies" / name / "events.jsonl"
        self.watcher_cpu_s = 0.0

    def run(self, side: str) -> None:
        """Launch it, watched so."""
        launch = [*SWEEP, "launch", f"{self.name}.yaml", "--address", "local", "--yes"]
        if side == "live view":
            with terminal() as screen:
                self._start(launch, screen).wait()
            return
        with Path(os.devnull).open("w") as nowhere:
            driver = self._start(launch, nowhere.fileno())
            while driver.poll() is None and '"attempt_started"' not in self._log():
                time.sleep(0.05)
            beside = {"sweep watch": self._watch, "sweep ui": self._ui}.get(side)
            if beside is not None:
                beside(driver)
            driver.wait()

    def _start(self, command: list[str], out: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=terminal_environment()
        )

    def _log(self) -> str:
        return self.events.read_text() if self.events.is_file() else ""

    def _watch(self, driver: subprocess.Popen[bytes]) -> None:
        with terminal() as screen:
            self._accounted(self._start([*SWEEP, "watch", self.name], screen), driver, end=False)

    def _ui(self, driver: subprocess.Popen[bytes]) -> None:
        command = [*SWEEP, "ui", "--port", "0", "--storage", "studies"]
        server = subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        )
        assert server.stdout is not None
        address = ""
        while not address:
            address = next(iter(re.findall(r"http://\S+", server.stdout.readline())), "")
        threading.Thread(target=self._follow_page, args=(address,), daemon=True).start()
        self._accounted(server, driver, end=True)

    def _follow_page(self, address: str) -> None:
        """As a browser with the study's page open does."""
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        host = address.partition("?")[0].rstrip("/")
        browser.open(address).read()
        browser.open(f"{host}/studies/{self.name}").read()
        try:
            with browser.open(f"{host}/api/studies/{self.name}/stream") as stream:
                while stream.readline():
                    pass
        except OSError:
            pass

    def _accounted(
        self, watcher: subprocess.Popen[str] | subprocess.Popen[bytes], driver: object, *, end: bool
    ) -> None:
        """Note what the watcher took of the processor, till the driver has ended."""
        driver.wait()  # type: ignore[attr-defined]
        if end:
            watcher.terminate()
        self.watcher_cpu_s = _cpu_of(watcher.pid)

    def wall_s(self) -> float:
        """From the first attempt's start to the last one's end."""
        events = [json.loads(line) for line in self._log().splitlines()]
        times = [each["time"] for each in events if each["type"] in ("attempt_started", "attempt_ended")]
        return float(max(times) - min(times))

    def steps_s(self, name: str) -> list[float]:
        """What each step took, in the training function's own measure."""
        events = [json.loads(line) for line in self._log().splitlines()]
        return [each["metrics"][name] for each in events if each["type"] == "reported"]


def _children_s() -> float:
    """Seconds of processor that children have taken, those that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _cpu_of(pid: int) -> float:
    """Seconds of processor that a child has taken; it is reaped."""
    _, _, usage = os.wait4(pid, 0)
    return usage.ru_utime + usage.ru_stime


def rounds_for(seconds: float) -> int:
    """How many rounds of the training function's loop take so long."""
    began = time.thread_time()
    total = 0
    for i in range(2_000_000):
        total += i * i
    return round(2_000_000 * seconds / (time.thread_time() - began))


def beside(repeats: int) -> None:
    """Print wall times and steps of each side, and their ratios to the first."""
    sides = ("lines", "live view", "sweep watch", "sweep ui")
    walls: dict[str, list[float]] = {side: [] for side in sides}
    steps: dict[str, list[float]] = {side: [] for side in sides}
    spent: dict[str, list[float]] = {side: [] for side in sides}
    trained = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "train.py").write_text(TRAIN.format(rounds=rounds_for(0.2)))
        for turn in range(repeats):
            for side in sides:
                run = Watched(folder, f"run-{turn}-{side.replace(' ', '-')}")
                run.run(side)
                print(f"{side}: {run.wall_s():.1f} s", file=sys.stderr)
                walls[side].append(run.wall_s())
                steps[side].append(statistics.median(run.steps_s("seconds")))
                spent[side].append(run.watcher_cpu_s)
                trained = sum(run.steps_s("cpu_seconds"))
    print("| watched by | wall s | ratio (min to max) | s of a step | ratio | CPU s of what watches beside |")
    print("|---|---|---|---|---|---|")
    for side in sides:
        ratios = [mine / bare for mine, bare in zip(walls[side], walls["lines"], strict=True)]
        by_step = [mine / bare for mine, bare in zip(steps[side], steps["lines"], strict=True)]
        print(
            f"| {side} | {statistics.median(walls[side]):.1f} | {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f}) | {statistics.median(steps[side]):.3f} | "
            f"{statistics.median(by_step):.3f} | {statistics.median(spent[side]):.1f} |"
        )
    print(f"\nthe training itself: {trained:.0f} CPU seconds a run")


PARTS: dict[str, Callable[[int], object]] = {"view": view_share, "report": report, "beside": beside}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--feed", choices=["none", "view"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.feed:
        feed(options.feed)
        return
    print(f"load {os.getloadavg()[0]:.1f}\n")
    for name in options.only:
        PARTS[name](options.repeats)


if __name__ == "__main__":
    main()
