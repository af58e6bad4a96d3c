"""How long it takes to have a large study back: a resume does it before anything runs, and so does `sweep status`.

    python benchmarks/replay.py [--trials 10000] [--reports 10] [--algorithm tpe]

A study's folder is written as a driver would: each trial reports every epoch, each report with its decision. A process
of its own then reads it, which replays it through `StudyMachine.handle`, and tells the sampler all of it.
Seconds are the processor's, so that a busy machine doesn't count, with the wall's beside them; memory is the most that
the reading process held, and what it held before. CPU only, below a minute.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sweep.core import events as ev
from sweep.core.commands import Answer
from sweep.core.drawing import draw
from sweep.core.seeds import generator
from sweep.core.space import Space
from sweep.core.spec import Budget, Choice, FloatRange, IntRange, Metric, Scheduler, Search, StudySpec
from sweep.core.study import StudyMachine
from sweep.samplers.guided_sampler import make_sampler
from sweep.samplers.teaching import teach
from sweep.store import study_folder
from sweep.store.events import EventLog, encode
from sweep.store.paths import StudyPaths

PROMISED_S, PROMISED_MIB = 5.0, 500.0


def spec_of(trials: int, reports: int, algorithm: str) -> StudySpec:
    """Six parameters; nobody is stopped, so that each trial has all its reports."""
    return StudySpec(
        name="replay",
        entrypoint="m:f",
        metric=Metric(name="val_loss", goal="minimize"),
        parameters={
            "lr": FloatRange(min=1e-5, max=1e-1, log=True),
            "momentum": FloatRange(min=0.5, max=0.99),
            "dropout": FloatRange(min=0.0, max=0.5),
            "width": IntRange(min=16, max=512, log=True),
            "depth": IntRange(min=1, max=12),
            "act": Choice(values=["relu", "gelu", "silu"]),
        },
        search=Search(algorithm=algorithm),
        scheduler=Scheduler(max_t=reports, grace_period=reports, type="none"),
        budget=Budget(trials=trials + 1),
    )


def write(folder: Path, spec: StudySpec, trials: int, reports: int) -> StudyPaths:
    """A study in which every trial reports so often."""
    paths = study_folder.create(folder, spec, base_dir=folder, now=0.0, version="0")
    machine, space, random, log = StudyMachine(spec), Space(spec), generator(1), EventLog(paths.events)

    def happened(event: ev.AnyEvent) -> None:
        commands = machine.handle(event)
        decided = [
            ev.Decided(
                time=event.time, trial=one.trial, t=one.t, action=one.decision.action, reason=one.decision.reason
            )
            for one in commands
            if isinstance(one, Answer)
        ]
        log.append(encode(event), *map(encode, decided))

    happened(ev.RunStarted(time=0.0, executor="simulated", slots=1))
    for trial in range(trials):
        at, loss = 1000.0 * trial, random.random()
        happened(ev.TrialCreated(time=at, trial=trial, config=draw(space, random)))
        happened(ev.AttemptStarted(time=at, trial=trial, attempt=1, node="10.0.0.1", device="cuda:0", gpu=0.25))
        for t in range(1, reports + 1):
            metrics = {"epoch": float(t), "val_loss": loss + 1 / t, "val_accuracy": 1 - loss, "train_loss": loss / t}
            kept = f"trials/{trial:04d}/checkpoints/epoch-{t}"
            happened(ev.Reported(time=at + t, trial=trial, attempt=1, metrics=metrics, checkpoint=kept))
        happened(ev.AttemptEnded(time=at + reports + 1, trial=trial, attempt=1, outcome="returned"))
    log.close()
    return paths


def replay(paths: StudyPaths) -> dict[str, float]:
    """Have it back, in this process."""
    before = _held_mib()
    began, worked = time.perf_counter(), time.process_time()
    machine = study_folder.read(paths).machine
    marks = [time.process_time()]
    study = _held_mib()
    sampler = make_sampler(machine.spec)
    teach(machine, [sampler])
    marks.append(time.process_time())
    return {
        "trials": len(machine.trials),
        "read_s": marks[0] - worked,
        "teach_s": marks[1] - marks[0],
        "total_s": marks[1] - worked,
        "wall_s": time.perf_counter() - began,
        "before_mib": before,
        "study_mib": study - before,
        "total_mib": _held_mib(),
    }


def _held_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Write a log, have it read by a process of its own, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--reports", type=int, default=10)
    parser.add_argument("--algorithm", default="tpe")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        print(json.dumps(replay(StudyPaths(options.read))))
        return
    spec = spec_of(options.trials, options.reports, options.algorithm)
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        paths = write(Path(folder), spec, options.trials, options.reports)
        print(f"events.jsonl: {paths.events.stat().st_size / 2**20:.0f} MiB")
        command = [sys.executable, __file__, "--read", str(paths.root)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for name, value in found.items():
        print(f"{name:<12} {value:>8.2f}")
    print(f"under {PROMISED_S:g} s: {'yes' if found['total_s'] < PROMISED_S else 'NO'}")
    print(f"under {PROMISED_MIB:g} MiB: {'yes' if found['total_mib'] < PROMISED_MIB else 'NO'}")


if __name__ == "__main__":
    main()
