"""An attempt's log file: what the training function prints and logs, each line with its time."""

from __future__ import annotations

import codecs
import io
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TextIO, cast

from sweep.store.attempt_log import stamped

if TYPE_CHECKING:
    from typing_extensions import Buffer


LINE_LIMIT = 2**16
"""Characters: a longer line is cut into several, so that output which never ends its line doesn't fill the memory."""


class AttemptLog:
    """A log file that several streams write whole lines to."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        # A signal's handler may print while its thread is in here.
        self._lock = threading.RLock()

    def line(self, text: str) -> None:
        """Append one line, with the time (UTC, milliseconds) before it."""
        with self._lock:
            if not self._file.closed:  # a thread that outlives its attempt may still print
                self._file.write(stamped(text))
                self._file.flush()

    def text(self, text: str) -> None:
        """Append several lines."""
        for line in text.splitlines():
            self.line(line)


class _Line:
    """A line that is still being written, as a terminal would show it."""

    def __init__(self, log: AttemptLog) -> None:
        self._log = log
        self._parts: list[str] = []
        self._returned = False
        self.size = 0

    def add(self, text: str) -> None:
        """Add text without line ends.

        A progress bar draws itself again after each carriage return: its last state is what remains. A return with
        nothing after it waits, for a line end may follow.
        """
        drawn = text.rstrip("\r")
        if drawn:
            _, again, shown = drawn.rpartition("\r")
            if again or self._returned:
                self._parts.clear()
                self.size = 0
            self._parts.append(shown)
            self.size += len(shown)
            self._returned = False
        self._returned = self._returned or len(drawn) < len(text)
        if self.size > LINE_LIMIT:
            self._cut()

    def _cut(self) -> None:
        """Write out all but the last piece."""
        text = "".join(self._parts)
        pieces = [text[start : start + LINE_LIMIT] for start in range(0, len(text), LINE_LIMIT)]
        for piece in pieces[:-1]:
            self._log.line(piece)
        self._parts, self.size = pieces[-1:], len(pieces[-1])

    def end(self) -> None:
        """Write it out, and begin the next."""
        text = "".join(self._parts)
        self._parts.clear()
        self.size, self._returned = 0, False
        self._log.line(text)


class _Tee:
    """A text stream that also goes into the log; everything but writing and closing is the original stream's."""

    def __init__(self, original: TextIO, log: AttemptLog) -> None:
        self._original = original
        self._line = _Line(log)
        self._lock = threading.RLock()  # a training function's threads print too

    def write(self, text: str) -> int:
        self._copy(text)
        if not _is_closed(self._original):
            self._original.write(text)
        return len(text)

    def _copy(self, text: str) -> None:
        with self._lock:
            *ended, rest = text.split("\n")
            for each in ended:
                self._line.add(each)
                self._line.end()
            self._line.add(rest)

    def writelines(self, lines: Iterable[str]) -> None:
        for each in lines:
            self.write(each)

    def flush(self) -> None:
        if not _is_closed(self._original):
            self._original.flush()

    @property
    def buffer(self) -> BinaryIO:
        return cast("BinaryIO", _Bytes(self._original.buffer, self._copy))

    def detach(self) -> BinaryIO:
        return self.buffer

    def close(self) -> None:
        """Only flush: the stream is the process's, and outlives the training function."""
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def finish(self) -> None:
        """Log the last line, if nothing ended it."""
        with self._lock:
            if self._line.size:
                self._line.end()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


class _Bytes(io.BufferedIOBase):
    """The bytes beneath a text stream, for those who wrap them anew; closing these closes nothing else.

    `sys.stdout = io.TextIOWrapper(sys.stdout.buffer)`: forgotten, the wrapper closes what it wraps.
    """

    def __init__(self, original: BinaryIO, copy: Callable[[str], None]) -> None:
        self._original = original
        self._copy = copy
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._original.fileno()

    def write(self, data: Buffer) -> int:
        self._copy(self._decoder.decode(bytes(data)))
        return len(bytes(data)) if _is_closed(self._original) else self._original.write(data)

    def flush(self) -> None:
        if not _is_closed(self._original):
            self._original.flush()


def _is_closed(stream: Any) -> bool:
    return bool(getattr(stream, "closed", False))  # what stands in for a stream may have only write()


_FOREIGN = tuple(f"foreign/{name}.py" for name in ("calling", "tune", "trials"))
_CALLERS = tuple(str(Path(__file__).parent / name) for name in ("attempt.py", "rank.py", "fused/attempt.py", *_FOREIGN))


def trace(error: BaseException) -> str:
    """An error's traceback from the training function on: our own frames above it tell nobody anything."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None and frame.tb_frame.f_code.co_filename in _CALLERS:
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame))


@contextmanager
def opened(path: Path) -> Iterator[AttemptLog]:
    """An attempt's log to append to; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
        yield AttemptLog(file)


@contextmanager
def tee(path: Path) -> Iterator[AttemptLog]:
    """Copy what Python writes to stdout, stderr and the root logger's handlers into a file, line by line.

    Output of C code and of child processes doesn't pass through Python and isn't copied. The root logger's level and
    handlers are put back at the end, so that `logging.basicConfig` works in each attempt of a process anew.
    """
    with opened(path) as log:
        stdout, stderr = sys.stdout, sys.stderr
        tees = {stdout: _Tee(stdout, log), stderr: _Tee(stderr, log)}
        with _logging_to(tees):
            sys.stdout, sys.stderr = tees[stdout], tees[stderr]
            try:
                yield log
            finally:
                _keep_open(sys.stdout, sys.stderr)
                sys.stdout, sys.stderr = stdout, stderr
                for each in tees.values():
                    each.finish()


_replacements: list[Any] = []


def _keep_open(*streams: Any) -> None:
    """Keep what a training function put in a standard stream's place, if it writes to the same file.

    `sys.stdout = os.fdopen(1, "w")`: forgotten, it would close the process's own stdout with itself.
    """
    for stream in streams:
        if isinstance(stream, io.TextIOBase) and not stream.closed:
            with suppress(OSError, ValueError):  # in memory, or detached
                if stream.fileno() in (1, 2):
                    stream.flush()
                    _replacements.append(stream)


@contextmanager
def _logging_to(tees: dict[TextIO, _Tee]) -> Iterator[None]:
    """Let the root logger's stream handlers write to the copies, for they hold the streams themselves."""
    root = logging.getLogger()
    level, handlers, disabled = root.level, list(root.handlers), logging.root.manager.disable
    moved = [
        (handler, handler.stream)
        for handler in handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream in tees
    ]
    for handler, stream in moved:
        handler.setStream(tees[stream])
    try:
        yield
    finally:
        for handler, stream in moved:
            handler.setStream(stream)
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.disable(disabled)
