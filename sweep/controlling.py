"""Asks something of a study: of its driver, through the control file, or of its log where nobody works on it.

A request is written down first in either case, so none is lost: a driver that dies before it took one up leaves it to
the next, and it is taken up once, for the answer is an event of the study.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.core import control
from sweep.core import events as ev
from sweep.errors import StudyError
from sweep.store import control as control_file
from sweep.store import study_folder
from sweep.store.events import EventLog, encode
from sweep.store.paths import StudyPaths

WAIT_S = 20.0
"""How long an answer is waited for."""

LOOK_EVERY_S = 0.1

NO_DRIVER = "its driver ended without a word"


@dataclass(frozen=True)
class Reply:
    """What became of a request.

    Attributes:
        request: what was asked.
        accepted: None while nobody has taken it up.
        answer: in words.
        live: whether a driver took it up, and goes on by itself.
    """

    request: ev.Request
    accepted: bool | None
    answer: str
    live: bool


def ask(paths: StudyPaths, verb: ev.Verb, *, wait_s: float = WAIT_S, **arguments: Any) -> Reply:
    """Ask, and wait for the answer.

    Args:
        paths: of the study.
        verb: what is asked.
        wait_s: how long a driver has to answer.
        arguments: fields of `Request`.

    Raises:
        StorageError: the study's folder can't be written.
    """
    request = ev.Request(id=uuid.uuid4().hex, time=time.time(), verb=verb, **arguments)
    answers = _Answers(paths.events)
    control_file.append(paths.control, request)
    deadline = time.monotonic() + wait_s
    while True:
        live = study_folder.is_at_work(paths)
        if not live:
            _take_up_if_free(paths)
        found = answers.to(request)
        if found is not None:
            return Reply(request, found.accepted, found.answer, live)
        if time.monotonic() > deadline:
            break
        time.sleep(LOOK_EVERY_S)
    words = (
        f"asked, but the process at work on {paths.root.name!r} hasn't answered within {wait_s:.0f} s. It will when it "
        "next looks: with --executor inline that is when a trial reports."
    )
    return Reply(request, None, words, live=True)


def granted(paths: StudyPaths, verb: ev.Verb, **arguments: Any) -> Reply:
    """As `ask`, for callers who take a refusal for an error.

    Raises:
        StudyError: it was refused; the text says why.
    """
    reply = ask(paths, verb, **arguments)
    if reply.accepted is False:
        raise StudyError(reply.answer)
    return reply


def _take_up_if_free(paths: StudyPaths) -> None:
    try:
        with study_folder.held(paths):
            take_up(paths)
    except study_folder.BusyError:
        # A driver has begun in between: it answers.
        return


def take_up(paths: StudyPaths, say: Callable[[str], None] = lambda _: None) -> None:
    """Do what was asked of a study that nobody works on; its lock is ours.

    Args:
        paths: of the study.
        say: told each answer.
    """
    machine = study_folder.read(paths).machine
    pending = [request for request in control_file.Inbox(paths.control)() if request.id not in machine.requests]
    if not pending:
        return
    log = EventLog(paths.events)

    def happened(event: ev.AnyEvent) -> None:
        log.append(encode(event))
        # There is no sampler to be told: the next driver teaches its own.
        machine.handle(event)

    try:
        if machine.run is not None:
            happened(ev.RunEnded(time=time.time(), reason=NO_DRIVER, complete=False))
        for request in pending:
            accepted, answer = control.consider(machine, request)
            happened(ev.Controlled(time=time.time(), request=request, accepted=accepted, answer=answer))
            say(f"{request.verb}: {answer}")
            over = machine.ended is not None and machine.ended.complete
            if accepted and machine.idle and machine.ending and not over:
                happened(ev.RunEnded(time=time.time(), reason=machine.ending.reason, complete=True))
        log.sync()
    finally:
        log.close()


class _Answers:
    """The end of a log, from now on, read for answers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = path.stat().st_size

    def to(self, request: ev.Request) -> ev.Controlled | None:
        """The answer to a request, once there is one."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        complete = data[: data.rfind(b"\n") + 1]
        for line in complete.splitlines():
            # Few lines are answers: no need to read the others whole.
            if request.id.encode() in line and json.loads(line)["type"] == "controlled":
                return ev.Controlled.model_validate_json(line)
        self._read += len(complete)
        return None
