"""How soon is the page of a study with many trials there, and what does it cost to keep it so?

    python benchmarks/ui.py [--trials 100 1000 10000] [--repeats 7]

Each study is acted out on simulated workers (eight, ASHA) and its log written; `sweep ui`'s server runs in a thread, a
Chromium opens the page. Cold: the server hasn't read the study before, and the browser has nothing in its cache; the
others are opened again and again. Told are milliseconds from the start of the navigation to the first paint with
content, and to the table of trials with its first rows; for the first opening also until the first figure. Beside them
the size of the page, and what a look at the log costs when one report is new and when none is. Needs the extra `ui`,
playwright and Chromium. A minute or two.
"""

from __future__ import annotations

import argparse
import math
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from sweep.cli.web import models
from sweep.core import events as ev
from sweep.core.spec import Budget, Choice, FloatRange, IntRange, Metric, Scheduler, Search, StudySpec
from sweep.simulating import simulate
from sweep.store import study_folder
from sweep.store.events import EventLog, encode
from sweep.store.paths import StudyPaths
from sweep.watch.ui.app import Parts
from sweep.watch.ui.feed import Feed
from sweep.watch.ui.serving import Serving

PROMISED_MS, PROMISED_AT = 1000.0, 1000

TIMES = """() => {
  const paint = performance.getEntriesByName('first-contentful-paint')[0];
  return [paint ? paint.startTime : null, window.rowsAt ?? null];
}"""
WATCH = """
  new MutationObserver((_, watching) => {
    if (document.querySelector('#table tbody tr')) { window.rowsAt = performance.now(); watching.disconnect(); }
  }).observe(document, { childList: true, subtree: true });
"""


def course(config: dict[str, Any]) -> Any:
    """A curve that falls, and a second an epoch."""
    from sweep.executors.simulated import Course

    worst = abs(math.log10(config["lr"]) + 3) + config["dropout"] / 10
    return Course({"val_loss": [2 / t + worst for t in range(1, 28)]}, 1.0)


def study(folder: Path, trials: int) -> StudyPaths:
    """A study that has ended, on the disk."""
    spec = StudySpec(
        name=f"study-{trials}",
        entrypoint="m:f",
        metric=Metric(name="val_loss", goal="minimize"),
        parameters={
            "lr": FloatRange(min=1e-5, max=1e-1, log=True),
            "dropout": FloatRange(min=0.0, max=0.5),
            "width": IntRange(min=16, max=512, log=True),
            "act": Choice(values=["relu", "gelu", "silu"]),
        },
        search=Search(algorithm="random", seed=1),
        scheduler=Scheduler(max_t=27),
        budget=Budget(trials=trials),
    )
    paths = study_folder.create(folder, spec, base_dir=folder, now=0.0, version="0")
    done = simulate(spec, course, slots=8)
    log = EventLog(paths.events)
    log.append(*(encode(event) for event in done.log.events() if not isinstance(event, ev.StudyCreated)))
    log.close()
    return paths


def opening(browser: Any, served: Serving, name: str, repeats: int) -> dict[str, Any]:
    """Milliseconds to the paint and to the rows, cold and warm."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(served.address)
    page.wait_for_url(f"http://127.0.0.1:{served.port}/")
    page.add_init_script(WATCH)
    found: list[tuple[float, float]] = []
    figure = size = 0.0
    for turn in range(repeats + 1):
        began = time.perf_counter()
        answer = page.goto(f"http://127.0.0.1:{served.port}/studies/{name}")
        page.wait_for_selector("#table tbody tr", state="attached", timeout=60_000)
        found.append(tuple(page.evaluate(TIMES)))
        size = len(answer.body())
        if turn == 0:
            page.wait_for_selector("#history", state="attached", timeout=60_000)
            page.evaluate("document.getElementById('history').scrollIntoView()")
            page.wait_for_selector("#figure-history[data-drawn]", timeout=60_000)
            figure = 1000 * (time.perf_counter() - began)
        page.goto("about:blank")
    context.close()
    return {"cold": found[0], "warm": found[1:], "figure": figure, "size": size}


def looking(paths: StudyPaths) -> tuple[float, float, float]:
    """Milliseconds of a first look, of one with a new line, and of one without."""
    feed = Feed(paths)
    began = time.process_time()
    feed.look()
    first = time.process_time() - began
    lines = paths.events.read_bytes().splitlines(keepends=True)
    # The log's end comes again, line by line.
    tail = lines[-200:]
    paths.events.write_bytes(b"".join(lines[:-200]))
    feed = Feed(paths)
    feed.look()
    costs = []
    with paths.events.open("ab", buffering=0) as file:
        for line in tail:
            file.write(line)
            began = time.process_time()
            feed.look()
            feed.state()
            feed.rows(feed.revision - 1)
            costs.append(time.process_time() - began)
    began = time.process_time()
    for _ in range(200):
        feed.look()
    return 1000 * first, 1000 * statistics.median(costs), 5 * (time.process_time() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("not measured: there is no chromium here")
        return
    from playwright.sync_api import sync_playwright

    print(
        "| trials | page KB | first paint, cold | warm (min to max) | rows, cold | warm (min to max) | first figure |"
    )
    print("|---|---|---|---|---|---|---|")
    costs, held = [], True
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        storage = Path(name)
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader"],
        )
        made = [study(storage, trials) for trials in options.trials]
        parts = Parts(storage, lambda *_: {"accepted": False, "answer": ""}, lambda: models(storage / "none"))
        for trials, paths in zip(options.trials, made, strict=True):
            with Serving(parts, 0).in_thread() as served:
                found = opening(browser, served, paths.root.name, options.repeats)
            paints, rows = (sorted(values) for values in zip(*found["warm"], strict=True))
            cold_paint, cold_rows = found["cold"]
            print(
                f"| {trials} | {found['size'] / 1000:.0f} | {cold_paint:.0f} | {_spread(paints)} | {cold_rows:.0f} | "
                f"{_spread(rows)} | {found['figure']:.0f} |"
            )
            held = held and (trials > PROMISED_AT or max(cold_paint, *paints) < PROMISED_MS)
            costs.append((trials, *looking(paths)))
        browser.close()
    print("\n| trials | ms of a first look | of one with a new line, and its picture | of one without |")
    print("|---|---|---|---|")
    for trials, first, new, none in costs:
        print(f"| {trials} | {first:.0f} | {new:.2f} | {none:.3f} |")
    print(
        f"\npromised with {PROMISED_AT} trials: {PROMISED_MS:.0f} ms to the first paint: {'held' if held else 'MISSED'}"
    )


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ({values[0]:.0f} to {values[-1]:.0f})"


if __name__ == "__main__":
    main()
