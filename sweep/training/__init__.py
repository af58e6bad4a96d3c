"""What runs inside a trial: the context a training function talks to, and our own training functions.

Importing this package, `sweep.training.context` or `sweep.training.attempt` doesn't import torch, for the driver
imports them.
"""

from __future__ import annotations

from sweep.training.context import Context, StopTrial, current
from sweep.training.standalone import standalone

__all__ = ["Context", "StopTrial", "current", "standalone"]
