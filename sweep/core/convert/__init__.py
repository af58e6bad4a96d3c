"""Other tools' search files as ours: `converted` is the text of one, checked by our own loader."""

from __future__ import annotations

from collections.abc import Callable

from sweep.core.convert import from_determined, from_katib, from_nni, from_wandb
from sweep.core.convert.draft import Draft
from sweep.core.loading import load
from sweep.core.positions import Mark, Problem
from sweep.core.yaml_tree import Node, YamlError, parse
from sweep.errors import SpecError

TOOLS: dict[str, tuple[str, Callable[[Node, Draft], None]]] = {
    "wandb": ("W&B", from_wandb.convert),
    "katib": ("Katib", from_katib.convert),
    "determined": ("Determined", from_determined.convert),
    "nni": ("NNI", from_nni.convert),
}
"""What `--from` takes, but for Optuna, whose studies are no files of text: the tool's name and its converter."""


def converted(tool: str, text: str, source: str) -> str:
    """Our search file from the text of another tool's.

    Args:
        tool: one of TOOLS.
        text: the contents of their file.
        source: its name, for messages and the first line.

    Raises:
        SpecError: with a line for each thing that has no equivalent.
    """
    name, convert = TOOLS[tool]
    try:
        tree, problems = parse(text, source)
    except YamlError as error:
        raise SpecError([str(error.problem)]) from error
    if tree is None:
        raise SpecError([str(Problem(Mark(source), (), f"the file is empty. Give a file for {name}."))])
    draft = Draft(name, source)
    draft.problems += problems
    convert(tree, draft)
    return finished(draft, source)


def finished(draft: Draft, source: str) -> str:
    """The draft's text, when nothing was refused and our loader takes it.

    Raises:
        SpecError: what stands in the way, in their file or in what came of it.
    """
    if draft.problems:
        ordered = sorted(draft.problems, key=lambda problem: problem.mark.order)
        raise SpecError(list(dict.fromkeys(map(str, ordered))))
    text = draft.text()
    try:
        load(text, source=f"{source} in our form")
    except SpecError as error:
        raise SpecError([*error.problems, f"Lines are those of what was made of {source}:\n{text}"]) from error
    return text
