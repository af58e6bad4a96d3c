"""Calls a training function in its own form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sweep.core.protocols import Placement
from sweep.training import entrypoints
from sweep.training.context import Context
from sweep.training.foreign import forms


def call(function: Callable[..., Any], context: Context, placement: Placement) -> None:
    """Run it to its end; raises what it raises, and what ends it."""
    match forms.of_function(function).kind:
        case "tune":
            # Imports Ray Tune, as the function's file does.
            from sweep.training.foreign import tune

            tune.run(function, context, placement)
        case "optuna":
            from sweep.training.foreign import trials

            trials.run(function, context, placement.objectives)
        case _:
            if entrypoints.takes_context(function):
                function(context.config, context)
            else:
                function(context.config)
