"""The plan of a study, drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweep.core import command_preview
from sweep.core.guidance import guided
from sweep.core.plan import Ladder, Plan
from sweep.core.space import describe
from sweep.core.spec import Metric, StudySpec
from sweep.core.units import format_duration
from sweep.watch.text import Glyphs, counted
from sweep.watch.view import Cell, Hanging, View, facts, note, stacked, table

if TYPE_CHECKING:
    from rich.console import RenderableType


def plan_view(spec: StudySpec, plan: Plan, notes: tuple[str, ...] = (), form: str = "") -> View:
    """What a study will do and how much it can cost at most.

    Args:
        spec: the search file.
        plan: of it.
        notes: lines that the user should know, e.g. that there is no GPU here.
        form: in which the training function is written, when it isn't ours: "as an Optuna objective".
    """
    data = {
        "study": spec.name,
        "trials": plan.trials,
        "time_s": plan.time_s,
        "gpu_hours": plan.gpu_hours,
        "cost": spec.budget.cost,
        "repeats": plan.repeats,
        "at_once": plan.slots,
        "gpu": plan.gpu,
        "time_attr": spec.scheduler.time_attr,
        "scheduler": spec.scheduler.type,
        "judging": plan.judging,
        "rungs": _rungs(plan.ladders[0]),
        "brackets": [{"expected_trials": each.trials, "rungs": _rungs(each)} for each in plan.ladders],
        "expected_steps": plan.expected_t,
        "at_most_steps": plan.longest_t,
        "at_most_gpu_hours_per_second_of_step": plan.most_gpu_hours(1.0),
        "command": command_preview.sample(spec),
        "form": form,
        "notes": list(notes),
    }
    return View(data, lambda glyphs, _: _draw(spec, plan, notes, form, glyphs))


def _draw(spec: StudySpec, plan: Plan, notes: tuple[str, ...], form: str, glyphs: Glyphs) -> RenderableType:
    return stacked(
        [
            facts(_facts(spec, plan, form), glyphs),
            Hanging(
                [
                    [("parameter", "dim"), ("values", "dim")],
                    *([name, describe(parameter)] for name, parameter in spec.parameters.items()),
                ],
                glyphs,
            ),
            _ladders(spec, plan, glyphs),
            *(note(line, glyphs) for line in notes),
        ]
    )


def _rungs(ladder: Ladder) -> list[dict[str, float]]:
    return [{"t": rung.t, "expected_trials": rung.expected_trials} for rung in ladder.rungs]


def _ladders(spec: StudySpec, plan: Plan, glyphs: Glyphs) -> RenderableType:
    """A row a rung; with several brackets a column a bracket."""
    unit = spec.scheduler.time_attr
    if len(plan.ladders) == 1:
        rows: list[list[Cell]] = [[str(rung.t), _expected(plan, rung.expected_trials)] for rung in plan.rungs]
        counts = "trials at least" if guided(spec) else "trials expected"
        return table([(unit, "r"), (counts, "r")], rows, glyphs)
    found = [{rung.t: rung.expected_trials for rung in each.rungs} for each in plan.ladders]
    rows = [
        [str(t), *(_expected(plan, each[t]) if t in each else "" for each in found)]
        for t in sorted({t for each in found for t in each})
    ]
    return table([(unit, "r"), *((f"bracket {number}", "r") for number in range(len(found)))], rows, glyphs)


def _expected(plan: Plan, trials: float) -> str:
    return f"{trials:.0f}" if plan.trials else f"{trials:.0%}"


def _metric(metric: Metric) -> str:
    bounds = [f"{word} {value:g}" for word, value in (("min", metric.min), ("max", metric.max)) if value is not None]
    return ", ".join([metric.name, *([metric.goal] if metric.goal else []), *bounds])


def _facts(spec: StudySpec, plan: Plan, form: str) -> list[tuple[str, Cell]]:
    unit = spec.scheduler.time_attr
    ends = [counted(plan.trials, "trial")] if plan.trials else []
    ends += [format_duration(plan.time_s) or f"{plan.time_s:g}s"] if plan.time_s else []
    ends += [f"{plan.gpu_hours:g} GPU-hours"] if plan.gpu_hours else []
    budget = spec.budget
    ends += [f"a cost of {budget.cost:g}"] if budget.cost else []
    ends += [f"{counted(budget.patience, 'trial')} in a row without a better one"] if budget.patience else []
    ends += [f"less than {budget.min_improvement:g} to be gained"] if budget.min_improvement else []
    rows: list[tuple[str, Cell]] = [
        ("study", (spec.name, "bold")),
        ("metric", "; ".join(map(_metric, spec.metrics))),
        ("scheduler", plan.judging),
        ("budget", " or ".join(ends) or "until stopped"),
        ("at once", f"{plan.slots} on this machine"),
    ]
    if spec.command is not None:
        rows.insert(1, ("command", command_preview.told(command_preview.sample(spec))))
    if form:
        rows.insert(1, ("runs", f"{spec.entrypoint} {form}"))
    rules = {
        "constraints": "; ".join(spec.constraints),
        "derived": "; ".join(f"{name} = {text}" for name, text in spec.derived.items()),
        "in step": "; ".join(" with ".join(group) for group in spec.zip),
        "learns from": ", ".join(one.study for one in spec.search.warm_start),
    }
    rows += [(key, text) for key, text in rules.items() if text]
    if plan.repeats:
        each = f"{spec.search.repeats} more seeds each, {plan.repeats * spec.scheduler.max_t} {unit}s"
        rows.append(("repeats", f"{counted(plan.repeats // spec.search.repeats, 'finalist')}, {each}"))
    if plan.expected_t is not None and plan.longest_t is not None:
        saved = 1 - plan.expected_t / plan.longest_t
        told = f"about {plan.expected_t:.0f}, at most {plan.longest_t} ({saved:.0%} saved by stopping early)"
        if guided(spec):
            told = f"at least {plan.expected_t:.0f}, at most {plan.longest_t}: the model of all curves decides"
        rows.append((f"{unit}s", told))
    elif plan.longest_t is not None:
        rows.append((f"{unit}s", f"at most {plan.longest_t}"))
    if plan.longest_t is not None:
        hours = plan.most_gpu_hours(1.0)
        if hours:
            rows.append(("GPU-hours", f"at most {hours:.3g} for each second that one {unit} of one trial takes"))
    return rows
