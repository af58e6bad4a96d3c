"""Whether head, workers and the machine that submits have versions that work together.

Ray pickles functions between them: it refuses a driver or a node of another Ray or Python, down to the patch release.
A job that is only submitted runs on the head with the head's own versions, so there the minor versions have to agree.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sweep.core.findings import Finding, Versions


def minor(version: str) -> str:
    """The first two numbers of a version: "3.12" of "3.12.3".

    Raises:
        ValueError: it has no two numbers.
    """
    parts = version.split(".")[:2]
    if len(parts) < 2 or not all(part.isdigit() for part in parts):  # noqa: PLR2004 - major and minor
        raise ValueError(f"version: expected numbers with points between, as 3.12.3, got {version!r}")
    return ".".join(parts)


def refused(message: str) -> Versions | None:
    """The head's versions, from what Ray says when it refuses a driver or a node for its own; None of other words."""
    found = re.search(r"cluster was started with:\s*Ray: (\S+)\s*Python: (\S+)", message)
    return Versions("head", python=found[2], ray=found[1]) if found else None


def agreement(places: Sequence[Versions]) -> list[Finding]:
    """Compare each place with the first, the head: one finding for Python and one for Ray.

    Raises:
        ValueError: there is no place, or a version can't be read.
    """
    if not places:
        raise ValueError("agreement: expected at least one place, got none")
    return [
        _compared("Python everywhere", [(place.place, place.python) for place in places]),
        _compared("Ray everywhere", [(place.place, place.ray) for place in places]),
    ]


def _compared(name: str, versions: Sequence[tuple[str, str]]) -> Finding:
    head, wanted = versions[0]
    others = [(place, version) for place, version in versions[1:] if version != wanted]
    far = [(place, version) for place, version in others if minor(version) != minor(wanted)]
    # Read even where all are equal: a version that can't be read must not pass as agreement.
    minor(wanted)
    told = "; ".join([f"{wanted} on {head}", *(f"{version} on {place}" for place, version in far or others)])
    product = name.split(maxsplit=1)[0]
    if far:
        advice = f"Give all the same {product} {minor(wanted)}, most simply the same image: Ray refuses what differs."
        return Finding(name, "fail", told, advice)
    if others:
        advice = (
            f"Jobs can be submitted; joining the cluster is refused until {product} is the same to the last number."
        )
        return Finding(name, "warn", told, advice)
    return Finding(name, "ok", f"{wanted} on {len(versions)} of {len(versions)}")
