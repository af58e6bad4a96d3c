"""The rules that judge trials while they run: one file each; `scheduler.py`, `on_rungs.py`: what they share."""

from __future__ import annotations

from collections.abc import Mapping

from sweep.core import guidance
from sweep.core.objectives import Objectives
from sweep.core.schedulers.asha import Asha
from sweep.core.schedulers.explore import explored_names
from sweep.core.schedulers.guided import Guided
from sweep.core.schedulers.hyperband import Hyperband, PausingHyperband
from sweep.core.schedulers.median import Median
from sweep.core.schedulers.none import NoScheduler
from sweep.core.schedulers.pausing import PausingAsha
from sweep.core.schedulers.pbt import Pbt
from sweep.core.schedulers.scheduler import Scheduler
from sweep.core.space import Space
from sweep.core.spec import StudySpec
from sweep.core.trial import Trial

__all__ = ["Scheduler", "make"]


def make(spec: StudySpec, metric: Objectives, trials: Mapping[int, Trial]) -> Scheduler:
    """The scheduler that a search file asks for.

    Args:
        spec: the search file.
        metric: its objectives.
        trials: of the study, as they are at each moment.
    """
    rules, seed = spec.scheduler, spec.search.seed
    match rules.type:
        case "none":
            return NoScheduler()
        case "asha" if guidance.guided(spec):
            return Guided(rules, metric)
        case "asha" if rules.promote is True:
            return PausingAsha(rules, metric, trials, seed=seed)
        case "asha":
            return Asha(rules, metric, seed=seed)
        case "hyperband" if rules.promote is True:
            return PausingHyperband(rules, metric, trials, seed=seed)
        case "hyperband":
            return Hyperband(rules, metric, seed=seed)
        case "median":
            return Median(rules, metric)
        case "pbt":
            space = Space(spec)
            return Pbt(
                rules,
                metric,
                trials,
                population=spec.budget.trials or 1,
                space=space,
                explored=explored_names(space, rules.explore),
                seed=seed,
            )
