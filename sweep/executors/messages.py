"""What a worker tells its driver."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sweep.core.events import Cause, Outcome
from sweep.core.protocols import GpuMemory
from sweep.errors import MemoryShareError
from sweep.store.buckets import BucketError


@dataclass(frozen=True)
class Message:
    """One word of an attempt: that it runs, a report, or its end.

    Attributes:
        node: the host's name, of a hello.
        node_id: Ray's name for it.
        awaited: of a report: whether the attempt waits for the decision on it.
        fit: of an end: whether the worker can take another attempt, or must be replaced.
    """

    kind: Literal["hello", "report", "end"]
    node: str = ""
    node_id: str = ""
    device: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    checkpoint: str | None = None
    awaited: bool = False
    outcome: Outcome | None = None
    error: str | None = None
    cause: Cause | None = None
    fit: bool = True
    memory: GpuMemory | None = None


def failure(error: BaseException) -> Message:
    """The end of an attempt whose training function raised; its worker isn't fit for another.

    What the frames of a failure hold on the device may still be there. Where a checkpoint couldn't be brought from
    or to the study's bucket, the attempt is lost: the function isn't to blame.
    """
    cause = error.memory if isinstance(error, MemoryShareError) else None
    outcome: Outcome = "lost" if any(isinstance(each, BucketError) for each in _chain(error)) else "failed"
    return Message("end", outcome=outcome, error=failure_text(error), cause=cause, fit=False)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    # `raise error from error` makes a circle.
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def failure_text(error: BaseException) -> str:
    """The traceback of what a training function raised, as text that can be written as UTF-8.

    A file name that isn't UTF-8 comes into Python, and so into messages, with lone surrogates: they are escaped.
    """
    text = "".join(traceback.format_exception(error))
    return text.encode("utf-8", "backslashreplace").decode()
