"""For whom a training function was written: sweep, Ray Tune or Optuna, told by its source without running it."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sweep.core.guidance import pauses
from sweep.core.spec import StudySpec
from sweep.errors import EntrypointError
from sweep.training import entrypoints

TRIAL = "trial"
"""How the only parameter of an Optuna objective that must be given is called."""

_CONTEXT = ("ctx", "context")
_OF_TUNE = ("ray.tune", "ray.train", "ray.air")


@dataclass(frozen=True)
class Form:
    """How a training function is written.

    Attributes:
        kind: whose: "sweep" is `train(config, ctx)` or `train(config)`, "tune" a Ray Tune function trainable, "optuna"
            an objective.
        keeps: whether its file says anything of checkpoints.
    """

    kind: Literal["sweep", "tune", "optuna"] = "sweep"
    keeps: bool = True

    @property
    def told(self) -> str:
        """The form in words, "as a Ray Tune function"; empty for one of ours."""
        return {"tune": "as a Ray Tune function", "optuna": "as an Optuna objective"}.get(self.kind, "")


def of_function(function: Callable[..., Any]) -> Form:
    """The form of a function that was imported."""
    plain = function
    while isinstance(plain, functools.partial):
        plain = plain.func
    plain = inspect.unwrap(plain)
    try:
        parameters = list(inspect.signature(function).parameters.values())
        tree = ast.parse(Path(inspect.getsourcefile(plain) or "").read_bytes())
    except (TypeError, ValueError, OSError, SyntaxError):
        return Form()  # no source: an extension, or made while the program runs
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return Form()
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    required = sum(each.default is each.empty for each in positional)
    return _form(tree, [each.name for each in positional], required)


def of_entrypoint(entrypoint: str, base_dir: str | Path, working_dir: str | Path | None = None) -> Form:
    """The form of what an entrypoint names, as far as its file tells; the module isn't run.

    Raises:
        EntrypointError: there is no such module, file or function.
    """
    tree, node = entrypoints.definition(entrypoint, base_dir, working_dir)
    if tree is None or not isinstance(node, ast.FunctionDef) or node.args.vararg is not None:
        return Form()
    names = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
    return _form(tree, names, len(names) - len(node.args.defaults))


def in_file(entrypoint: str | None, base_dir: str | Path, working_dir: str | Path | None = None) -> Form:
    """As `of_entrypoint`, for who only looks at a search file: what can't be found there is told by a launch.

    A module's name isn't followed, for that would import its packages.
    """
    if entrypoint is None or not entrypoint.rpartition(":")[0].endswith(".py"):
        return Form()
    try:
        return of_entrypoint(entrypoint, base_dir, working_dir)
    except (EntrypointError, FileNotFoundError):  # the current folder may be gone
        return Form()


def notes(spec: StudySpec, form: Form) -> tuple[str, ...]:
    """What someone who launches such a function should know before it is run, in lines."""
    if form.keeps or not (pauses(spec) or spec.scheduler.type == "pbt"):
        return ()
    found = (
        f"{spec.entrypoint} runs {form.told} and keeps no checkpoints: a trial that pauses starts anew when it goes "
        "on; scheduler.promote: false stops trials instead"
    )
    return (found,)


def _form(tree: ast.Module, names: list[str], required: int) -> Form:
    if not names or required > 1:
        return Form()
    if required == 1 and names[0] == TRIAL:
        return Form("optuna", keeps=False)
    if len(names) > 1 and names[1] in _CONTEXT:
        return Form()
    if any(module.startswith(_OF_TUNE) for module in _modules(tree)):
        return Form("tune", keeps=_speaks_of_checkpoints(tree))
    return Form()


def _modules(tree: ast.Module) -> Iterator[str]:
    """What a file imports, inside functions too, and what it reaches through `import ray`."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                yield from (f"{module}.{alias.name}" for alias in node.names)
            case ast.Attribute(value=ast.Name(id="ray"), attr=attribute):
                yield f"ray.{attribute}"


def _speaks_of_checkpoints(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        match node:
            case ast.keyword(arg="checkpoint"):
                return True
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name) if "Checkpoint" in name:
                return True
    return False
