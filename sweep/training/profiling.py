"""What an attempt spends its time on: a trace of the training between two reports."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROWS = 30


@contextmanager
def profiled(folder: Path, name: str, at_report: Callable[[Callable[[], None]], None]) -> Iterator[None]:
    """Trace the training from its first report to its second; until its end where there is no second.

    Nothing is written of an attempt that did nothing after its first report.

    The first step of fidelity is left out: kernels are chosen, compiled and recorded in it. `NAME.json.gz` opens in
    Perfetto and in chrome://tracing, `NAME.txt` has the operations that took longest.

    Args:
        folder: where both are written.
        name: of the files.
        at_report: takes what is to be called after each report.
    """
    import torch
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    tracer: Any = profile(activities=activities)
    reports = [0]

    def write() -> None:
        tracer.stop()
        averages = tracer.key_averages()
        if not averages:
            sys.stderr.write("profile: nothing to trace, as the attempt ended with its first report\n")
            return
        folder.mkdir(parents=True, exist_ok=True)
        tracer.export_chrome_trace(str(folder / f"{name}.json.gz"))
        order = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        table = averages.table(sort_by=order, row_limit=ROWS, max_name_column_width=60)
        (folder / f"{name}.txt").write_text(table)
        sys.stderr.write(f"profile: {folder / name}.json.gz, and the longest operations in {name}.txt\n")

    def reported() -> None:
        reports[0] += 1
        if reports[0] == 1:
            tracer.start()
        elif reports[0] == 2:  # noqa: PLR2004
            write()

    at_report(reported)
    try:
        yield
    finally:
        if reports[0] == 1:
            write()
