"""What a study has spent of its budget, and what it may spend: as the file says, and as a person has extended it."""

from __future__ import annotations

from typing import Literal

from sweep.core.spec import DEFAULT_TRIALS, StudySpec


def notes(spec: StudySpec, gpu: float) -> tuple[str, ...]:
    """Lines for the user: that `budget.gpu_hours` can't end a study whose trials get this share of a GPU."""
    budget = spec.budget
    if budget.gpu_hours is None or gpu:
        return ()
    limit = trial_limit(spec, gpu)
    instead = f", so the study ends after {limit} trials" if limit != budget.trials else ""
    return (f"budget.gpu_hours can't be reached here: trials hold no GPU{instead}",)


def trial_limit(spec: StudySpec, gpu: float) -> int | None:
    """How many trials a study has at most; where nothing else can end it, as many as one whose file names no budget.

    A grid ends by itself.
    """
    budget = spec.budget
    if spec.search.algorithm == "grid":
        return budget.trials
    if (budget.trials, budget.time_s, budget.cost) == (None, None, None) and not gpu:
        return DEFAULT_TRIALS
    return budget.trials


class Limits:
    """The books of what is spent.

    Attributes:
        trials: how many may be created; None without a limit.
        time_s: how long drivers may work on the study.
        gpu_hours: hours times the GPU shares held.
        elapsed_s: how long they have.
        gpu_s: seconds times the GPU shares that attempts have held.
        still: nobody works, because a person paused the study: that isn't counted as time.
    """

    def __init__(self, spec: StudySpec) -> None:
        budget = spec.budget
        self._spec = spec
        self.trials = budget.trials
        self.time_s = budget.time_s
        self.gpu_hours = budget.gpu_hours
        self.elapsed_s = self.gpu_s = 0.0
        self.still = False
        self._before_s = 0.0
        self._since: float | None = None
        self._last = 0.0
        self._held: dict[int, float] = {}

    def begin(self, now: float, gpu: float) -> None:
        """A driver begins, under which trials get this share of a GPU."""
        self._before_s = self.elapsed_s
        self._since = self._last = now
        self.still = False
        if self.trials is None:
            self.trials = trial_limit(self._spec, gpu)

    def rest(self) -> None:
        """The driver is gone; no time counts until the next."""
        self._since = None

    def hold(self, trial: int, gpu: float | None) -> None:
        """An attempt of the trial holds this share, from now on."""
        if gpu:
            self._held[trial] = gpu

    def give(self, trial: int) -> None:
        """It doesn't any more."""
        self._held.pop(trial, None)

    def passed(self, now: float) -> None:
        """It is now this late; a clock that was put back stands until it is there again."""
        if self._since is None or now <= self._last:
            return
        passed, self._last = now - self._last, now
        if self.still:
            self._since += passed
        self.elapsed_s = self._before_s + (self._last - self._since)
        self.gpu_s += passed * sum(self._held.values())

    def spent(self, now: float | None = None) -> tuple[Literal["time", "gpu_hours"], str] | None:
        """Which limit of time or GPU-hours is reached, or will be at `now` if nothing happens before, and the words."""
        ahead = 0.0 if now is None or self._since is None else max(0.0, now - self._last)
        elapsed_s = self.elapsed_s + (0.0 if self.still else ahead)
        if self.time_s is not None and elapsed_s >= self.time_s:
            return "time", f"budget.time is used up: {elapsed_s:.0f} of {self.time_s:.0f} s"
        hours = (self.gpu_s + ahead * sum(self._held.values())) / 3600
        if self.gpu_hours is not None and hours >= self.gpu_hours:
            return "gpu_hours", f"budget.gpu_hours is used up: {hours:.3g} of {self.gpu_hours:g}"
        return None

    def extend(self, trials: int | None, time_s: float | None, gpu_hours: float | None, *, base: int) -> None:
        """A person grants more.

        Args:
            trials: so many more than `base`.
            time_s: so many more seconds.
            gpu_hours: so many more.
            base: the number of trials that an extension is counted from.
        """
        if trials is not None:
            self.trials = base + trials
        # A limit that was overrun is extended from where the study stands.
        if time_s is not None and self.time_s is not None:
            self.time_s = max(self.time_s, self.elapsed_s) + time_s
        if gpu_hours is not None and self.gpu_hours is not None:
            self.gpu_hours = max(self.gpu_hours, self.gpu_s / 3600) + gpu_hours
