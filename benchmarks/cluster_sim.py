"""Past one rack: a study on 1,000 and 10,000 GPUs, played on a simulated clock by the code that ships.

    python benchmarks/cluster_sim.py [--gpus 1000 10000] [--algorithm random] [--hours 2] [--reduce 3]

A trial has one GPU and up to 27 epochs of about two minutes; machines have 8 GPUs. What a real cluster does to a study
is in it: trials differ threefold in speed, one in twenty is three times slower still, an attempt needs 2 seconds to
begin, one attempt in a hundred fails, and each machine is taken away once in 20 hours on average, for five minutes,
with all that ran there. Curves are power laws whose end depends on the config.

Printed: the busy share (seconds in steps that were reported, over GPUs times time), when half the final improvement
was there, and what the driver does: events, and how many a second it takes by itself, without waiting for anything. A
driver keeps up as long as a cluster reports less than that.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from sweep.core import events as ev
from sweep.core.parameters import FloatRange
from sweep.core.protocols import Placement
from sweep.core.spec import Budget, Metric, Retries, Scheduler, Search, StudySpec
from sweep.executors.simulated import Course, NodeLoss
from sweep.simulating import simulate

EPOCH_S, MAX_T, PER_NODE, START_S = 120.0, 27, 8, 2.0
FAILURES, SLOW, NODE_HOURS, AWAY_S = 0.01, 0.05, 20.0, 300.0


def course(config: Mapping[str, Any]) -> Course:
    """A power law to an end that the config has, at the config's speed."""
    random = np.random.default_rng(np.array([config["x"], config["y"]]).view(np.uint32))
    end = (config["x"] - 0.3) ** 2 + 0.5 * (config["y"] - 0.7) ** 2
    t = np.arange(1, MAX_T + 1)
    losses = end + 1.0 / t + 0.02 * random.normal(size=MAX_T)
    seconds = EPOCH_S * math.exp(random.uniform(-0.55, 0.55)) * (3.0 if random.random() < SLOW else 1.0)
    return Course({"loss": list(losses)}, seconds)


def fault(placement: Placement, t: int) -> str | None:
    """One attempt in a hundred fails, at the end of its first epoch, which is then lost."""
    if t > 1:
        return None
    random = np.random.default_rng([placement.trial, placement.attempt])
    return "failed" if random.random() < FAILURES else None


def losses(nodes: int, seconds: float) -> list[NodeLoss]:
    """When each machine is taken away."""
    random = np.random.default_rng(0)
    count = random.poisson(nodes * seconds / 3600 / NODE_HOURS)
    return [
        NodeLoss(int(random.integers(nodes)), float(when), AWAY_S)
        for when in np.sort(random.uniform(0, seconds, count))
    ]


def run(gpus: int, algorithm: str, hours: float, factor: int) -> None:
    """One study; prints its line."""
    seconds = hours * 3600
    spec = StudySpec(
        name="rack",
        entrypoint="rack:train",
        metric=Metric(name="loss", goal="minimize"),
        parameters={"x": FloatRange(min=0.0, max=1.0), "y": FloatRange(min=0.0, max=1.0)},
        search=Search(algorithm=algorithm, seed=0),  # type: ignore[arg-type]
        scheduler=Scheduler(max_t=MAX_T, grace_period=1, reduction_factor=factor, promote=False),
        budget=Budget(time=seconds, failures=100 * gpus),
        retries=Retries(max=1),
    )
    nodes = gpus // PER_NODE
    began = time.perf_counter()
    played = simulate(
        spec, course, slots=gpus, nodes=nodes, gpu=1, start_s=START_S, fault=fault,
        losses=losses(nodes, seconds),
    )  # fmt: skip
    took = time.perf_counter() - began
    speed: dict[int, float] = {}
    busy, best, bests = 0.0, math.inf, []
    kinds: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    count = 0
    for event in played.log.events():
        count += 1
        kinds[event.type] += 1
        if isinstance(event, ev.TrialCreated):
            speed[event.trial] = float(course(event.config).seconds)  # type: ignore[arg-type]
        elif isinstance(event, ev.AttemptEnded):
            outcomes[event.outcome] += 1
        elif isinstance(event, ev.Reported) and event.time <= seconds:
            busy += speed[event.trial]
            if event.metrics["loss"] < best:
                best = event.metrics["loss"]
                bests.append((event.time, best))
    half = bests[0][1] - (bests[0][1] - best) / 2
    when = next(at for at, value in bests if value <= half)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{gpus:6} GPUs, {algorithm}: {len(played.machine.trials)} trials, {outcomes['failed']} failures, "
        f"{outcomes['lost']} attempts lost with their machines; busy {busy / gpus / seconds:.3f}; best {best:.3f}, "
        f"half of it after {when / 60:.0f} min; {count} events in {took:.0f} s of the driver, {count / took:.0f} a "
        f"second, where the cluster made {kinds['reported'] / seconds:.1f} reports a second; {memory:.0f} MB",
        flush=True,
    )


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gpus", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--algorithm", default="random")
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--reduce", type=int, default=3)
    options = parser.parse_args()
    for gpus in options.gpus:
        run(gpus, options.algorithm, options.hours, options.reduce)


if __name__ == "__main__":
    main()
