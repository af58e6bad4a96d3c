"""The report as one HTML file that needs nothing else: no server, no network."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from sweep.watch.report.comparison import Comparison, comparison_figures
from sweep.watch.report.drawing import Figure
from sweep.watch.report.facts import Facts, cost_rows, front_note, told_attempts, trials_table
from sweep.watch.report.figures import figures
from sweep.watch.text import number


def page(found: Facts) -> str:
    """The report of a study as a whole page."""
    pictures = figures(found.subject)
    heads, rows, more = trials_table(found.subject)
    rest = [
        ("cost", "Cost"),
        ("trials", "Best trials"),
        ("failures", "Failures"),
        ("next", "Next"),
        ("origin", "Origin"),
    ]
    return _rendered(
        "report.html.j2",
        pictures,
        rest,
        name=found.name,
        headline=found.headline,
        tiles=found.tiles,
        story=found.story,
        cost=_cost(found),
        trials={"heads": heads, "rows": rows, "more": more, "note": front_note(found.study)},
        failures=[
            {"text": cause.text, "count": told_attempts(cause), "log": str(cause.log), "tail": cause.tail}
            for cause in found.causes
        ],
        advice=found.advice,
        no_advice="The best trials say nothing against the ranges, or are too few to say it.",
        next_file=found.next_file,
        origin=found.origin,
        spec=found.spec,
    )


def comparison_page(found: Comparison) -> str:
    """Two studies on a whole page."""
    first, second = (side.name for side in found.sides)
    return _rendered(
        "compare.html.j2",
        comparison_figures(found),
        [("facts", "Facts"), ("files", "Files")],
        name=f"{first} and {second}",
        first=first,
        second=second,
        story=found.verdict,
        rows=found.rows,
        changes=found.changes,
    )


def _rendered(template: str, pictures: Sequence[Figure], rest: Sequence[tuple[str, str]], **values: Any) -> str:
    """A page with pictures.

    Plotly comes with it, compressed: the browser unpacks it, which every one can since 2023.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=FunctionLoader(part)
    )
    drawn = [(picture.name, picture.title) for picture in pictures]
    return environment.get_template(template).render(
        sections=[{"anchor": anchor, "title": title} for anchor, title in [("why", "Why"), *drawn, *rest]],
        figures=pictures,
        # Not escaped: our own files, base64, and JSON without the characters that could end its element.
        css=Markup(part("report.css")),  # noqa: S704
        js=Markup(part("dressing.js") + part("report.js")),  # noqa: S704
        figures_json=Markup(safe_json([picture.plain() for picture in pictures])),  # noqa: S704
        plotly=Markup(packed_plotly()),  # noqa: S704
        **values,
    )


def safe_json(value: Any) -> str:
    """JSON that can stand inside a script element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def packed_plotly() -> str:
    """Plotly's script, compressed, in base64."""
    return base64.b64encode(gzipped_plotly()).decode()


@cache
def gzipped_plotly() -> bytes:
    """Plotly's script, compressed."""
    script = resources.files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return gzip.compress(script, mtime=0)


def part(name: str) -> str:
    """A file of the page."""
    return resources.files("sweep.watch.report").joinpath("page", name).read_text(encoding="utf-8")


def _cost(found: Facts) -> dict[str, Any]:
    used = found.subject.occupancy
    unit = "GPU-hours" if used.gpu else "slot-hours"
    rows = [
        {"name": name, "hours": number(hours), "part": f"{part:.0%}", "percent": round(100 * part, 2)}
        for name, hours, part in cost_rows(used)
    ]
    meaning = "GPUs held, by share" if used.gpu else "trials held no GPU: hours of places"
    note = f"{number(used.total)} {unit} ({meaning}), by what became of the work; lost is what was done anew."
    return {"unit": unit, "note": note, "rows": rows}
