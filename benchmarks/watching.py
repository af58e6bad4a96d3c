"""What does it cost to watch a study, and how soon is a report there?

    python benchmarks/watching.py [--repeats 3] [--only view report beside]

- view: the live view on a terminal of 120 columns and 40 rows with 16 trials at work and 10 reports a second, as the
  share of a core that its process takes beyond one that only takes the same events in. Promised: 3 %.
- report: `sweep report` of 1,000 trials. Promised: 10 s and 5 MB.
- beside: a study on two Ray workers that are always busy. In turn nobody watches, `sweep watch` does on a terminal,
  nobody does, `sweep ui` does, with a page that follows the study: a window of 12 s each, its first 4 s not counted.
  Told is what a training step takes while somebody watches, as a ratio to the windows before and after; the control is
  the same ratio where nobody watches in between.

The machine's other work shows in each window, so the spread is printed beside the medians. Seven minutes.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import resource
import signal
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
from contextlib import contextmanager, suppress
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

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
STEP_S, WINDOW_S, SETTLING_S = 0.1, 12.0, 4.0
SWEEP = [sys.executable, "-m", "sweep"]

TRAIN = """
import time

def train(config, ctx):
    for epoch in range(1, 21):
        began = time.perf_counter()
        total = 0
        for i in range({rounds}):
            total += i * i
        ctx.report({{"epoch": epoch, "loss": config["x"] + 1 / epoch, "seconds": time.perf_counter() - began}})
"""
SPEC = """
name: watched
entrypoint: train.py:train
metric: {name: loss, goal: minimize}
parameters: {x: {min: 0.0, max: 1.0}}
search: {algorithm: random}
scheduler: {type: none, max_t: 20}
budget: {trials: 10000}
resources: {cpu: 1}
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


class Busy:
    """A study at work, and who watches it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "train.py").write_text(TRAIN.format(rounds=rounds_for(STEP_S)))
        (folder / "watched.yaml").write_text(SPEC)
        self.events = folder / "studies" / "watched" / "events.jsonl"
        self._nowhere = (folder / "out.log").open("w")
        self.driver = self._start([*SWEEP, "launch", "watched.yaml", "--address", "local", "--yes"])
        while '"reported"' not in (self.events.read_text() if self.events.is_file() else ""):
            if self.driver.poll() is not None:
                raise SystemExit((folder / "out.log").read_text())
            time.sleep(0.2)

    def _start(self, command: list[str], out: int | None = None) -> subprocess.Popen[bytes]:
        place: Any = self._nowhere if out is None else out
        return subprocess.Popen(
            command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=place, stderr=place, env=terminal_environment()
        )

    def end(self) -> None:
        """Stop the study."""
        self.driver.send_signal(signal.SIGINT)
        self.driver.wait()
        self._nowhere.close()

    @contextmanager
    def nobody(self) -> Iterator[None]:
        """Nobody watches."""
        yield

    @contextmanager
    def watch(self) -> Iterator[None]:
        """`sweep watch` does, on a terminal."""
        with terminal() as screen:
            watcher = self._start([*SWEEP, "watch", "watched"], screen)
            yield
            watcher.send_signal(signal.SIGINT)
            watcher.wait()

    @contextmanager
    def ui(self) -> Iterator[None]:
        """`sweep ui` does, with a page open."""
        told = self.folder / "ui.log"
        with told.open("w") as out:
            server = self._start([*SWEEP, "ui", "--port", "0", "--no-open", "--storage", "studies"], out.fileno())
            while not (found := re.findall(r"http://\S+", told.read_text())):
                time.sleep(0.05)
            threading.Thread(target=self._follow_page, args=(found[0],), daemon=True).start()
            yield
            server.send_signal(signal.SIGINT)
            server.wait()

    def _follow_page(self, address: str) -> None:
        """As a browser with the study's page open does."""
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        host = address.partition("?")[0].rstrip("/")
        with suppress(OSError):
            browser.open(address).read()
            browser.open(f"{host}/studies/watched").read()
            with browser.open(f"{host}/api/studies/watched/stream") as stream:
                while stream.readline():
                    pass

    def steps(self) -> list[tuple[float, float, float]]:
        """When each step began and ended, and what the function itself says it took."""
        found = []
        for line in self.events.read_text().splitlines()[:-1]:
            each = json.loads(line)
            if each["type"] == "reported":
                took = each["metrics"]["seconds"]
                found.append((each["time"] - took, each["time"], took))
        return found


def _children_s() -> float:
    """Seconds of processor that children have taken, those that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def rounds_for(seconds: float) -> int:
    """How many rounds of the training function's loop take so long."""
    began = time.thread_time()
    total = 0
    for i in range(2_000_000):
        total += i * i
    return round(2_000_000 * seconds / (time.thread_time() - began))


def beside(repeats: int) -> None:
    """Print what a step takes while somebody watches."""
    with tempfile.TemporaryDirectory() as name:
        busy = Busy(Path(name))
        sides = {"nobody": busy.nobody, "sweep watch": busy.watch, "sweep ui": busy.ui}
        order = [
            side
            for _ in range(2 * repeats)
            for side in ("sweep watch", "nobody", "sweep ui", "nobody", "nobody", "nobody")
        ]
        windows: list[tuple[str, float, float]] = []
        try:
            for side in ["nobody", *order]:
                with sides[side]():
                    began = time.time()
                    time.sleep(WINDOW_S)
                    windows.append((side, began + SETTLING_S, time.time()))
        finally:
            busy.end()
        steps = busy.steps()
    taken = [
        statistics.fmean(took for start, end, took in steps if began <= start and end <= ended)
        for _, began, ended in windows
    ]
    ratios: dict[str, list[float]] = {side: [] for side in sides}
    for place in range(1, len(windows) - 1):
        around = {windows[place - 1][0], windows[place + 1][0]}
        if around == {"nobody"}:
            ratios[windows[place][0]].append(2 * taken[place] / (taken[place - 1] + taken[place + 1]))
    print("| who watches | s of a training step | ratio to before and after | min to max | windows |")
    print("|---|---|---|---|---|")
    for side, found in ratios.items():
        mine = [took for (one, _, _), took in zip(windows, taken, strict=True) if one == side]
        print(
            f"| {side} | {statistics.median(mine):.3f} | {statistics.median(found):.3f} | {min(found):.2f} to "
            f"{max(found):.2f} | {len(found)} |"
        )


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
