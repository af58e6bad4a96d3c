"""A study on the machines of a cluster file, drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sweep.core.fleet import Fit, Fleet, NodeType, Stage
from sweep.core.spec import StudySpec
from sweep.core.units import format_duration
from sweep.watch.text import Glyphs, counted
from sweep.watch.view import Cell, View, facts, note, stacked, table

if TYPE_CHECKING:
    from rich.console import RenderableType


def fleet_view(name: str, fleet: Fleet, spec: StudySpec, fitted: Fit) -> View:
    """How many trials run at once, on which machines, at what price.

    Args:
        name: the cluster's.
        fleet: its machines.
        spec: the search file.
        fitted: the study on them.
    """
    data: dict[str, Any] = {
        "cluster": name,
        "study": spec.name,
        "trial": {"gpu": fitted.gpu, "cpu": fitted.cpu},
        "node_types": [_type_data(kind, fitted) for kind in fleet.types],
        "at_start": _stage_data(fitted.start),
        "at_most": _stage_data(fitted.full),
        "at_most_usd": fitted.most_usd,
        "notes": list(fitted.notes),
    }
    return View(data, lambda glyphs, _: _draw(name, fleet, spec, fitted, glyphs))


def _type_data(kind: NodeType, fitted: Fit) -> dict[str, Any]:
    return {
        "name": kind.name,
        "machine": kind.machine,
        "head": kind.head,
        "spot": kind.spot,
        "cpu": kind.cpu,
        "gpu": kind.gpu,
        "min": kind.least,
        "max": kind.most,
        "trials_per_node": fitted.per_node[kind.name],
        "usd_per_hour": kind.usd_per_hour,
    }


def _stage_data(stage: Stage) -> dict[str, Any]:
    return {"nodes": stage.nodes, "trials": stage.trials, "usd_per_hour": stage.usd_per_hour}


def _draw(name: str, fleet: Fleet, spec: StudySpec, fitted: Fit, glyphs: Glyphs) -> RenderableType:
    needs = [f"{fitted.gpu:g} GPU"] if fitted.gpu else []
    needs.append(counted(int(fitted.cpu), "core") if fitted.cpu == int(fitted.cpu) else f"{fitted.cpu:g} cores")
    rows: list[tuple[str, Cell]] = [
        ("cluster", (name, "bold")),
        ("study", f"{spec.name}, a trial takes {' and '.join(needs)}"),
        ("at the start", _stage(fitted.start, fleet)),
        ("at most", _stage(fitted.full, fleet)),
    ]
    if fitted.most_usd is not None and spec.budget.time_s:
        time = format_duration(spec.budget.time_s) or f"{spec.budget.time_s:g}s"
        rows.append(("cost", f"at most {_usd(fitted.most_usd)} in the {time} of budget.time"))
    columns = [("node type", "l"), ("machine", "l"), ("nodes", "r"), ("cores", "r"), ("GPUs", "r"), ("trials", "r")]
    columns.append(("USD/h", "r"))
    cells: list[list[Cell]] = [_row(kind, fitted) for kind in fleet.types]
    return stacked([facts(rows, glyphs), table(columns, cells, glyphs), *(note(line, glyphs) for line in fitted.notes)])


def _row(kind: NodeType, fitted: Fit) -> list[Cell]:
    nodes = str(kind.least) if kind.least == kind.most else f"{kind.least} to {kind.most}"
    machine = " ".join(word for word in (kind.machine, "spot" if kind.spot else "") if word)
    price = "-" if kind.usd_per_hour is None else f"{kind.usd_per_hour:.3f}"
    holds = fitted.per_node[kind.name]
    return [kind.name, machine, nodes, f"{kind.cpu:g}", f"{kind.gpu:g}", str(holds), price]


def _stage(stage: Stage, fleet: Fleet) -> str:
    counts = [(kind, stage.nodes[kind.name]) for kind in fleet.types if stage.nodes[kind.name]]
    there = [kind.name if kind.head else f"{number} {kind.name}" for kind, number in counts]
    price = "no price known" if stage.usd_per_hour is None else f"{_usd(stage.usd_per_hour)} an hour"
    return f"{counted(stage.trials, 'trial')} at once on {', '.join(there)}: {price}"


def _usd(amount: float) -> str:
    return f"{amount:.2f} USD" if amount >= 0.01 else "0 USD" if not amount else "under 0.01 USD"  # noqa: PLR2004
