"""What a study has spent of its budget, and what it may spend: as the file says, and as a person has extended it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from sweep.core.events import Rates, Request
from sweep.core.pool import GRAIN, Node
from sweep.core.spec import DEFAULT_TRIALS, Resources, StudySpec
from sweep.errors import ResourceError

PRICE_LABEL = "sweep/usd-per-hour"
"""Ray's label of a node that says what an hour of it costs."""


def notes(spec: StudySpec, gpu: float) -> tuple[str, ...]:
    """Lines for the user: which limits can't end a study whose trials get this share of a GPU."""
    idle = []
    if spec.budget.gpu_hours is not None and not gpu:
        idle.append("budget.gpu_hours can't be reached here: trials hold no GPU")
    if spec.budget.cost is not None and not _costs(spec, gpu):
        idle.append("budget.cost can't be reached here: trials hold no GPU, and nothing else has a price")
    limit = trial_limit(spec, gpu)
    if idle and limit != spec.budget.trials:
        idle[-1] += f", so the study ends after {limit} trials"
    return tuple(idle)


def trial_limit(spec: StudySpec, gpu: float) -> int | None:
    """How many trials a study has at most; where nothing else can end it, as many as one whose file names no budget.

    A grid ends by itself.
    """
    budget = spec.budget
    if spec.search.algorithm == "grid":
        return budget.trials
    counts = bool(budget.gpu_hours and gpu) or bool(budget.cost and _costs(spec, gpu))
    if (budget.trials, budget.time_s) == (None, None) and not counts:
        return DEFAULT_TRIALS
    return budget.trials


def rates(spec: StudySpec, machines: int, hour: float = 0.0) -> Rates | None:
    """What a run costs an hour; None where the file names no prices.

    Args:
        spec: names them.
        machines: on how many it is.
        hour: what an hour of all of them costs, as the cluster says.
    """
    price = spec.resources.price
    if price is None:
        return None
    node_hour = price.node_hour or 0.0
    hour = hour if node_hour == "cluster" else machines * node_hour
    return Rates(gpu=price.gpu_hour or 0.0, core=price.core_hour or 0.0, machines=hour)


def hour_of(nodes: Sequence[Node]) -> float:
    """What an hour of these machines costs, as the cluster says.

    One on which trials may run, and of which it says nothing, counts like the dearest.
    """
    dearest = max((node.price or 0.0 for node in nodes), default=0.0)
    return sum(dearest if node.price is None and node.works else node.price or 0.0 for node in nodes)


def check_prices(resources: Resources, nodes: Sequence[Node]) -> None:
    """See that the cluster says what its machines cost, where the file relies on it.

    Raises:
        ResourceError: of some on which trials may run it doesn't.
    """
    if resources.price is None or resources.price.node_hour != "cluster":
        return
    if silent := [node.name for node in nodes if node.works and node.price is None]:
        raise ResourceError(
            f"resources.price.node_hour: cluster: nothing says what an hour of {', '.join(silent)} costs. Give the "
            f'machine the label {PRICE_LABEL}, as {PRICE_LABEL}: "0.805" under labels of its type in the cluster\'s '
            f"file, or by ray start --labels {PRICE_LABEL}=0.805; or write a number here."
        )


def _costs(spec: StudySpec, gpu: float) -> bool:
    """Whether a study whose trials get this share of a GPU costs anything."""
    price = spec.resources.price
    return price is not None and bool(price.core_hour or price.node_hour or (price.gpu_hour and gpu))


class _Held(NamedTuple):
    """What an attempt holds, in grains: with others of its batch, or by itself."""

    batch: int | None
    gpu: int
    cores: int


class Limits:
    """The books of what is spent.

    Attributes:
        trials: how many may be created; None without a limit.
        time_s: how long drivers may work on the study.
        gpu_hours: hours times the GPU shares held.
        cost: money, in the currency of the file's prices.
        elapsed_s: how long they have.
        gpu_s: seconds times the GPU shares that attempts have held.
        paid: what that, their cores and the machines have cost.
        still: nobody works, because a person paused the study: that isn't counted as time. Machines cost on.
    """

    def __init__(self, spec: StudySpec) -> None:
        budget = spec.budget
        self._spec = spec
        self.trials = budget.trials
        self.time_s = budget.time_s
        self.gpu_hours = budget.gpu_hours
        self.cost = budget.cost
        self.elapsed_s = self.gpu_s = self.paid = 0.0
        self.still = False
        self._rates = Rates()
        self._before_s = 0.0
        self._since: float | None = None
        self._last = 0.0
        self._held: dict[int, _Held] = {}
        self._batches: dict[int, int] = {}
        # All of it together, counted in grains: sums of floats would drift.
        self._gpu_grains = self._core_grains = 0

    def begin(self, now: float, gpu: float, rates: Rates | None = None) -> None:
        """A driver begins, under which trials get this share of a GPU, and an hour costs so much."""
        self._before_s = self.elapsed_s
        self._since = self._last = now
        self._rates = rates or Rates()
        self.still = False
        if self.trials is None:
            self.trials = trial_limit(self._spec, gpu)

    def reprice(self, rates: Rates | None) -> None:
        """An hour costs so much from now on."""
        self._rates = rates or Rates()

    def rest(self) -> None:
        """The driver is gone; no time counts until the next."""
        self._since = None

    def hold(self, trial: int, gpu: float | None, cores: float = 0.0, *, batch: int | None = None) -> None:
        """An attempt of the trial holds this share and these cores, from now on; all of a batch the same ones."""
        self.give(trial)
        self._held[trial] = held = _Held(batch, round((gpu or 0.0) * GRAIN), round(cores * GRAIN))
        self._count(held, 1)

    def give(self, trial: int) -> None:
        """It doesn't any more."""
        if (held := self._held.pop(trial, None)) is not None:
            self._count(held, -1)

    def _count(self, held: _Held, sign: Literal[1, -1]) -> None:
        """One more of a kind, or one less. With ten thousand at work they can't be summed anew each time."""
        if held.batch is not None:
            members = self._batches.pop(held.batch, 0) + sign
            if members:
                # One that is over isn't remembered: their numbers rise for ever.
                self._batches[held.batch] = members
            if members != (sign == 1):
                # Others of its batch hold the same.
                return
        self._gpu_grains += sign * held.gpu
        self._core_grains += sign * held.cores

    @property
    def _gpu(self) -> float:
        """GPUs that are held at the moment."""
        return self._gpu_grains / GRAIN

    @property
    def _per_s(self) -> float:
        """What a second costs at the moment."""
        rates = self._rates
        return (rates.gpu * self._gpu + rates.core * self._core_grains / GRAIN + rates.machines) / 3600

    def passed(self, now: float) -> None:
        """It is now this late; a clock that was put back stands until it is there again."""
        if self._since is None or now <= self._last:
            return
        passed, self._last = now - self._last, now
        if self.still:
            self._since += passed
        self.elapsed_s = self._before_s + (self._last - self._since)
        self.gpu_s += passed * self._gpu
        self.paid += passed * self._per_s

    def spent(self, now: float | None = None) -> tuple[Literal["time", "gpu_hours", "cost"], str] | None:
        """Which limit is reached, or will be at `now` if nothing happens before, and the words; trials aside."""
        ahead = 0.0 if now is None or self._since is None else max(0.0, now - self._last)
        elapsed_s = self.elapsed_s + (0.0 if self.still else ahead)
        if self.time_s is not None and elapsed_s >= self.time_s:
            return "time", f"budget.time is used up: {elapsed_s:.0f} of {self.time_s:.0f} s"
        hours = (self.gpu_s + ahead * self._gpu) / 3600
        if self.gpu_hours is not None and hours >= self.gpu_hours:
            return "gpu_hours", f"budget.gpu_hours is used up: {hours:.3g} of {self.gpu_hours:g}"
        paid = self.paid + ahead * self._per_s
        if self.cost is not None and paid >= self.cost:
            return "cost", f"budget.cost is used up: {paid:.4g} of {self.cost:g}"
        return None

    def extend(self, request: Request, *, base: int) -> None:
        """A person grants more.

        Args:
            request: how much.
            base: the number of trials that an extension is counted from.
        """
        if request.trials is not None:
            self.trials = base + request.trials
        # A limit that was overrun is extended from where the study stands.
        if request.time_s is not None and self.time_s is not None:
            self.time_s = max(self.time_s, self.elapsed_s) + request.time_s
        if request.gpu_hours is not None and self.gpu_hours is not None:
            self.gpu_hours = max(self.gpu_hours, self.gpu_s / 3600) + request.gpu_hours
        if request.cost is not None and self.cost is not None:
            self.cost = max(self.cost, self.paid) + request.cost
