"""Everything that is looked at on one machine, in the order in which it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sweep.core.findings import Examined, Finding
from sweep.doctor import disks, gpus, machine, ray_check, torch_check
from sweep.store.paths import Place


def examine(storage: Place, registry: Place, place: str = "this machine") -> Examined:
    """Examine the machine that this runs on.

    Args:
        storage: of the studies; need not exist yet.
        registry: of the models; need not exist yet.
        place: what to call the machine.
    """
    parts: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("machine", machine.machine),
        ("Python", machine.python),
        ("GPUs", gpus.gpus),
        ("PyTorch", torch_check.torch),
        ("Ray", ray_check.ray),
        ("storage", lambda: disks.folders(storage, registry)),
    ]
    return Examined(place, tuple(finding for name, part in parts for finding in guarded(name, part)))


def guarded(name: str, part: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """A part's findings; if it breaks, that is one: the other parts are still worth knowing."""
    try:
        yield from part()
    except Exception as error:  # noqa: BLE001 - one strange machine must not hide everything else
        yield Finding(name, "fail", f"can't be examined: {error!r}", "Report this line; the rest still holds.")
