"""What an examination of a machine says: one finding a line, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Verdict = Literal["ok", "warn", "fail"]
_VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what, in a word or three.
        verdict: "warn" is a thing to know; with "fail" something will not work.
        value: what was found.
        advice: what to do; there whenever the verdict isn't "ok".

    Raises:
        ValueError: a warning or a failure without advice.
    """

    name: str
    verdict: Verdict
    value: str
    advice: str = ""

    def __post_init__(self) -> None:
        if self.verdict != "ok" and not self.advice:
            raise ValueError(f"finding {self.name!r} is {self.verdict!r} and doesn't say what to do")


@dataclass(frozen=True)
class Examined:
    """All that was found at one place.

    Attributes:
        place: this machine, or a node of a cluster.
        findings: in the order in which they are shown.
    """

    place: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Versions:
    """What one place runs.

    Attributes:
        place: head, a worker's name, or "this machine".
        python: as "3.12.3".
        ray: as "2.60.0".
    """

    place: str
    python: str
    ray: str


@dataclass(frozen=True)
class Report:
    """An examination of one machine or of a cluster.

    Attributes:
        places: the machines that were examined, and last what concerns all of them.
        versions: what each machine runs, the head's first.
    """

    places: tuple[Examined, ...]
    versions: tuple[Versions, ...]

    @property
    def findings(self) -> list[Finding]:
        """All findings of all places."""
        return [finding for place in self.places for finding in place.findings]

    def plain(self) -> dict[str, Any]:
        """The report as JSON values; `read_report` reads it."""
        return {"verdict": worst(self.findings), **asdict(self)}


def read_report(data: Mapping[str, Any]) -> Report:
    """The report whose `plain` this is.

    Raises:
        ValueError: it isn't one, or of another version of sweep.
    """
    try:
        places = tuple(
            Examined(place["place"], tuple(Finding(**finding) for finding in place["findings"]))
            for place in data["places"]
        )
        return Report(places, tuple(Versions(**versions) for versions in data["versions"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a report of this version of sweep: {error}") from error


def worst(findings: Iterable[Finding]) -> Verdict:
    """The gravest verdict among them; "ok" of none."""
    return max((finding.verdict for finding in findings), key=_VERDICTS.index, default="ok")
