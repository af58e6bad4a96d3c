"""What can be told of a command before it is run: how it will look, and what its user should know."""

from __future__ import annotations

import shlex

from sweep.core.command_line import LISTS, filled, macros
from sweep.core.guidance import pauses
from sweep.core.seeds import derive
from sweep.core.space import Space, midpoint
from sweep.core.spec import StudySpec


def sample(spec: StudySpec) -> list[str]:
    """The command's words for a config from the middle of the space; what only a trial knows stays in its braces.

    A study without a command has none.
    """
    if spec.command is None:
        return []
    facts = {
        "python": "python",
        "seed": derive(spec.search.seed, "trial", 0),
        "trial": 0,
        "attempt": 1,
        "study": spec.name,
        "max_t": spec.scheduler.max_t,
        "cpus": max(1, int(spec.resources.cpu)),
        "batch_split": 1,
    }
    return filled(spec.command, Space(spec).for_training(midpoint(spec)), facts)


def told(words: list[str]) -> str:
    """A command as one could type it."""
    return shlex.join(words)


def notes(spec: StudySpec) -> tuple[str, ...]:
    """What someone who launches a command should know before it is run, in lines."""
    if spec.command is None:
        return ()
    named, found = macros(spec.command), []
    if not {*LISTS, "config_json", "config_file"} & set(named):
        left = [name for name in spec.parameters if name not in named]
        if left:
            what = ", ".join(left[:6]) + (", ..." if len(left) > 6 else "")  # noqa: PLR2004
            found.append(f"command doesn't pass {what}: the script has to ask sweep.context() for what is missing")
    if "checkpoint_dir" not in named and (pauses(spec) or spec.scheduler.type == "pbt"):
        found.append(
            "command has no {checkpoint_dir}: unless the script hands sweep.report its checkpoints, a trial that "
            "pauses starts anew when it goes on; scheduler.promote: false stops trials instead"
        )
    if spec.resources.gpu == "auto":
        found.append("resources.gpu: auto learns of memory only from scripts that use sweep.report or sweep.context")
    return tuple(found)
