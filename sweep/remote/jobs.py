"""Runs a verb as a Ray job on a cluster's head, and prints what it prints.

A job goes on when its follower is gone. It is stopped by SIGINT with time to end, as Ctrl-C would do here: running
trials end at their next report, and `sweep resume` goes on.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientError
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

import sweep
from sweep.errors import InputError, WorkError, first_line
from sweep.remote.asking import Asked

STOP_WAIT_S = 120
"""How long a job may take to end after it was told to."""

EXCLUDED = ("/.git", "/.venv", "/studies", "/registry", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")
"""Not sent with the working directory, beside what .gitignore and .rayignore name."""

AGENT_S = 90.0
"""How long a head may take until it accepts jobs."""

INTERRUPTED = 130
_AGENT_POLL_S = 0.5
_RETRY_S, _PAUSE_S = 2.0, 0.2
_TRIES = 30
SPOKEN = ("SWEEP_LOG_FORMAT",)
"""Settings of this machine's environment that a verb has there, too."""

_RAYS_ADDRESSES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")

_HEADLINE = "Running entrypoint for job "
"""The last line that Ray writes into a job's log before the job's own."""

_OVER = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED)


def connect(address: str) -> JobSubmissionClient:
    """The cluster's job server.

    Raises:
        InputError: nobody answers there, or it doesn't let us in.
    """
    try:
        with _this_address_alone():
            return JobSubmissionClient(address)
    except (OSError, RuntimeError, ValueError, AuthenticationError) as error:
        raise InputError(
            f"address: no Ray cluster takes a job at {address!r} ({first_line(error)}). "
            "Is its dashboard reachable (ray dashboard FILE), and is RAY_AUTH_MODE=token set with its token?"
        ) from error


@contextmanager
def _this_address_alone() -> Iterator[None]:
    """Ray's client takes either of these settings for any address that it is given."""
    hidden = {name: os.environ.pop(name) for name in _RAYS_ADDRESSES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def submit(client: JobSubmissionClient, asked: Asked, folder: Path) -> str:
    """Send the verb there, with the files of this folder and this version of sweep.

    Args:
        client: of the cluster.
        asked: the verb.
        folder: what relative paths are from, here and there.

    Returns:
        The job's id.

    Raises:
        InputError: the search file isn't in the folder, or the folder can't be sent.
    """
    words = list(asked.arguments)
    if asked.verb == "launch":
        words = ["launch", *_within(words[1:], asked.subject, folder), "--yes"]
    name = Path(asked.subject).stem if asked.verb == "launch" else asked.subject
    return send(
        client,
        entrypoint=shlex.join(["python", "-m", "sweep.cli.there", *words]),
        runtime_env=_environment(folder),
        metadata={"job_name": f"sweep {asked.verb} {name}".strip(), "sweep": asked.verb, "study": name},
    )


def send(client: JobSubmissionClient, **job: Any) -> str:
    """Submit a job, of these arguments of `submit_job`; its id.

    Raises:
        InputError: the cluster doesn't take it.
    """
    deadline = time.monotonic() + AGENT_S
    while True:
        try:
            return str(client.submit_job(**job))
        except (OSError, RuntimeError, ValueError) as error:
            # A head that has just started, or is busy, answers so until its agent has told of itself.
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise InputError(f"the cluster took no job: {str(error).strip()}") from error
        time.sleep(_AGENT_POLL_S)


def own_version() -> dict[str, Any]:
    """The part of a job's runtime environment that brings this version of sweep along."""
    return {"py_modules": [str(Path(sweep.__file__).parent)]}


def follow(client: JobSubmissionClient, job: str, write: Callable[[str], object]) -> int:
    """Print what the job prints until it ends; the exit code that its verb had.

    Raises:
        WorkError: it never began, or the cluster is out of reach.
    """
    texts, lines = _texts(client, job), _Lines()
    while True:
        try:
            text = next(texts)
        except StopIteration as end:
            details: JobDetails = end.value
            break
        write(lines.own(text))
    if details.status is JobStatus.SUCCEEDED:
        return 0
    if details.status is JobStatus.STOPPED:
        return INTERRUPTED
    if details.driver_exit_code is None:
        raise WorkError(f"job {job} failed on the cluster: {details.message}")
    return int(details.driver_exit_code)


class _Lines:
    """Leaves out what Ray writes at the head of a job's log."""

    def __init__(self) -> None:
        self._head: str | None = ""

    def own(self, text: str) -> str:
        """What of the next part the job has written itself."""
        if self._head is None:
            return text
        self._head += text
        _, headline, rest = self._head.partition(_HEADLINE)
        _, newline, own = rest.partition("\n")
        if not (headline and newline):
            return ""
        self._head = None
        return own


def _texts(client: JobSubmissionClient, job: str) -> Generator[str, None, JobDetails]:
    """A job's log in parts, until it has ended; how it has.

    The log is streamed from its start after each break of the connection; what was handed out is left out then.
    """
    handed = tries = 0
    with asyncio.Runner() as runner:
        while True:
            seen = 0
            stream = client.tail_job_logs(job)
            try:
                while (text := runner.run(_next(stream))) is not None:
                    # Also where a job has said nothing new for long.
                    tries, seen = 0, seen + len(text)
                    if seen > handed:
                        yield text[-(seen - handed) :]
                        handed = seen
                details = client.get_job_info(job)
                if details.status in _OVER:
                    return details
            # What breaks is told by RuntimeErrors of Ray's own, and by errors of its two http clients.
            except (OSError, RuntimeError, ClientError) as error:
                tries += 1
                if tries > _TRIES:
                    raise WorkError(
                        f"the cluster is out of reach: {first_line(error)}. Job {job} goes on there."
                    ) from error
            time.sleep(_RETRY_S if tries else _PAUSE_S)


async def _next(stream: AsyncIterator[str]) -> str | None:
    return await anext(stream, None)


def _environment(folder: Path) -> dict[str, Any]:
    return {
        "working_dir": str(folder),
        "excludes": list(EXCLUDED),
        **own_version(),
        "env_vars": {
            "RAY_JOB_STOP_SIGNAL": "SIGINT",
            "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S),
            # How a verb speaks is said where it is typed.
            **{name: os.environ[name] for name in SPOKEN if name in os.environ},
        },
    }


def _within(words: list[str], spec: str, folder: Path) -> list[str]:
    """The words with the search file's path as it is below the folder."""
    path = Path(spec).resolve()
    if not path.is_file():
        raise InputError(f"{spec}: there is no such file.")
    if not path.is_relative_to(folder):
        raise InputError(
            f"{spec}: is outside of {folder}, and only this folder is sent to the cluster. Launch from above."
        )
    return [str(path.relative_to(folder)) if word == spec else word for word in words]


def wait_for(address: str, seconds: float) -> JobSubmissionClient:
    """The cluster's job server, once a tunnel to it is up.

    Raises:
        InputError: nobody answers in so many seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return connect(address)
        except InputError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
