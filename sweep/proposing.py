"""The sampler's side of a driver: who is asked for configs, and who is told what became of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sweep.core import commands as core
from sweep.core import events as ev
from sweep.core.protocols import Advisor, Sampler
from sweep.core.space import NoConfigError, Space
from sweep.core.study import StudyMachine
from sweep.samplers.teaching import Learner
from sweep.store.trial_files import Files

Learners = Callable[[StudyMachine], tuple[Sampler, list[Learner]]]
"""Makes a sampler, and those who are told the same, and tells them what is known of the study."""


class Proposer:
    """Asks the sampler for the study; each answer is an event, and the files of a trial that it makes are there then.

    Args:
        study: as it is.
        files: of its trials.
        clock: seconds since 1970.
        sampler: has been told of the trials there are.
        recorders: are told what the sampler is told.
        learners: makes both anew, for trials whose end they were told and that are opened again.
    """

    def __init__(
        self,
        study: StudyMachine,
        *,
        files: Files,
        clock: Callable[[], float],
        sampler: Sampler,
        recorders: list[Learner],
        learners: Learners | None,
    ) -> None:
        self._study = study
        self._files = files
        self._clock = clock
        self._sampler = sampler
        self._recorders = recorders
        self._learners = learners
        self._space = Space(study.spec)

    def ask(self, trial: int) -> ev.AnyEvent:
        """A config for the trial of this number."""
        try:
            config = self._sampler.ask(trial)
        except NoConfigError as error:
            return ev.SpaceExhausted(time=self._clock(), reason=str(error))
        if config is None:
            return ev.SpaceExhausted(time=self._clock())
        return self._created(trial, config)

    def advise(self, trial: int | None) -> ev.AnyEvent:
        """What a free place is used for; see `sweep.core.protocols.Advisor`."""
        if not isinstance(self._sampler, Advisor):
            raise TypeError(f"{type(self._sampler).__name__} can't say which paused trial goes on")
        try:
            advice = self._sampler.advise(trial)
        except NoConfigError as error:
            return ev.SpaceExhausted(time=self._clock(), reason=str(error))
        if advice is None:
            return ev.NoneWentOn(time=self._clock())
        if advice.trial is not None:
            return ev.WentOn(time=self._clock(), trial=advice.trial, until=advice.until, reason=advice.reason)
        if trial is None or advice.config is None:
            raise AssertionError(f"{advice} for no new trial")
        return self._created(trial, advice.config, advice.until)

    def repeat(self, trial: int, finalist: int) -> ev.AnyEvent:
        """A finalist's config once more, of which nobody here is told."""
        config = self._study.trials[finalist].config
        self._files.created(trial, self._space.for_training(config))
        return ev.TrialCreated(time=self._clock(), trial=trial, config=config, repeat_of=finalist)

    def teach(self, command: core.ReportToSampler | core.PauseInSampler | core.TellSampler) -> None:
        """Tell the sampler, and the recorders, what became of a trial."""
        for learner in (self._sampler, *self._recorders):
            match command:
                case core.ReportToSampler():
                    learner.report(command.trial, command.t, command.result)
                case core.PauseInSampler():
                    learner.pause(command.trial, paused=command.paused)
                case core.TellSampler():
                    learner.tell(command.trial, command.state, command.result)

    def relearn(self) -> None:
        """Have all of them made anew."""
        if self._learners is None:
            raise AssertionError("a driver without learners can't open trials again")
        self._sampler, self._recorders = self._learners(self._study)

    def _created(self, trial: int, config: dict[str, Any], until: int | None = None) -> ev.TrialCreated:
        self._files.created(trial, self._space.for_training(config))
        for recorder in self._recorders:
            recorder.add(trial, config)
        return ev.TrialCreated(time=self._clock(), trial=trial, config=config, until=until)
