"""`sweep cluster check`: a file of any kind, everything found in it, and the machines it describes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sweep.cluster import kuberay, launcher
from sweep.cluster.images import Versions
from sweep.cluster.kube_schema import KINDS
from sweep.cluster.reading import read
from sweep.core.fleet import Fleet
from sweep.core.positions import Mark, Problem
from sweep.errors import InputError


@dataclass
class Report:
    """What a check found.

    Attributes:
        source: the file's name.
        kind: "aws", "gcp", "local", ... or "kuberay".
        problems: for these it is refused; in the file's order.
        doubts: to be looked at.
        fleets: (name, machines) of each cluster in it, when nothing is wrong and the file says what they have.
    """

    source: str
    kind: str = ""
    problems: list[Problem] = field(default_factory=list)
    doubts: list[Problem] = field(default_factory=list)
    fleets: list[tuple[str, Fleet]] = field(default_factory=list)


def check_file(path: Path, *, own: Versions | None = None) -> Report:
    """Everything found in a file.

    Args:
        path: for `ray up`, or for KubeRay.
        own: Ray's and Python's versions, instead of those where this runs.

    Raises:
        InputError: it can't be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: can't be read ({error}).") from error
    return check_text(text, str(path), own=own)


def check_text(text: str, source: str, *, own: Versions | None = None) -> Report:
    """Everything found in a file's text."""
    documents, problems = read(text, source)
    report = Report(source, problems=problems)
    if not documents:
        return report
    if any(kuberay.is_kubernetes(document) for document in documents):
        report.kind = "kuberay"
        for found, name, fleet in kuberay.check(documents, own=own):
            _add(report, found.problems, found.doubts)
            report.fleets += [(name, fleet)] if fleet else []
        if not any(str(document.data.get("kind")) in KINDS for document in documents):
            told = f"holds no RayCluster or RayJob, but {', '.join(str(each.data.get('kind')) for each in documents)}."
            report.problems.append(Problem(Mark(source), (), told))
    elif len(documents) > 1:
        told = "a second document ('---'). One file is one cluster; split it."
        report.problems.append(Problem(documents[1].positions.start, (), told))
    else:
        _add(report, list(documents[0].unquoted), [])
        found, fleet = launcher.check(documents[0], own=own)
        provider = documents[0].data.get("provider")
        report.kind = str(provider.get("type", "")) if isinstance(provider, dict) else ""
        _add(report, found.problems, found.doubts)
        report.fleets += [(str(documents[0].data["cluster_name"]), fleet)] if fleet else []
    if report.problems:
        report.fleets = []
    return report


def _add(report: Report, problems: list[Problem], doubts: list[Problem]) -> None:
    """Put them in the file's order, each once: an anchor's mistake shows at each of its uses."""
    for mine, found in ((report.problems, problems), (report.doubts, doubts)):
        both = sorted([*mine, *found], key=lambda problem: problem.mark.order)
        once: dict[tuple[str, str], Problem] = {}
        for problem in both:
            once.setdefault((str(problem.mark), problem.message), problem)
        mine[:] = once.values()
