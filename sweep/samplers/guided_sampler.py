"""The sampler of a study in which it also says which paused trial goes on, and how far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sweep.core.drawing import draw_value
from sweep.core.guidance import guided
from sweep.core.objectives import Result
from sweep.core.protocols import Advice
from sweep.core.seeds import generator
from sweep.core.spec import StudySpec
from sweep.core.warm_start import Lesson
from sweep.samplers.curves.waiting import Continue
from sweep.samplers.optuna_sampler import OptunaSampler
from sweep.samplers.optuna_space import ours


class GuidedSampler(OptunaSampler):
    """See `sweep.core.protocols.Advisor`.

    Args:
        spec: of the study.
        lessons: trials of earlier studies.
    """

    def __init__(self, spec: StudySpec, lessons: Sequence[Lesson] = ()) -> None:
        super().__init__(spec, lessons)
        self._lessons = len(lessons)
        self._asked = 0
        # By Optuna's number: the rung that a trial was sent to, None where it is paused; and our number.
        self._until: dict[int, int | None] = {}
        self._numbers: dict[int, int] = {}

    def advise(self, trial: int | None) -> Advice | None:
        """What a free place is used for.

        Raises:
            NoConfigError: no config was found that meets the constraints.
        """
        given = {} if trial is None else self._given(trial)
        if trial is not None and given:
            return self._begun(trial, given, self._spec.scheduler.grace_period)
        sampler = self._algorithm.curves()
        # Of a new trial, or of one more than there are: each decision has a number of its own to draw by.
        number = self._asked if trial is None else trial
        found = sampler.decide(self._study, self._lessons + number, self._until, arriving=trial is not None)
        if found is None:
            return None
        if isinstance(found, Continue):
            self._until[found.trial] = found.until
            return Advice(None, self._numbers[found.trial], found.until, found.reason)
        params, until = found
        config = self._space.walk(lambda name: self._value(name, params))
        return self._begun(trial or 0, self._space.chosen(config), until)

    def add(self, trial: int, config: Mapping[str, Any]) -> None:
        """Take up a trial that was created earlier."""
        super().add(trial, config)
        self._asked = max(self._asked, trial + 1)
        self._numbers[self._number(trial)] = trial

    def pause(self, trial: int, *, paused: bool) -> None:
        """A trial waits for its turn; or goes on, or has yet to end its attempt before it can wait."""
        super().pause(trial, paused=paused)
        number = self._number(trial)
        if paused:
            self._until[number] = None
        elif self._until.get(number, 0) is None and trial in self._shown:
            # Nobody has sent it further than it is.
            self._until[number] = self._shown[trial][0]

    def tell(self, trial: int, state: Literal["complete", "stopped", "failed"], result: Result | None) -> None:
        """The trial's end."""
        self._until.pop(self._number(trial), None)
        super().tell(trial, state, result)

    def _begun(self, trial: int, given: Mapping[str, Any], until: int) -> Advice:
        config = self._propose(trial, given)
        if config is None:
            # With values given there is always one.
            raise AssertionError(f"nothing was proposed for {given}")
        self._asked = max(self._asked, trial + 1)
        number = self._number(trial)
        self._numbers[number], self._until[number] = trial, until
        return Advice(config, None, until, "")

    def _value(self, name: str, params: Mapping[str, Any]) -> Any:
        parameter = self._space.proposed[name]
        # What has one value isn't searched.
        return ours(parameter, params[name]) if name in params else draw_value(parameter, generator(0))


def make_sampler(spec: StudySpec, lessons: Sequence[Lesson] = ()) -> OptunaSampler:
    """The sampler that a search file asks for.

    Args:
        spec: the search file.
        lessons: trials of earlier studies.
    """
    return GuidedSampler(spec, lessons) if guided(spec) else OptunaSampler(spec, lessons)
