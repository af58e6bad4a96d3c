"""What does a study lose when workers, nodes and driver are killed with -9 at random moments, and how soon is it back?

Linux, two cores, 4 GB; about eight minutes for 20 kills. A Ray of a head and three nodes on this machine, with token
authentication, runs trials that are random walks: what a walk comes to depends on its generator's whole past. Kills are
drawn by the seed. A node that is killed is replaced after some seconds, a driver by `sweep resume`. At the end every
trial has to be finished, what was finished before a kill has to be as it was, no event may be there twice, and all
values have to be those of the same study without a kill. Else the exit code is 1.

    python benchmarks/kills.py [--kills 20] [--seed 0]

Promised: less than 60 s of a trial's progress lost by a kill, and less than 15 s from when the loss is known to the
start of the next attempt of a trial that was hit ("begun"; "back" is the last of them).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KINDS = ("worker", "node", "driver")
NODES, CORES = 3, 2
"""Six places, of which the study takes four: so one that was lost has somewhere to go."""

EPOCHS, STEP_S, TRIALS_A_KILL = 12, 0.5, 5
REPLACED_S = 5.0
"""After which a node that was killed is replaced."""

LOST_S, BEGUN_S = 60.0, 15.0
"""What is promised."""

TRAIN = """
import os, pathlib, time
import torch

def train(config, ctx):
    state = ctx.restore() or {"at": torch.zeros(())}
    pathlib.Path(os.environ["PIDS"], f"{ctx.trial}-{ctx.attempt}").write_text(str(os.getpid()))
    for _ in range(ctx.t, ctx.max_t):
        time.sleep(config["step_s"])
        state["at"] = state["at"] + config["x"] * torch.randn(())
        ctx.report({"loss": float(state["at"])}, checkpoint=state)
"""

SPEC = """
name: walk
entrypoint: train.py:train
metric: {{name: loss, goal: minimize}}
parameters: {{x: {{min: 0.5, max: 1.0}}, step_s: {step_s}}}
search: {{algorithm: random, seed: {seed}}}
scheduler: {{type: none, max_t: {epochs}}}
budget: {{trials: {trials}}}
resources: {{cpu: 1, max_concurrent: 4}}
retries: {{max: 0}}
environment: {{env: {{PIDS: "{pids}"}}}}
"""

Event = dict[str, Any]
Key = tuple[int, int]


@dataclass
class Kill:
    """One of them, and what came of it.

    Attributes:
        kind: of KINDS.
        at: when, in seconds since 1970.
        hit: the attempts that were at work there, and since when none of their progress was safe.
        finished: trials that had ended by then.
        known: when the loss was known: to the driver, or to whoever resumed.
        began: when the next attempt of each trial that was hit had begun.
        spared: attempts that were at work there and came to their ends all the same.
    """

    kind: str
    at: float
    hit: dict[Key, float]
    finished: set[int]
    known: float | None = None
    began: dict[int, float] = field(default_factory=dict)
    spared: int = 0

    @property
    def lost_s(self) -> float:
        """The most of a trial's progress that has to be trained again."""
        return max((self.at - since for since in self.hit.values()), default=0.0)

    @property
    def begun_s(self) -> float:
        """From when the loss was known until the first trial that was hit went on."""
        return min(self.began.values(), default=self.known or 0.0) - (self.known or 0.0)

    @property
    def back_s(self) -> float:
        """From when the loss was known until the last one did."""
        return max(self.began.values(), default=self.known or 0.0) - (self.known or 0.0)


class Study:
    """A folder with a study, and the process that drives it."""

    def __init__(self, folder: Path, *, trials: int, seed: int, step_s: float, options: list[str]) -> None:
        self.folder, self.options = folder, options
        self.pids = folder / "pids"
        self.pids.mkdir(parents=True)
        (folder / "train.py").write_text(TRAIN)
        spec = SPEC.format(step_s=step_s, seed=seed, epochs=EPOCHS, trials=trials, pids=self.pids)
        (folder / "walk.yaml").write_text(spec)
        self.driver: subprocess.Popen[bytes] | None = None

    def start(self, *words: str) -> None:
        """Launch or resume it in a process of its own."""
        with (self.folder / "out.log").open("a") as out:
            self.driver = subprocess.Popen(
                [sys.executable, "-m", "sweep", *words, *self.options],
                cwd=self.folder, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip

    def events(self) -> list[Event]:
        """What has happened; a line that is being written isn't among it."""
        path = self.folder / "studies" / "walk" / "events.jsonl"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def at_work(self) -> dict[Key, Event]:
        """The attempts that run, by the log."""
        found: dict[Key, Event] = {}
        for event in self.events():
            if event["type"] == "run_started":
                found.clear()
            elif event["type"] == "attempt_started":
                found[event["trial"], event["attempt"]] = event
            elif event["type"] == "attempt_ended":
                found.pop((event["trial"], event["attempt"]), None)
        return found

    def finished(self) -> set[int]:
        """Trials that have come to their ends: which is decided on their last report."""
        return {e["trial"] for e in self.events() if e["type"] == "decided" and e["action"] == "finish"}

    def values(self) -> dict[Key, float]:
        """The last word on each epoch of each trial."""
        reports = [event for event in self.events() if event["type"] == "reported"]
        return {(e["trial"], int(e["metrics"]["epoch"])): e["metrics"]["loss"] for e in reports}

    def over(self) -> bool:
        """Whether its driver has ended."""
        return self.driver is not None and self.driver.poll() is not None

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = 180) -> None:
        """Until it holds.

        Raises:
            TimeoutError: it doesn't in that time.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} has not come in {seconds:.0f} s:\n{(self.folder / 'out.log').read_text()}")
            time.sleep(0.1)


class Fleet:
    """A Ray of several nodes on this machine."""

    def __init__(self, folder: str) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "temp_dir": folder, "include_dashboard": False}
        )
        self._nodes = [self._cluster.add_node(num_cpus=CORES) for _ in range(NODES)]
        self._due: list[float] = []

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return str(self._cluster.address)

    def of(self, attempt: Event) -> Any:
        """The node that an attempt is on: told from the others of its host by the head of its id."""
        return next(node for node in self._nodes if attempt["node"].endswith(node.node_id[:8]))

    def kill(self, node: Any) -> None:
        """-9 to its raylet and to all that this has started, as when a machine goes; another one comes later."""
        self._nodes.remove(node)
        for process in node.all_processes["raylet"]:
            for pid in [process.process.pid, *_descendants(process.process.pid)]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._due.append(time.monotonic() + REPLACED_S)

    def replace(self) -> None:
        """Add the nodes that are due."""
        while self._due and self._due[0] <= time.monotonic():
            self._due.pop(0)
            self._nodes.append(self._cluster.add_node(num_cpus=CORES))

    def close(self) -> None:
        """End all of it."""
        self._cluster.shutdown()


def _descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], check=False, capture_output=True, text=True)
    children = [int(word) for word in listed.stdout.split()]
    return [each for child in children for each in (child, *_descendants(child))]


def main() -> int:
    """Kill, wait, look, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patient", action="store_true", help="hold no time to what is promised: on a busy machine")
    arguments = parser.parse_args()
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    os.environ.pop("RAY_ADDRESS", None)
    with tempfile.TemporaryDirectory(prefix="swk", ignore_cleanup_errors=True) as folder:
        shared: dict[str, Any] = {"trials": TRIALS_A_KILL * arguments.kills, "seed": arguments.seed}
        twin = Study(Path(folder, "twin"), **shared, step_s=0, options=["--executor", "inline"])
        twin.start("launch", "walk.yaml", "--yes")
        twin.wait_for(twin.over, "the end of the study without kills", 600)
        fleet = Fleet(f"{folder}/ray")
        options = ["--executor", "ray", "--address", fleet.address]
        study = Study(Path(folder, "study"), **shared, step_s=STEP_S, options=options)
        try:
            kills = run(study, fleet, random.Random(arguments.seed), arguments.kills)
        finally:
            if study.driver is not None and study.driver.poll() is None:
                study.driver.kill()
                study.driver.wait()
            fleet.close()
        show(kills)
        wrong = [
            *([] if len(kills) == arguments.kills else [f"the study ended after {len(kills)} kills"]),
            *broken(study, twin, kills),
            *([] if arguments.patient else late(kills)),
        ]
        done = f"{len(study.finished())} trials finished, none twice, all values as without kills"
        print("\n".join(wrong) if wrong else done)
        return 1 if wrong else 0


def run(study: Study, fleet: Fleet, draw: random.Random, count: int) -> list[Kill]:
    """The study, disturbed so often."""
    kinds = [KINDS[number % len(KINDS)] for number in range(count)]
    draw.shuffle(kinds)
    kills: list[Kill] = []
    study.start("launch", "walk.yaml", "--yes")
    for kind in kinds:
        study.wait_for(lambda: len(study.at_work()) >= 2 or study.over(), "trials at work")
        until = time.monotonic() + draw.uniform(0.5, 5.0)
        while time.monotonic() < until:
            fleet.replace()
            time.sleep(0.05)
        if study.over():
            break
        kills.append(strike(study, fleet, draw, kind))
        study.wait_for(lambda: _recovered(study, fleet, kills[-1]), f"the way back after a {kind} was killed")
    study.wait_for(study.over, "the end of the study", 900)
    return kills


def strike(study: Study, fleet: Fleet, draw: random.Random, kind: str) -> Kill:
    """Kill one of a kind, with a trial at work on it."""
    at_work, safe = study.at_work(), _safe(study)
    chosen = draw.choice(sorted(at_work))
    node = at_work[chosen]["node"]
    hit = {"worker": [chosen], "node": [key for key in at_work if at_work[key]["node"] == node], "driver": [*at_work]}
    kill = Kill(kind, time.time(), {key: safe[key] for key in hit[kind]}, study.finished())
    if kind == "worker":
        os.kill(_worker(study, chosen), signal.SIGKILL)
    elif kind == "node":
        fleet.kill(fleet.of(at_work[chosen]))
    elif study.driver is not None:
        study.driver.kill()
        study.driver.wait()
        kill.known = time.time()
        study.start("resume", "walk")
    return kill


def _worker(study: Study, key: Key) -> int:
    """The process of an attempt; only one of ours is ever named."""
    pid = int((study.pids / f"{key[0]}-{key[1]}").read_text())
    title = Path(f"/proc/{pid}/cmdline").read_text()
    if not title.startswith("ray::walk"):
        raise RuntimeError(f"process {pid} is {title!r}, not a worker of this study")
    return pid


def _safe(study: Study) -> dict[Key, float]:
    """For each attempt the time up to which its progress is in a checkpoint: its last report's, or its start."""
    found: dict[Key, float] = {}
    for event in study.events():
        if event["type"] == "attempt_started" or (event["type"] == "reported" and event.get("checkpoint")):
            found[event["trial"], event["attempt"]] = event["time"]
    return found


def _recovered(study: Study, fleet: Fleet, kill: Kill) -> bool:
    """Whether each trial that was hit is at work again, or has ended after all; notes when."""
    fleet.replace()
    events = study.events()
    ends = {(e["trial"], e["attempt"]): e for e in events if e["type"] == "attempt_ended"}
    starts = {(e["trial"], e["attempt"]): e["time"] for e in events if e["type"] == "attempt_started"}
    # What ended by itself between the look and the blow isn't lost.
    spared = {key for key in ends if ends[key]["outcome"] != "lost"}
    spared |= {key for key in kill.hit if key[0] in study.finished() and (key[0], key[1] + 1) not in starts}
    hit = {key: since for key, since in kill.hit.items() if key not in spared}
    kill.spared += len(kill.hit) - len(hit)
    kill.hit = hit
    if kill.kind != "driver":
        if not all(key in ends for key in kill.hit):
            return False
        kill.known = min((ends[key]["time"] for key in kill.hit), default=kill.at)
    kill.began = {trial: starts[trial, attempt + 1] for trial, attempt in kill.hit if (trial, attempt + 1) in starts}
    return len(kill.began) == len(kill.hit)


def show(kills: list[Kill]) -> None:
    """Print what came of each, and of each kind."""
    heads = "kill", "of", "hit", "spared", "lost s", "known s", "begun s", "back s"
    print("{:>4} {:<7} {:>4} {:>7} {:>7} {:>8} {:>8} {:>8}".format(*heads))
    for number, kill in enumerate(kills, start=1):
        known = (kill.known or kill.at) - kill.at
        print(
            f"{number:>4} {kill.kind:<7} {len(kill.hit):>4} {kill.spared:>7} {kill.lost_s:>7.1f} {known:>8.1f} "
            f"{kill.begun_s:>8.1f} {kill.back_s:>8.1f}"
        )
    for kind in KINDS:
        some = [kill for kill in kills if kill.kind == kind]
        if some:
            lost, begun = [kill.lost_s for kill in some], [kill.begun_s for kill in some]
            back = [kill.back_s for kill in some]
            print(
                f"{kind}: {len(some)} kills; progress lost {statistics.median(lost):.1f} s (at most {max(lost):.1f}); "
                f"first trial back {statistics.median(begun):.1f} s after it was known (at most {max(begun):.1f}), "
                f"last {statistics.median(back):.1f} s (at most {max(back):.1f})"
            )


def broken(study: Study, twin: Study, kills: list[Kill]) -> list[str]:
    """What should not be, however long it took."""
    same = study.values() == twin.values()
    return [
        *_unfinished(study),
        *_twice(study),
        *_untouched(study, kills),
        *([] if same else ["values differ from those of the study without kills"]),
    ]


def late(kills: list[Kill]) -> list[str]:
    """What took longer than is promised."""
    return [
        *[f"kill {n}: {k.lost_s:.0f} s lost" for n, k in enumerate(kills, 1) if k.lost_s >= LOST_S],
        *[f"kill {n}: begun after {k.begun_s:.0f} s" for n, k in enumerate(kills, 1) if k.begun_s >= BEGUN_S],
    ]


def _unfinished(study: Study) -> list[str]:
    created = {event["trial"] for event in study.events() if event["type"] == "trial_created"}
    ended = study.driver is not None and study.driver.returncode == 0
    return [f"trial {n} isn't finished" for n in sorted(created - study.finished())] + (
        [] if ended else [f"the last driver failed:\n{(study.folder / 'out.log').read_text()}"]
    )


def _twice(study: Study) -> list[str]:
    seen = Counter(
        (e["type"], e["trial"], e.get("attempt"), e["metrics"]["epoch"] if e["type"] == "reported" else None)
        for e in study.events()
        if e["type"] in ("trial_created", "attempt_started", "reported", "attempt_ended")
    )
    ends = Counter(e["trial"] for e in study.events() if e["type"] == "attempt_ended" and e["outcome"] == "returned")
    return [f"{each} is there {count} times" for each, count in (*seen.items(), *ends.items()) if count > 1]


def _untouched(study: Study, kills: list[Kill]) -> list[str]:
    """What was finished before a kill isn't begun again after it."""
    starts = [(e["trial"], e["time"]) for e in study.events() if e["type"] == "attempt_started"]
    return [
        f"trial {trial} was finished before a kill, and began again"
        for kill in kills
        for trial, began in starts
        if trial in kill.finished and began > kill.at
    ]


if __name__ == "__main__":
    sys.exit(main())
