"""The search file that most tests of whole studies need: one parameter, one metric, nothing unusual."""

from __future__ import annotations

from sweep.core.spec import Budget, FloatRange, Metric, Scheduler, Search, StudySpec


def small_spec(**changes):
    fields = {
        "name": "s",
        "entrypoint": "m:train",
        "metric": Metric(name="loss", goal="minimize"),
        "parameters": {"x": FloatRange(min=0, max=1)},
        # The rules of schedulers alone, without a model that guides them.
        "search": Search(algorithm="random"),
        "scheduler": Scheduler(max_t=9),
        "budget": Budget(trials=5),
    }
    return StudySpec(**(fields | changes))
