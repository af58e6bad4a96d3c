"""Runs attempts as Ray Tune trials, through Tune's public plug-in points.

A Searcher hands out the next placement, a TrialScheduler returns the study's decision, a Stopper ends the run, and a
class Trainable runs the training function in a thread of its actor. To Tune each attempt is simple: it runs, and maybe
it is stopped. Retries, resumes and second attempts are new Tune trials, so Tune's own snapshots are nobody's truth.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from sweep.core.pool import Demand, count
from sweep.core.protocols import Capacity, Decision, Director, Placement, RunAttempt
from sweep.core.spec import Resources
from sweep.executors.cluster import Cluster, quiet
from sweep.executors.messages import Message
from sweep.executors.trainable import trainable_class

_ENVIRONMENT = {
    # Our own log has everything; Tune's loggers write three files for each report.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Tune's snapshots are not our truth: as few as it lets us have.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    # The command line handles Ctrl-C.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # Nothing is placed that fits nowhere; and while a study is paused before its first trial, the warning breaks down.
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1e9",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}

IDLE_S = 0.1
"""How long Tune's loop rests while it has no trial: a turn would take no time."""


class TuneExecutor:
    """See `sweep.core.protocols.Executor`.

    Args:
        run_attempt: sent to the workers by its name.
        resources: of the search file.
        study: its name, which the Ray dashboard shows as the attempts' class.
        scratch: a folder that all nodes share, for what Tune insists on writing; removed by `close`.
        ray_options: for `ray.init`, e.g. `num_gpus`, `_temp_dir` or `address`. A cluster that this process is already
            connected to is used and left running.
        studies: their folder, which all nodes have to share.
    """

    name = "tune"

    def __init__(
        self,
        run_attempt: RunAttempt,
        resources: Resources,
        *,
        study: str,
        scratch: Path,
        ray_options: Mapping[str, Any] | None = None,
        studies: Path | None = None,
    ) -> None:
        self._study = study
        self._run_attempt = run_attempt
        self._resources = resources
        self._scratch = scratch
        self._cluster = Cluster(ray_options or {}, studies)

    def open(self) -> Capacity:
        """Connect to Ray, or start one on this machine; find out what fits.

        Raises:
            InputError: there is no such cluster, it doesn't let us in, or its nodes don't share the studies' folder.
            ResourceError: no node can hold a trial.
        """
        os.environ.update(_ENVIRONMENT)
        capacity = self._cluster.open(self._resources)
        self._cluster.settle()
        # The study hands out what fits, which is more than `slots` when shares shrink; the cores are their limit.
        at_most = count(capacity.nodes, Demand(0, capacity.cpu))
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(min(self._resources.max_concurrent or at_most, at_most))
        return capacity

    def run(self, director: Director) -> None:
        """Let Tune place attempts until the director has finished."""
        bridge = _Bridge(director)
        tuner = tune.Tuner(
            trainable_class(self._study, self._run_attempt),
            tune_config=tune.TuneConfig(
                search_alg=_Placements(bridge),
                scheduler=_Judge(bridge),
                num_samples=-1,
                reuse_actors=False,
                trial_name_creator=_attempt_name,
                trial_dirname_creator=_attempt_name,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(self._scratch),
                callbacks=[_Ticker(bridge)],
                stop=_WhenFinished(bridge),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        with quiet(), bridge.own_failure_first():
            tuner.fit()

    def close(self) -> None:
        """Shut down the Ray that we started; remove what Tune wrote."""
        self._cluster.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


def _attempt_name(trial: TuneTrial) -> str:
    placement: Placement = trial.config["placement"]
    return f"{placement.study}-{placement.trial:04d}-{placement.attempt}"


class _Bridge:
    """The attempts that Tune knows, and the way from its callbacks to the director.

    Tune wraps what a plug-in raises, or goes on with the trial marked as failed. A defect must not be hidden so: it is
    kept here, ends the run, and is raised at its end.
    """

    def __init__(self, director: Director) -> None:
        self.director = director
        self._placements: dict[str, Placement] = {}
        self._decisions: dict[str, Decision] = {}
        self._started: set[str] = set()
        self._failure: BaseException | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its plug-ins into snapshots that we never read."""
        return {}

    @property
    def over(self) -> bool:
        return self._failure is not None or self.director.finished

    @property
    def idle(self) -> bool:
        """Whether the study goes on and has nothing for Tune to do."""
        return not self._placements and not self.over

    @contextmanager
    def guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._failure = self._failure or error
            raise

    @contextmanager
    def own_failure_first(self) -> Iterator[None]:
        """Raise the director's failure rather than what Tune made of it."""
        try:
            yield
        finally:
            if self._failure is not None:
                raise self._failure

    def take(self, tune_id: str) -> Placement | None:
        placement = self.director.next_placement()
        if placement is not None:
            self._placements[tune_id] = placement
        return placement

    def result(self, tune_id: str, message: Message) -> bool:
        """Take in what a trainable's step returned; whether the trial goes on."""
        placement = self._placements[tune_id]
        if message.kind == "hello":
            self._started.add(tune_id)
            self.director.started(placement, node=message.node, device=message.device)
            return True
        decision = self.director.reported(placement, message.metrics, message.checkpoint)
        if decision.action != "advance":
            self._decisions[tune_id] = decision
        return decision.action == "advance"

    def ended(self, tune_id: str, message: Message | None, *, lost: bool) -> None:
        """A Tune trial is over: by a decision, by its own end, or with its process."""
        placement = self._placements.pop(tune_id, None)
        if placement is None or (tune_id not in self._started and not lost):
            return
        decision = self._decisions.pop(tune_id, None)
        if tune_id not in self._started:
            self.director.started(placement, node="", device="")
        self._started.discard(tune_id)
        if message is not None and message.memory is not None:
            self.director.measured(placement, message.memory)
        if decision is not None and decision.outcome is not None:
            self.director.ended(placement, decision.outcome)
        elif lost:
            self.director.ended(placement, "lost", "its process or its node died")
        elif message is not None and message.outcome is not None:
            self.director.ended(placement, message.outcome, message.error, message.cause)
        else:
            self.director.ended(placement, "interrupted")


class _Placements(Searcher):
    """Hands Tune the next attempt."""

    def __init__(self, bridge: _Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._bridge.over:
            return str(Searcher.FINISHED)
        with self._bridge.guarded():
            placement = self._bridge.take(trial_id)
        return None if placement is None else {"placement": placement}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        with self._bridge.guarded():
            self._bridge.ended(trial_id, (result or {}).get("message"), lost=error)

    def save(self, checkpoint_path: str) -> None:
        """The study's events are what we resume from."""

    def restore(self, checkpoint_path: str) -> None:
        """The study's events are what we resume from."""


class _Judge(FIFOScheduler):
    """Returns the study's decision."""

    def __init__(self, bridge: _Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:  # noqa: ARG002
        with self._bridge.guarded():
            go_on = self._bridge.result(trial.trial_id, result["message"])
        return str(TrialScheduler.CONTINUE if go_on else TrialScheduler.STOP)


class _WhenFinished(Stopper):
    """Ends Tune's loop, and drops attempts that haven't begun, when the study is over."""

    def __init__(self, bridge: _Bridge) -> None:
        self._bridge = bridge

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:  # noqa: ARG002 - Tune's signature
        return False

    def stop_all(self) -> bool:
        return self._bridge.over


class _Ticker(tune.Callback):
    """Tells the director that time passes, at each turn of Tune's loop (every 0.1 s or oftener)."""

    def __init__(self, bridge: _Bridge) -> None:
        self._bridge = bridge
        self._idle = 0

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:  # noqa: ARG002
        with self._bridge.guarded():
            self._bridge.director.tick()
        self._idle = self._idle + 1 if self._bridge.idle else 0
        if self._idle > 1:
            # The study is paused, and Tune has nothing to wait for.
            time.sleep(IDLE_S)
