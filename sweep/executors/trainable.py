"""The worker's half of the Tune executor: an actor that runs one attempt and passes its reports on."""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import ray
from ray import tune

from sweep.core.protocols import Decision, GpuMemory, Placement, RunAttempt
from sweep.executors.messages import Message, failure
from sweep.machine import mps_settings

JOIN_S = 5.0
"""How long a stopped attempt may take to leave its training function before its process is ended around it."""


class AttemptTrainable(tune.Trainable):
    """Runs the training function in a thread, which waits at each report until Tune has the study's decision.

    Tune calls `step` for the next message. That it calls again after a report means "advance"; "stop" arrives as
    `cleanup`.
    """

    run_attempt: RunAttempt

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """One bundle: the attempt's share."""
        placement: Placement = config["placement"]
        gpu = {"GPU": placement.gpu} if placement.gpu else {}
        return tune.PlacementGroupFactory([{"CPU": placement.cpu, **gpu}])

    def setup(self, config: dict[str, Any]) -> None:
        """Take the placement; the training function starts with the first step."""
        self._placement: Placement = config["placement"]
        if not self._placement.gpu:
            # Ray 2.60 leaves all GPUs visible to an actor that asked for none.
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        os.environ.update(mps_settings(self._placement.gpu))
        self._messages: queue.Queue[Message] = queue.Queue()
        self._answers: queue.Queue[Decision] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._waiting = False
        self._memory: GpuMemory | None = None

    def __repr__(self) -> str:
        """What the Ray dashboard shows for this actor: study, trial, attempt and the parameters that vary."""
        placement = self._placement
        return f"{placement.study} #{placement.trial} attempt {placement.attempt} {placement.label}".rstrip()

    def step(self) -> dict[str, Any]:
        """The next message of the attempt."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._train, name="training", daemon=True)
            self._thread.start()
            gpus = ray.get_gpu_ids()
            device = "cuda:" + ",".join(map(str, gpus)) if gpus else "cpu"
            return {"message": Message("hello", node=socket.gethostname(), device=device)}
        if self._waiting:
            self._waiting = False
            self._answers.put(Decision("advance", "Tune asked for the next report"))
        message = self._messages.get()
        self._waiting = message.kind == "report"
        return {"message": message, "done": message.kind == "end"}

    def _train(self) -> None:
        try:
            outcome = type(self).run_attempt(self._placement, self)
        except BaseException as error:  # noqa: BLE001 - `step` waits: a thread that ends without a word hangs the study
            self._messages.put(replace(failure(error), memory=self._memory))
        else:
            self._messages.put(Message("end", outcome=outcome, memory=self._memory))

    def report(self, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        """Deliver a report from the training thread; see `sweep.core.protocols.Channel`."""
        self._messages.put(Message("report", metrics=dict(metrics), checkpoint=checkpoint))
        return self._answers.get()

    def measured(self, memory: GpuMemory) -> None:
        """See `sweep.core.protocols.MeasuringChannel`; it goes with the end."""
        self._memory = memory

    def cleanup(self) -> None:
        """Let the training thread leave its function, for a while."""
        placement = self._placement
        # Tune says that the attempt ends, and neither how nor why.
        where = f"see sweep trials {placement.study} {placement.trial}"
        self._answers.put(Decision("stop", f"by the study's decision ({where})"))
        if self._thread is not None:
            self._thread.join(JOIN_S)


def trainable_class(study: str, run_attempt: RunAttempt) -> type[AttemptTrainable]:
    """A trainable of this study: the class name is what the Ray dashboard shows first."""
    body = {"run_attempt": staticmethod(run_attempt), "__module__": __name__}
    return type(study, (AttemptTrainable,), body)
