"""Who works on something in a bucket: one at a time, and a dead one's place can be taken.

Holders are numbered. To become the next one is to create the object of the next number, which one of several manages;
the holder then replaces its own object every few seconds. One that wasn't replaced for long enough is dead. That is
seen by watching it: the clocks of two machines are never compared.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sweep.store.buckets import Bucket, BucketError

BEAT_S = 4.0
"""How often a holder says that it lives."""

DEAD_S = 20.0
"""A holder that has said nothing for so long is dead: it couldn't write anything either."""

_LOOK_S = 1.0
_FRESH_S = 10.0
_OLD_S = 300.0


@dataclass(frozen=True)
class Holder:
    """What a holder says of itself.

    Attributes:
        machine: of the folder with the copies: on it, the operating system knows whether a holder lives.
        beat: counted up while it lives.
        time: by the holder's clock, for people.
    """

    id: str
    machine: str
    host: str
    pid: int
    beat: int
    time: float
    released: bool = False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


_FILE = TypeAdapter(Holder)


class HeldError(Exception):
    """Somebody else works on it.

    Attributes:
        holder: who.
    """

    def __init__(self, holder: Holder) -> None:
        self.holder = holder
        super().__init__(str(holder))


def machine_of(copies: Path) -> str:
    """What tells apart the folders of copies, and with them the machines whose locks say something to each other."""
    path = copies / ".machine"
    with contextlib.suppress(OSError):
        return path.read_text()
    copies.mkdir(parents=True, exist_ok=True)
    name = uuid.uuid4().hex
    beside = path.with_name(f".machine.{name}.tmp")
    beside.write_text(name)
    with contextlib.suppress(FileExistsError):
        os.link(beside, path)
    beside.unlink()
    return path.read_text()


@dataclass
class Lease:
    """The right to work on something, from `acquire` to `release`.

    Args:
        bucket: the folder of the holders' objects.
        machine: see `machine_of`; whoever acquires holds the lock there.
        say: told when somebody's life has to be waited for.
    """

    bucket: Bucket
    machine: str
    say: Callable[[str], None] = lambda _: None
    beat_s: float = BEAT_S
    dead_s: float = DEAD_S
    number: int = 0
    lost: bool = False
    _mine: Holder = field(init=False)
    _ended: threading.Event = field(init=False, default_factory=threading.Event)
    _beating: threading.Thread = field(init=False)

    def acquire(self) -> None:
        """Become the holder.

        Raises:
            HeldError: another one lives.
            BucketError: the store refused.
        """
        number, holder = latest(self.bucket)
        if holder is not None and not holder.released and holder.machine != self.machine and self._lives(number):
            raise HeldError(holder)
        self._mine = Holder(uuid.uuid4().hex, self.machine, socket.gethostname(), os.getpid(), 0, time.time())
        self.number = number + 1
        said = _FILE.dump_json(self._mine)
        if self.bucket.first(_key(self.number), said) != said:
            raise HeldError(latest(self.bucket)[1] or self._mine)
        self.bucket.delete(entry.key for entry in self.bucket.entries() if entry.key < _key(self.number))
        self._beating = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._beating.start()

    def holds(self) -> bool:
        """Whether nobody has followed; nor was all removed, which mustn't come to life again.

        Raises:
            BucketError: the store refused.
        """
        return [entry.key for entry in self.bucket.entries()][-1:] == [_key(self.number)]

    def release(self) -> None:
        """Let somebody else have it, at once."""
        self._ended.set()
        # A store that doesn't answer isn't waited for.
        self._beating.join(None if not self.lost else 1.0)
        if not self.lost:
            # Else it is taken for dead a little later.
            with contextlib.suppress(BucketError):
                self.bucket.put(_key(self.number), _FILE.dump_json(replace(self._mine, released=True)))

    def _beat(self) -> None:
        while not self._ended.wait(self.beat_s):
            # A store that doesn't answer for a while is no reason to stop: what is written tells who was first.
            with contextlib.suppress(BucketError):
                if not self.holds():
                    self.lost = True
                    return
                self._mine = replace(self._mine, beat=self._mine.beat + 1, time=time.time())
                self.bucket.put(_key(self.number), _FILE.dump_json(self._mine))

    def _lives(self, number: int) -> bool:
        """Watch a holder until it says something, or is dead."""
        seen = latest(self.bucket)
        self.say(f"{seen[1]} held it last; waiting up to {self.dead_s:.0f} s to see whether it lives.")
        deadline = time.monotonic() + self.dead_s
        while time.monotonic() < deadline:
            time.sleep(min(_LOOK_S, self.beat_s))
            found = latest(self.bucket)
            if found != seen:
                return found[0] != number or not (found[1] is None or found[1].released)
        return False


def latest(bucket: Bucket) -> tuple[int, Holder | None]:
    """The last holder and its number; 0 and None where nobody ever held it."""
    for entry in reversed(bucket.entries()):
        data = bucket.get(entry.key)
        if data is None:
            continue
        with contextlib.suppress(ValidationError, ValueError):
            return int(Path(entry.key).stem), _FILE.validate_json(data)
    return 0, None


def is_held(bucket: Bucket, machine: str, locked: Callable[[], bool]) -> bool:
    """Whether somebody works on it.

    Args:
        bucket: the folder of the holders' objects.
        machine: the reader's, see `machine_of`.
        locked: whether the lock of this machine is held.
    """
    seen = latest(bucket)
    holder = seen[1]
    if holder is None or holder.released:
        return False
    if holder.machine == machine:
        return locked()
    age = time.time() - holder.time
    if abs(age) < _FRESH_S:
        return True
    if age > _OLD_S:
        return False
    # In between clocks may be wrong: whoever lives says something soon.
    deadline = time.monotonic() + 1.5 * BEAT_S
    while time.monotonic() < deadline:
        time.sleep(_LOOK_S)
        if latest(bucket) != seen:
            return True
    return False


def _key(number: int) -> str:
    return f"{number:08d}.json"
