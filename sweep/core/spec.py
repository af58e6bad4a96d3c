"""The search file as typed values: what `sweep.core.loading` returns and everything else reads."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Scalar = bool | int | float | str | None
"""What a parameter can be: everything that YAML and JSON write as one word."""


class Section(BaseModel):
    """A part of the file: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Metric(Section):
    """What the training function reports and the study optimises."""

    name: str
    goal: Literal["minimize", "maximize"]
    target: float | None = None
    """The study ends when a trial has reached this value."""

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is strictly better than `b`; NaN is never better and anything else beats it."""
        if math.isnan(a):
            return False
        if math.isnan(b):
            return True
        return a < b if self.goal == "minimize" else a > b


class FloatRange(Section):
    """A real number between two ends, both included."""

    kind: Literal["float"] = "float"
    min: float
    max: float
    log: bool = False
    step: float | None = None
    when: dict[str, Any] | None = None


class IntRange(Section):
    """A whole number between two ends, both included."""

    kind: Literal["int"] = "int"
    min: int
    max: int
    log: bool = False
    step: int | None = None
    when: dict[str, Any] | None = None


class Choice(Section):
    """One of a list of values."""

    kind: Literal["choice"] = "choice"
    values: list[Any]
    ordered: bool = False
    when: dict[str, Any] | None = None


class Constant(Section):
    """A value that every trial gets."""

    kind: Literal["constant"] = "constant"
    value: Any


Parameter = Annotated[FloatRange | IntRange | Choice | Constant, Field(discriminator="kind")]


class Search(Section):
    """How configs are proposed."""

    algorithm: Literal["auto", "tpe", "gp", "cmaes", "qmc", "random", "grid", "nsga2", "nsga3"] = "auto"
    seed: int = Field(default=0, ge=0)
    startup_trials: int | None = Field(default=None, ge=0)
    points_to_evaluate: list[dict[str, Any]] = []
    warm_start: list[str] = []


class Scheduler(Section):
    """How trials are judged while they run."""

    type: Literal["asha", "hyperband", "median", "pbt", "none"] = "asha"
    time_attr: str = "epoch"
    max_t: int = Field(default=100, ge=1)
    grace_period: int = Field(default=1, ge=1)
    reduction_factor: int = Field(default=3, ge=2)
    brackets: int = Field(default=1, ge=1)
    promote: bool = False


class Budget(Section):
    """What ends the study: the first that is reached."""

    trials: int | None = Field(default=None, ge=1)
    time_s: float | None = Field(default=None, gt=0, alias="time")
    gpu_hours: float | None = Field(default=None, gt=0)
    cost: float | None = Field(default=None, gt=0)
    failures: int | None = Field(default=None, ge=1)
    patience: int | None = Field(default=None, ge=1)


class Resources(Section):
    """What one trial occupies."""

    gpu: float | Literal["auto"] = 0
    cpu: float = Field(default=1, gt=0)
    gpu_memory: float | None = None
    max_concurrent: int | None = Field(default=None, ge=1)


class Retries(Section):
    """What happens to a failed attempt."""

    max: int = Field(default=0, ge=0)
    on_oom: Literal["grow", "shrink_batch", "fail"] = "fail"
    on_preempt: Literal["free"] = "free"


class CheckpointPolicy(Section):
    """Which checkpoints are written and kept."""

    every: int = Field(default=1, ge=1)
    keep_last: int = Field(default=1, ge=1)
    keep_best_in_study: int = Field(default=3, ge=1)


class Promote(Section):
    """What goes into the registry when the study ends."""

    model: str
    top_k: int = Field(default=1, ge=1)
    min_metric: float | None = None
    alias: str | None = "champion"
    if_better: bool = True
    registry: str | None = None


class Environment(Section):
    """Where the training function runs."""

    image: str | None = None
    env: dict[str, str] = {}
    working_dir: str | None = None


class StudySpec(Section):
    """One search file, complete: the defaults filled in."""

    name: str
    entrypoint: str | None = None
    command: str | None = None
    metric: Metric | list[Metric]
    parameters: dict[str, Parameter]
    constraints: list[str] = []
    search: Search = Search()
    scheduler: Scheduler = Scheduler()
    budget: Budget = Budget()
    resources: Resources = Resources()
    retries: Retries = Retries()
    checkpoint: CheckpointPolicy = CheckpointPolicy()
    promote: Promote | None = None
    environment: Environment = Environment()
    storage: str = "studies"

    @model_validator(mode="after")
    def _one_entrypoint(self) -> Self:
        return self

    @property
    def objective(self) -> Metric:
        """The metric that ranks trials: the first of several."""
        return self.metric[0] if isinstance(self.metric, list) else self.metric
