"""What pages are made of: templates, and files under an address that changes with their content."""

from __future__ import annotations

import gzip
import hashlib
import re
from functools import cache
from importlib import resources
from typing import Any

from sweep.watch.report import page as report_page

KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
PLOTLY = "plotly.js"


@cache
def files() -> dict[str, bytes]:
    """The files by name, Plotly's script aside."""
    folder = resources.files("sweep.watch.ui").joinpath("page")
    found = {
        each.name: each.read_bytes() for each in folder.iterdir() if each.name.rpartition(".")[2] in KINDS
    }  # fmt: skip
    found["report.css"] = with_dark_by_preference(report_page.part("report.css")).encode()
    found["dressing.js"] = report_page.part("dressing.js").encode()
    return found


@cache
def version() -> str:
    """Names the files as they are: browsers may keep them for ever."""
    digest = hashlib.sha256()
    for name, content in sorted(files().items()):
        digest.update(name.encode() + content)
    return digest.hexdigest()[:12]


@cache
def shunned() -> str:
    """The id of a style that Plotly brings for maps, unless the page has an element of it: the policy forbids it.

    Empty where this Plotly has none.
    """
    script = gzip.decompress(report_page.gzipped_plotly())
    found = re.search(rb'getElementById\("([0-9a-f]{64})"\)', script)
    return found[1].decode() if found else ""


def with_dark_by_preference(css: str) -> str:
    """The report's style, dark from the first paint where that is preferred: its script sets the dress only later.

    Raises:
        ValueError: the style has no dark dress.
    """
    dark = re.search(r':root\[data-dress="dark"\] (\{.*?\n\})', css, flags=re.DOTALL)
    if dark is None:
        raise ValueError("report.css: no dark dress")
    preferred = f"@media (prefers-color-scheme: dark) {{ :root:not([data-dress]) {dark[1]} }}\n"
    return css[: dark.end()] + "\n" + preferred + css[dark.end() :]


@cache
def _environment() -> Any:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def load(name: str) -> str:
        return resources.files("sweep.watch.ui").joinpath("page", name).read_text(encoding="utf-8")

    return Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=FunctionLoader(load)
    )


def render(template: str, nonce: str, data: Any = None, **values: Any) -> str:
    """A page.

    Args:
        template: its file.
        nonce: of the element that Plotly writes its rules into.
        data: for its script.
        values: for the template.
    """
    from markupsafe import Markup

    # Not escaped: JSON without the characters that could end its element.
    text = Markup(report_page.safe_json(data))  # noqa: S704
    rendered: str = (
        _environment()
        .get_template(template)
        .render(base=f"/static/{version()}", nonce=nonce, shunned=shunned(), data=text, **values)
    )
    return rendered
