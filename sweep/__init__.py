"""Distributed hyperparameter search on Ray: one YAML file in, a promoted checkpoint out.

>>> import sweep
>>> study = sweep.launch("search_spaces/quick.yaml")  # doctest: +SKIP
>>> study.best  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sweep.api import BestTrial, Study, launch, load
    from sweep.training.scripts.client import context, report

__all__ = ["BestTrial", "Study", "__version__", "context", "launch", "load", "report"]


def __getattr__(name: str) -> Any:
    """The Python API, imported when it is used: the command line's start must stay instant."""
    if name in ("context", "report"):
        from sweep.training.scripts import client

        return getattr(client, name)
    if name in __all__:
        from sweep import api

        return getattr(api, name)
    raise AttributeError(f"module 'sweep' has no attribute {name!r}")
