"""Asks something of a study: of its driver, through the control file, or of its log where nobody works on it.

A request is written down first in either case, so none is lost: a driver that dies before it took one up leaves it to
the next, and it is taken up once, for the answer is an event of the study.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sweep.core import control
from sweep.core import events as ev
from sweep.errors import StudyError
from sweep.store import control as control_file
from sweep.store import holding, sender, study_bucket, study_folder
from sweep.store.events import encode
from sweep.store.paths import StudyPaths

WAIT_S = 20.0
"""How long an answer is waited for."""

LOOK_EVERY_S = 0.1
LOOK_IN_BUCKET_S = 1.0

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
    answers = _Answers(paths)
    _leave(paths, request)
    deadline = time.monotonic() + wait_s
    while True:
        live = holding.is_at_work(paths)
        if not live:
            _take_up_if_free(paths)
        found = answers.to(request)
        if found is not None:
            return Reply(request, found.accepted, found.answer, live)
        if time.monotonic() > deadline:
            break
        time.sleep(LOOK_EVERY_S if paths.url is None else LOOK_IN_BUCKET_S)
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
        with holding.held(paths) as hold:
            take_up(hold)
    except holding.BusyError:
        # A driver has begun in between: it answers.
        return


def _leave(paths: StudyPaths, request: ev.Request) -> None:
    """Put a request where a driver looks, here or elsewhere."""
    if paths.url is None or holding.locked_here(paths):
        control_file.append(paths.control, request)
    else:
        sender.ask(study_bucket.bucket_of(paths), request)


def take_up(hold: holding.Hold, say: Callable[[str], None] = lambda _: None) -> None:
    """Do what was asked of a study that nobody works on.

    Args:
        hold: of the study.
        say: told each answer.
    """
    machine = study_folder.read(hold.paths).machine
    pending = [request for request in hold.inbox()() if request.id not in machine.requests]
    if not pending:
        return
    log = hold.log()

    def happened(event: ev.AnyEvent) -> None:
        log.append(encode(event))
        # There is no sampler to be told: the next driver teaches its own.
        machine.handle(event)

    try:
        if machine.run is not None:
            happened(ev.RunEnded(time=time.time(), reason=NO_DRIVER, complete=False))
        for request in pending:
            if request.id in machine.requests:
                # A driver that died had brought it from the bucket already.
                continue
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

    def __init__(self, paths: StudyPaths) -> None:
        self._paths = paths
        holding.up_to_date(paths)
        self._read = paths.events.stat().st_size

    def to(self, request: ev.Request) -> ev.Controlled | None:
        """The answer to a request, once there is one."""
        holding.up_to_date(self._paths)
        with self._paths.events.open("rb") as file:
            # A copy of a bucket's may have lost an end that a driver which died here never sent.
            file.seek(min(self._read, file.seek(0, os.SEEK_END)))
            data = file.read()
        complete = data[: data.rfind(b"\n") + 1]
        for line in complete.splitlines():
            # Few lines are answers: no need to read the others whole.
            if request.id.encode() in line and json.loads(line)["type"] == "controlled":
                return ev.Controlled.model_validate_json(line)
        self._read += len(complete)
        return None
