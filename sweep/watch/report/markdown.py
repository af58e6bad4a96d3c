"""The report as Markdown, for a pull request or a chat."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.core.plan import survival
from sweep.watch.report import comparing
from sweep.watch.report.facts import Facts, cost_rows, front_note, told_attempts, trials_table
from sweep.watch.text import number

MOST_ROWS = 10
_BAR = 20


def markdown(found: Facts) -> str:
    """The whole text: what the page says, without its pictures."""
    parts = [
        f"# {found.name}",
        found.headline,
        _table(["", "", ""], [[tile.name, f"**{tile.value}**", tile.more] for tile in found.tiles]),
        "## Why the best won",
        "\n".join(f"- {line}" for line in found.story),
        *_rungs(found),
        *_importance(found),
        *_trials(found),
        *_cost(found),
        *_failures(found),
        *_advice(found),
        "## Where it comes from",
        _table(["", ""], found.origin),
        f"<details><summary>The search file</summary>\n\n```yaml\n{found.spec}```\n\n</details>",
    ]
    return "\n\n".join(parts) + "\n"


def _rungs(found: Facts) -> list[str]:
    rungs = comparing.rungs(found.study)
    if len(rungs) < 2:  # noqa: PLR2004 - nobody was judged before the end
        return []
    rows = survival(found.subject.searched(), rungs, found.study.metric)
    heads = [found.subject.time_attr, "trials that reached it", f"best {found.subject.metric} there"]
    return ["## Rungs", _table(heads, [[str(t), str(count), number(best)] for t, count, best in rows])]


def _importance(found: Facts) -> list[str]:
    learned = found.subject.influence
    if learned is None:
        return []
    t = f"{found.subject.time_attr} {learned.compared.t}"
    note = f"{len(learned.compared.trials)} trials at {t}; {learned.explained:.0%} of their variance is explained."
    rows = [
        [f"`{one.axis.name}`", f"{max(0.0, one.mean):.2f}", _spread(one.low, one.high), _bar(one.mean)]
        for one in learned.weights
    ]
    return ["## What mattered", note, _table(["parameter", "share", "in 8 of 10 splits", ""], rows)]


def _spread(low: float, high: float) -> str:
    # Adding 0 takes the sign from what was rounded to -0.
    return f"{round(low, 2) + 0.0:.2f} to {round(high, 2) + 0.0:.2f}"


def _trials(found: Facts) -> list[str]:
    heads, rows, _ = trials_table(found.subject)
    if not rows:
        return []
    note = front_note(found.study)
    return ["## Best trials", *([note] if note else []), _table(heads, rows[:MOST_ROWS])]


def _cost(found: Facts) -> list[str]:
    used = found.subject.occupancy
    if not used.total:
        return []
    unit = "GPU-hours" if used.gpu else "slot-hours"
    rows = [[name, number(hours), f"{part:.0%}"] for name, hours, part in cost_rows(used)]
    return ["## Cost", _table(["what became of it", unit, "part"], rows)]


def _failures(found: Facts) -> list[str]:
    if not found.causes:
        return []
    parts = ["## Failures"]
    for cause in found.causes:
        parts.append(f"**{_inline(cause.text)}**  \n{told_attempts(cause)}")
        if cause.tail:
            parts.append(
                f"<details><summary>{_inline(str(cause.log))}</summary>\n\n{_fenced(cause.tail)}\n\n</details>"
            )
    return parts


def _advice(found: Facts) -> list[str]:
    if not found.advice:
        return []
    rows = [[f"`{one.axis.name}`", one.before, one.after, one.text] for one in found.advice]
    return ["## What to search next", _table(["parameter", "searched", "suggested", "why"], rows)]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(_inline(cell) for cell in line)} |" for line in lines)


def _inline(text: str) -> str:
    """Text that stays in its line and its cell."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def _fenced(text: str) -> str:
    """Text in a block; its fence is longer than any in it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"


def _bar(part: float) -> str:
    return "█" * round(_BAR * max(0.0, part))
