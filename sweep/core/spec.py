"""The search file as typed values: what `sweep.core.loading` returns and everything else reads.

The docstring under a field is what an editor shows for the key (`sweep.core.schema`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, field_validator

from sweep.core.groups import NAME_PART, NAME_RULE, clash
from sweep.core.names import NAME, alias_problem
from sweep.core.parameters import Choice, Constant, FloatRange, IntRange, Parameter, read_parameters
from sweep.core.positions import Mark, Positions
from sweep.core.rules import metric_faults, price_faults, scheduler_faults, study_faults
from sweep.core.section import Fault, Scalar, Section, described, refuse
from sweep.core.units import parse_duration, parse_memory

__all__ = [
    "Basics", "Budget", "CheckpointPolicy", "Choice", "Constant", "Environment", "FloatRange", "IntRange", "Metric",
    "Parameter", "Promote", "Resources", "Retries", "Scalar", "Scheduler", "Search", "Section", "StudySpec",
    "WarmStart",
]  # fmt: skip

ORDER = (
    "name", "entrypoint", "command", "metric", "parameters", "derived", "zip", "constraints", "search", "scheduler",
    "budget", "resources", "retries", "checkpoint", "promote", "environment", "storage",
)  # fmt: skip
"""The keys of the file, in the order in which we write them."""

DEFAULT_TRIALS = 50
"""The budget of a file that names none, so that no study runs for ever."""

PARAMETER_NAME, PARAMETER_NAME_RULE = NAME_PART, NAME_RULE
_ENTRYPOINT = re.compile(r"(?:[^\W\d]\w*(?:\.[^\W\d]\w*)*|[^:\s][^:]*\.py):[^\W\d]\w*")


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_duration(value)
    except ValueError as error:
        raise refuse(f"{error}.") from error


def _gib(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_memory(value)
    except ValueError as error:
        raise refuse(str(error)) from error


def _share(value: Any) -> Any:
    if value == "auto" and isinstance(value, str):
        return value
    rule = "Use a fraction up to 1, or a whole number."
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refuse(f"expected a number or auto, got {described(value)}. {rule}")
    if not math.isfinite(value) or value < 0 or (value > 1 and value != int(value)):
        raise refuse(f"got {value!r}. {rule}")
    return value


def _node_hour(value: Any) -> Any:
    if value == "cluster" and isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise refuse(f"expected a number above 0, or cluster for what it says of its machines, got {described(value)}.")
    return value


def _yes_no_auto(value: Any) -> Any:
    if isinstance(value, bool) or value == "auto":
        return value
    meant = {"on": " Write true.", "yes": " Write true.", "off": " Write false.", "no": " Write false."}
    raise refuse(f"expected true, false or auto, got {described(value)}.{meant.get(str(value), '')}")


def _folder_name(value: str) -> str:
    if not NAME.fullmatch(value):
        rule = "It becomes a folder: letters, digits, '.', '_' and '-', at most 64, a letter or digit first."
        raise refuse(f"got {value!r}. {rule}")
    return value


def _environment_texts(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _environment_text(item) for key, item in value.items()}


def _environment_text(value: Any) -> Any:
    # A number is what people mean by OMP_NUM_THREADS: 1. true could be "true", "True" or "1".
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _words(value: Any) -> Any:
    if not isinstance(value, list):
        if value is None or isinstance(value, str):
            return value
        raise refuse(f"expected a text or a list of words, got {described(value)}. Write: python train.py {{args}}.")
    return [_word(item) for item in value]


def _word(value: Any) -> str:
    # Unquoted in a list, {args} is a map with a key and no value to YAML.
    if isinstance(value, dict) and len(value) == 1 and next(iter(value.values())) is None:
        return f"{{{next(iter(value))}}}"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        told = described(value)
        raise refuse(f"a word is {told}. Words are texts and numbers; put quotes around {told.split()[-1]}.")
    return value if isinstance(value, str) else str(value)


def _named_study(value: Any) -> Any:
    return {"study": value} if isinstance(value, str) else value


Text = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0)]


class Metric(Section):
    """What the training function reports and the study optimises."""

    name: Text
    """The key of the value in `ctx.report({...})`."""
    goal: Literal["minimize", "maximize"] | None = None
    """Whether lower or higher is better; may be left out beside a bound, which then is all that counts."""
    target: float | None = None
    """The study ends when a trial has reached this value."""
    max: float | None = None
    """Results above this rank behind all others, and are never promoted."""
    min: float | None = None
    """Results below this rank behind all others, and are never promoted."""

    def faults(self) -> Iterator[Fault]:
        """There is a goal or a bound, and some value keeps within the bounds."""
        return metric_faults(self)

    @property
    def bounded(self) -> bool:
        """Whether it has a bound."""
        return self.max is not None or self.min is not None

    def excess(self, value: float) -> float:
        """How far a value is beyond the bounds: at most 0 within them, infinite for NaN."""
        if math.isnan(value):
            return math.inf
        beyond = [value - self.max] if self.max is not None else []
        beyond += [self.min - value] if self.min is not None else []
        return max(beyond, default=-math.inf)

    def told(self, value: float | None) -> str:
        """A value and the bound that it breaks, in words: "latency_ms 7.2 (max 5)"."""
        shown = "missing" if value is None else f"{value:g}"
        low = self.min is not None and value is not None and value < self.min
        return f"{self.name} {shown} ({f'min {self.min:g}' if low or self.max is None else f'max {self.max:g}'})"

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is strictly better than `b`; NaN is never better and anything else beats it."""
        if math.isnan(a):
            return False
        if math.isnan(b):
            return True
        return a > b if self.goal == "maximize" else a < b


class WarmStart(Section):
    """An earlier study to learn from."""

    study: Text
    """Its name."""
    assume: dict[str, Any] = Field(default_factory=dict)
    """Values that its trials had of parameters which its file didn't name."""


class Search(Section):
    """How configs are proposed."""

    algorithm: Literal["auto", "tpe", "gp", "cmaes", "qmc", "random", "grid", "nsga2", "nsga3"] = "auto"
    """Which sampler proposes; auto takes what fits the space and the budget."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Makes the search repeat itself."""
    startup_trials: int | None = Field(default=None, ge=0)
    """Random trials before the sampler learns."""
    points_to_evaluate: list[dict[str, Any]] = Field(default_factory=list)
    """Configs to try first; what a point leaves out is proposed."""
    warm_start: list[Annotated[WarmStart, BeforeValidator(_named_study)]] = Field(default_factory=list)
    """Earlier studies in the same storage to learn from, by name or as {study, assume}."""
    repeats: int = Field(default=0, ge=0, le=1000)
    """Further trainings of each finalist with other seeds, by which finalists are ranked in the end."""
    finalists: int = Field(default=3, ge=1)
    """How many of the best trials are repeated."""


class Scheduler(Section):
    """How trials are judged while they run."""

    type: Literal["asha", "hyperband", "median", "pbt", "none"] = "asha"
    """The rule that stops weak trials; none lets each one finish."""
    time_attr: Text = "epoch"
    """The reported key that counts a trial's progress."""
    max_t: int = Field(default=100, ge=1)
    """Where a trial is complete."""
    grace_period: int = Field(default=1, ge=1)
    """Where trials are first compared."""
    reduction_factor: int = Field(default=3, ge=2)
    """One in this many advances at each rung."""
    brackets: int | None = Field(default=None, ge=1)
    """Ladders of rungs, each starting one rung later; 1 for asha and all there can be for hyperband when left out."""
    promote: Annotated[bool | Literal["auto"], BeforeValidator(_yes_no_auto)] = "auto"
    """asha and hyperband: pause at a rung and go on when a place is free, rather than stop; auto: where a model of the
    curves says who goes on (search.algorithm: gp), and stop elsewhere."""
    explore: list[Text] | None = None
    """pbt: the parameters that may change while a trial trains; the real ranges when left out."""

    def faults(self) -> Iterator[Fault]:
        """The first rung isn't above the last, and each bracket has a rung."""
        return scheduler_faults(self)


class Budget(Section):
    """What ends the study: the first that is reached. 50 trials when the file names none."""

    trials: int | None = Field(default=None, ge=1)
    """Trials created."""
    time_s: Annotated[Positive | None, BeforeValidator(_seconds)] = Field(default=None, alias="time")
    """Time from the start: 10m, 1h30m, 45s, or seconds."""
    gpu_hours: float | None = Field(default=None, gt=0)
    """Hours times the GPU shares held."""
    cost: float | None = Field(default=None, gt=0)
    """Money, in the currency of resources.price."""
    failures: int | None = Field(default=None, ge=1)
    """Failed trials, after their retries."""
    patience: int | None = Field(default=None, ge=1)
    """Trials in a row without a better one."""
    min_improvement: float | None = Field(default=None, gt=0)
    """The study ends when the rest of its trials would most likely improve the metric by less than this."""

    def model_post_init(self, _: Any) -> None:
        """Fill in the default; the others alone may never come true."""
        if (self.trials, self.time_s, self.gpu_hours, self.cost) == (None, None, None, None):
            self.__dict__["trials"] = DEFAULT_TRIALS
            self.model_fields_set.discard("trials")

    def without_default(self) -> Self:
        """The same budget, without trials where the file names nothing at all."""
        filled = "trials" not in self.model_fields_set and self.trials is not None
        return self.model_copy(update={"trials": None}) if filled else self


class Price(Section):
    """What machines cost an hour, in any one currency: what `budget.cost` is counted by."""

    gpu_hour: Positive | None = None
    """A GPU for an hour; counted is the share that a trial holds while it runs."""
    core_hour: Positive | None = None
    """A CPU core for an hour, counted as the GPU is."""
    node_hour: Annotated[Positive | Literal["cluster"], BeforeValidator(_node_hour)] | None = None
    """A node for an hour, from a driver's start to its end, whether trials run there or not; cluster: as it says."""

    def faults(self) -> Iterator[Fault]:
        """Something has a price."""
        return price_faults(self)


class Resources(Section):
    """What one trial occupies."""

    gpu: Annotated[float | Literal["auto"], BeforeValidator(_share)] = 0.0
    """A share of one GPU up to 1, a number of whole GPUs, or auto to measure."""
    cpu: float = Field(default=1.0, gt=0)
    """CPU cores."""
    gpu_memory: Annotated[Positive | None, BeforeValidator(_gib)] = None
    """GPU memory a trial needs: 8GiB, or a number of GiB."""
    max_concurrent: int | None = Field(default=None, ge=1)
    """Trials at once, at most."""
    isolation: Literal["worker", "process"] = "worker"
    """worker: processes stay from attempt to attempt; process: a new one for each attempt."""
    fuse: int = Field(default=1, ge=1, le=1024)
    """Trials that may train as one batch of models in one process, when they differ only in numbers."""
    price: Price | None = None
    """What machines cost an hour, for budget.cost."""


class Retries(Section):
    """What happens to a failed attempt."""

    max: int = Field(default=0, ge=0)
    """Further attempts of a trial that failed."""
    on_oom: Literal["grow", "shrink_batch", "fail"] = "fail"
    """After memory ran out: a larger share, a split batch, or an ordinary failure."""
    on_preempt: Literal["free"] = "free"
    """A lost node never counts against max."""


class CheckpointPolicy(Section):
    """Which checkpoints are written and kept."""

    every: int = Field(default=1, ge=1)
    """Steps of time_attr between checkpoints; one is always written at max_t."""
    keep_last: int = Field(default=1, ge=1)
    """The newest of each trial."""
    keep_best_in_study: int = Field(default=3, ge=1)
    """The best of all trials."""


class Promote(Section):
    """What goes into the registry when the study ends."""

    model: Annotated[Text, Field(max_length=64)]
    """The model's folder in the registry."""
    top_k: int = Field(default=1, ge=1)
    """How many of the best trials become versions."""
    min_metric: float | None = None
    """Promote nothing that is worse than this."""
    alias: Text | None = "champion"
    """The name that moves to the best new version; null moves none."""
    if_better: bool = True
    """Promote the best only when it beats the version that the alias points to."""
    registry: Text | None = None
    """The registry's folder; null for the usual one."""

    @field_validator("model")
    @classmethod
    def _model(cls, value: str) -> str:
        return _folder_name(value)

    @field_validator("alias")
    @classmethod
    def _alias(cls, value: str | None) -> str | None:
        problem = None if value is None else alias_problem(value)
        if problem:
            raise refuse(problem)
        return value


class Environment(Section):
    """Where the training function runs."""

    image: Text | None = None
    """The container image of the workers."""
    env: Annotated[dict[str, str], BeforeValidator(_environment_texts)] = Field(default_factory=dict)
    """Environment variables."""
    working_dir: Text | None = None
    """The folder that training code is imported from."""


class Basics(Section):
    """The keys of the top level that are no sections."""

    name: str
    """The study's name and folder; the file's name when it is left out."""
    entrypoint: str | None = None
    """The training function: package.module:function or path/file.py:function."""
    command: Annotated[str | list[str] | None, BeforeValidator(_words)] = None
    """A script to run in place of entrypoint, with macros for the parameters: python train.py {args}."""
    derived: dict[str, Text] = Field(default_factory=dict)
    """Further values of each config, as expressions: {ffn: 4 * width}."""
    zip: list[list[str]] = Field(default_factory=list)
    """Lists of parameters whose values are taken in step."""
    constraints: list[Text] = Field(default_factory=list)
    """Expressions that every config fulfils: width % heads == 0."""
    storage: Text = "studies"
    """Where studies are kept: a folder, s3://... or gs://..."""

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        return _folder_name(value)

    @field_validator("entrypoint")
    @classmethod
    def _entrypoint(cls, value: str | None) -> str | None:
        if value is None or _ENTRYPOINT.fullmatch(value):
            return value
        raise refuse(f"got {value!r}. Write package.module:function or path/file.py:function.")


class StudySpec(Basics):
    """One search file, complete: the defaults filled in."""

    metric: Metric | list[Metric]
    """What is optimised; several metrics with a goal ask for their Pareto front, those with a bound alone limit it."""
    parameters: Annotated[dict[str, Parameter], BeforeValidator(read_parameters)]
    """What is searched: a map of name to range, values, constant, or a group: a map of those."""
    search: Search = Search()
    scheduler: Scheduler = Scheduler()
    budget: Budget = Budget()
    resources: Resources = Resources()
    retries: Retries = Retries()
    checkpoint: CheckpointPolicy = CheckpointPolicy()
    promote: Promote | None = None
    environment: Environment = Environment()

    _positions: Positions = PrivateAttr(default_factory=lambda: Positions(Mark("spec")))

    def model_post_init(self, context: Any, /) -> None:
        """A grid ends by itself, so it needs no budget."""
        super().model_post_init(context)
        if self.search.algorithm == "grid":
            self.__dict__["budget"] = self.budget.without_default()

    @field_validator("parameters")
    @classmethod
    def _parameter_names(cls, value: dict[str, Parameter]) -> dict[str, Parameter]:
        for name in value:
            if not all(PARAMETER_NAME.fullmatch(part) for part in name.split(".")):
                raise refuse(f"{name!r} can't be a parameter's name. {PARAMETER_NAME_RULE}")
        if both := clash(list(value)):
            raise refuse(f"{both!r} is a parameter and a group. Give one of them another name.")
        return value

    def faults(self) -> Iterator[Fault]:
        """The rules between sections."""
        return study_faults({name: getattr(self, name) for name in type(self).model_fields})

    @property
    def metrics(self) -> list[Metric]:
        """The metrics, as a list also where the file has one."""
        return self.metric if isinstance(self.metric, list) else [self.metric]

    @property
    def objective(self) -> Metric:
        """The first metric with a goal: what ranks trials, where one value has to."""
        return next(metric for metric in self.metrics if metric.goal is not None)

    def located(self, positions: Positions) -> Self:
        """The same spec, knowing where its values stand; called by the loader."""
        self._positions = positions
        return self

    def where(self, *path: str | int) -> str:
        """Where a value stands, "vit.yaml:12:7"; for a default, the nearest key around it."""
        return str(self._positions.value(path))
