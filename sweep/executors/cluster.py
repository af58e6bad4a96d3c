"""The Ray cluster under an executor: joined or started, measured, left."""

from __future__ import annotations

import logging
import os
import platform
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import ray
from ray.job_config import JobConfig
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweep.core.agreement import refused
from sweep.core.capacity import grant, too_small
from sweep.core.findings import Versions
from sweep.core.limits import check_prices, hour_of
from sweep.core.pool import Demand, Node
from sweep.core.protocols import Capacity
from sweep.core.spec import Resources
from sweep.errors import InputError, first_line
from sweep.executors import storage
from sweep.executors.nodes import Nodes, Outlook, Seen
from sweep.machine import mps_runs

USUAL_DASHBOARD = "127.0.0.1:8265"

MPS_NOTE = "MPS runs here: trials on one GPU compute at the same time, each on its share of the threads."

OPEN_S = 60.0
"""How long a cluster that was joined may take to name its nodes."""

KNOCK_S = 5.0
"""How long a cluster may take to answer at its address."""


class VersionError(InputError):
    """The cluster runs another Ray or Python than this process.

    Attributes:
        head: what it runs.
    """

    def __init__(self, message: str, head: Versions) -> None:
        self.head = head
        super().__init__(message)


class Cluster:
    """The Ray that a study runs on.

    Args:
        options: for `ray.init`, e.g. `num_gpus`, `_temp_dir` or `address`; and `metadata`, texts that Ray's dashboard
            shows of the job. A cluster that this process is already connected to is used and left running.
        studies: their folder, which all nodes have to share.
    """

    def __init__(self, options: Mapping[str, Any], studies: Path | None = None) -> None:
        self._options = options
        self._studies = studies
        self._ours = False
        self._outlook = Outlook()
        self.nodes = Nodes()
        self._gate: storage.Gate | None = None
        self._check: storage.Check | None = None

    def open(self, resources: Resources) -> Capacity:
        """Connect to Ray, or start one on this machine; find out what fits.

        Raises:
            InputError: there is no such cluster, or it doesn't let us in.
            ResourceError: no node can hold a trial.
        """
        if ray.is_initialized():
            dashboard = _dashboard_of_running()
        else:
            with quiet():
                context = connect({"log_to_driver": False, "logging_level": logging.ERROR, **_as_job(self._options)})
            self._ours = True
            dashboard = context.dashboard_url
        try:
            nodes = self._first_look(memory=resources.gpu_memory is not None)
            granted = grant(resources, nodes)
            check_prices(resources, nodes)
            hinders = partial(too_small, resources, granted.gpu) if resources.gpu_memory else None
            if self._studies is not None or hinders is not None:
                self._gate = storage.Gate(self._studies, self.nodes.id_of, hinders)
            if self._studies is not None:
                used = {node.name: self.nodes.id_of(node.name) for node in nodes if node.works}
                known = {name: key for name, key in used.items() if key is not None}
                self._check = storage.Check(self._studies, known)
        except InputError:
            self.close()
            raise
        shared = granted.gpu and (granted.gpu < 1 or resources.gpu == "auto")
        mps = [MPS_NOTE] if shared and mps_runs() else []
        login = [_login_note(dashboard)] if dashboard and _asks_for_a_token(f"http://{dashboard}/api/version") else []
        return Capacity(
            slots=granted.slots,
            gpu=granted.gpu,
            cpu=granted.cpu,
            nodes=tuple(nodes),
            machines=self.machines,
            hour=self.hour,
            notes=(*granted.notes, *mps, *login),
            dashboard=f"http://{dashboard}" if dashboard else None,
        )

    def settle(self) -> None:
        """Wait until the nodes have shown that they have the studies' folder, which they are asked from `open` on.

        Raises:
            InputError: some don't have it.
        """
        if self._check is not None:
            self._check.settle()

    def at(self, node: str) -> dict[str, Any]:
        """Ray's options for an actor where room was kept for it; elsewhere, once that node is gone."""
        key = self.nodes.id_of(node)
        return {} if key is None else {"scheduling_strategy": NodeAffinitySchedulingStrategy(key, soft=True)}

    @property
    def machines(self) -> int:
        """How many there are that attempts may run on, or still do."""
        return sum(node.works for node in self.nodes.there)

    @property
    def hour(self) -> float:
        """What an hour of all its nodes costs, as their labels say."""
        return hour_of(self.nodes.there)

    def changes(self) -> list[Seen]:
        """What has become of its nodes since this was last asked; nothing new where the last look was just now."""
        sights = self._outlook.look() if self._outlook.due() else None
        seen = [] if sights is None else self.nodes.take(sights, time.time())
        return seen if self._gate is None else self._gate.take(seen)

    def doubt(self, node: str) -> None:
        """Something was lost on the node: whether it is still there is told by `changes`, at once."""
        self.nodes.doubt(node)
        self._outlook.hurry()

    def _first_look(self, *, memory: bool) -> list[Node]:
        """The nodes on which something may be started."""
        sights = self._outlook.look(OPEN_S)
        if sights is None:
            raise InputError(f"address: the cluster's control store has not answered for {OPEN_S:.0f} s. Does it run?")
        self.nodes.take(sights, time.time())
        if memory:
            keys = {node.name: self.nodes.id_of(node.name) for node in self.nodes.open if node.gpu}
            self.nodes.measured(storage.gpu_memory({name: key for name, key in keys.items() if key is not None}))
        return self.nodes.open

    def close(self) -> None:
        """Leave the cluster; a Ray that we started ends, and so do all actors of this process."""
        for asked in (self._gate, self._check):
            if asked is not None:
                asked.close()
        if self._ours:
            self._ours = False
            ray.shutdown()


def taken(share: Demand, ours: Sequence[Demand]) -> str:
    """What others hold of the Ray that this process is connected to; nothing where it has room for one more `share`.

    Args:
        share: that of an attempt.
        ours: what this study's own processes hold.
    """
    offered, free = ray.cluster_resources(), ray.available_resources()
    told = []
    for name, wanted, own in (
        ("CPU", share.cpu, sum(each.cpu for each in ours)),
        ("GPU", share.gpu, sum(each.gpu for each in ours)),
    ):
        there, left = offered.get(name, 0.0), free.get(name, 0.0)
        others = there - left - own
        if wanted > left and others > 0:
            told.append(f"{others:g} of {there:g} {name}")
    return f"other work on this Ray holds {' and '.join(told)}" if told else ""


def _login_note(dashboard: str) -> str:
    named = "" if dashboard == USUAL_DASHBOARD else f" --address http://{dashboard}"
    return f"The dashboard asks for a token; `sweep dashboard{named}` opens it logged in."


def _as_job(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options for `ray.init`, `metadata` among them as that of Ray's job: its dashboard shows it."""
    given = dict(options)
    metadata = given.pop("metadata", None)
    return {"job_config": JobConfig(metadata=metadata), **given} if metadata else given


def connect(options: Mapping[str, Any]) -> Any:
    """Join the cluster of `options`, or start one here.

    Raises:
        InputError: the address is none, nobody answers there, or it doesn't let us in.
        VersionError: it runs another Ray or Python.
    """
    address = options.get("address")
    if address in (None, "local"):
        return _here(options)
    if "://" in address:
        raise InputError(
            f"address: got {address!r}. Name a Ray cluster that this machine is part of: auto, or HOST:6379. "
            "From elsewhere the command goes there: sweep launch SPEC --address http://HOST:8265."
        )
    try:
        _knock(address)
        return ray.init(**options)
    except RuntimeError as error:
        head = refused(str(error))
        if head is None:
            raise
        raise VersionError(
            f"address: the cluster at {address!r} runs Ray {head.ray} and Python {head.python}, this machine Ray "
            f"{ray.__version__} and Python {platform.python_version()}. All of them and this one need the same, "
            "most simply by the same image.",
            head,
        ) from error
    except (OSError, ValueError, ray.exceptions.AuthenticationError) as error:
        raise InputError(
            f"address: no Ray cluster lets us in at {address!r} ({first_line(error)}). "
            "Is it running, and is RAY_AUTH_MODE=token set with its token?"
        ) from error


def _here(options: Mapping[str, Any]) -> Any:
    """Join the Ray that runs on this machine, or start one.

    Raises:
        InputError: there is one, and it doesn't let us in.
    """
    # Of a Ray that starts here: its dashboard shows at an attempt's row what it printed. The image says the same.
    os.environ.setdefault("RAY_ENABLE_RECORD_ACTOR_TASK_LOGGING", "1")
    try:
        return ray.init(**options)
    except (ConnectionError, ray.exceptions.AuthenticationError) as error:
        raise InputError(
            f"a Ray runs on this machine and doesn't let us in ({first_line(error)}). Start one for "
            "this study alone with --address local, or give the other's token: RAY_AUTH_TOKEN."
        ) from error


def _knock(address: str) -> None:
    """Raise OSError when nobody listens at HOST:PORT; Ray itself would go on trying for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()


@contextmanager
def quiet() -> Iterator[None]:
    """Ray's own words (its address, hints about result files that we don't want) are not for our users."""
    logger = logging.getLogger("ray")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _dashboard_of_running() -> str | None:
    node = ray._private.worker.global_worker.node  # noqa: SLF001 - Ray has no public way to ask a second time
    return getattr(node, "webui_url", None) or None


def _asks_for_a_token(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=KNOCK_S).close()  # noqa: S310 - our own dashboard, by http
    except urllib.error.HTTPError as error:
        return error.code == HTTPStatus.UNAUTHORIZED
    except OSError:
        return False
    return False
