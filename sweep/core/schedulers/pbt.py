"""Population based training: trials train together, and now and then a weak one goes on as a variant of a strong one.

Each `grace_period` steps a trial is compared with the others (Jaderberg et al. 2017, arXiv 1711.09846). One among the
worst 1/reduction_factor exploits: it takes the checkpoint and the config of one of as many best, drawn by the study's
seed. And it explores: the parameters that may change are moved or drawn anew (`sweep.core.schedulers.explore`). It
stays the same trial; who came from whom is in the events.

The population is `budget.trials`. It need not fit the machines at once: where others wait for a place, a trial pauses
at each comparison, and whoever is furthest behind goes on. So a population of eight on one worker is trained in rounds.

A trial is compared with what each other one had at the same step; of one that hasn't come so far its last counts. It
never goes back: one that is to take up another's work waits, where it must, until that one has come as far.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from sweep.core import spec
from sweep.core.objectives import Objectives, Score
from sweep.core.protocols import Decision
from sweep.core.ranking import Ranking
from sweep.core.schedulers.explore import neighbour
from sweep.core.schedulers.scheduler import Copy, Onward, Room, Scheduler
from sweep.core.seeds import derive
from sweep.core.space import Space
from sweep.core.trial import Trial, TrialState


class Pbt(Scheduler):
    """A population and what it has shown.

    Args:
        scheduler: of the file.
        metric: what is compared.
        trials: of the study, as they are.
        population: how many there will be.
        space: where variations are looked for.
        explored: the parameters that may change.
        seed: of the study.
    """

    def __init__(
        self,
        scheduler: spec.Scheduler,
        metric: Objectives,
        trials: Mapping[int, Trial],
        *,
        population: int,
        space: Space,
        explored: Sequence[str],
        seed: int,
    ) -> None:
        self._rules = scheduler
        self._metric = metric
        self._trials = trials
        self._population = population
        self._space = space
        self._explored = explored
        self._seed = seed
        # Of each trial by comparison: None where nothing could be ranked.
        self._shown: dict[int, dict[int, Score | None]] = {}
        self._why: dict[int, str] = {}

    def judged(self, trial: Trial) -> tuple[int, ...]:
        """At each comparison."""
        del trial
        every = self._rules.grace_period
        return tuple(range(every, self._rules.max_t, every))

    def saved(self, trial: Trial) -> tuple[int, ...]:
        """At each comparison."""
        return self.judged(trial)

    def report(self, trial: Trial, t: int, metrics: Mapping[str, float]) -> Decision:
        """At a comparison: pause it when others wait or it is to exploit, else let it go on."""
        every = self._rules.grace_period
        step = t // every * every
        shown = self._shown.setdefault(trial.number, {})
        if step == 0 or step <= max(shown, default=0):
            return Decision("advance", f"the next comparison is at {self._rules.time_attr} {step + every}")
        problem = self._metric.problem(metrics)
        shown[step] = None if problem else self._metric.score(metrics)
        waiting = self._waiting(step)
        if waiting and not problem:
            self._why[trial.number] = f"others wait for its place at {self._rules.time_attr} {step}"
            return Decision("pause", self._why[trial.number], step)
        standing, worst = self._standing(trial.number, step)
        if problem or worst:
            why = f"{problem} at {self._rules.time_attr} {step}" if problem else standing
            self._why[trial.number] = why
            return Decision("pause", f"{why}: it is to go on as a variant of a better one", step)
        return Decision("advance", standing, step)

    def onward(self, room: Room) -> Onward | None:
        """Who is furthest behind, once all trials are there: as it was, or as a variant of a better one."""
        if room.arriving:
            return None
        paused = [number for number, trial in self._trials.items() if trial.state is TrialState.PAUSED]
        for number in sorted(paused, key=lambda number: (max(self._shown[number]), number)):
            step = max(self._shown[number])
            standing, worst = self._standing(number, step)
            sources = self._sources(number, step) if worst else []
            ready = [source for source in sources if step <= source.checkpoint_t < self._rules.max_t]
            if ready:
                copy = self._variant(number, step, ready)
                reason = f"{standing}: goes on as a variant of trial {copy.source} at {copy.t}"
                return Onward(number, Decision("advance", reason, step), copy)
            if not room.idle and any(source.t < step for source in sources):
                continue
            if self._shown[number][step] is not None:
                return Onward(number, Decision("advance", f"{standing}: goes on", step))
            # Without a number it only goes on as a variant of another, and there is none.
        return None

    def copied(self, trial: Trial, source: Trial) -> None:
        """It has shown now what its source has."""
        self._shown[trial.number] = {
            step: score for step, score in self._shown[source.number].items() if step <= trial.checkpoint_t
        } or {0: None}
        self._why.pop(trial.number, None)

    def ended(self, trial: Trial) -> None:
        """A failed one leaves the population."""
        self._why.pop(trial.number, None)
        if trial.state is TrialState.FAILED:
            self._shown.pop(trial.number, None)

    def left(self, trial: Trial) -> str:
        """Why it paused at last."""
        return f"{self._why.get(trial.number, 'it was paused')}, and the study ended"

    def _waiting(self, step: int) -> bool:
        """Whether anyone who hasn't come to this comparison needs a place."""
        if len(self._trials) < self._population:
            return True
        return any(
            trial.state in (TrialState.WAITING, TrialState.PAUSED)
            and max(self._shown.get(number, {}), default=0) < step
            for number, trial in self._trials.items()
        )

    def _at(self, number: int, step: int) -> Score | None:
        """What a trial had at a comparison, or last before it."""
        shown = self._shown.get(number, {})
        known = [at for at in shown if at <= step and shown[at] is not None]
        return shown[max(known)] if known else None

    def _ranking(self, step: int) -> Ranking:
        ranking = Ranking()
        for number in self._shown:
            score = self._at(number, step)
            if score is not None:
                ranking.add(number, score)
        return ranking

    def _standing(self, number: int, step: int) -> tuple[str, bool]:
        """Where a trial stands at a comparison, in words, and whether that is among the worst."""
        where = f"{self._rules.time_attr} {step}"
        if self._shown[number][step] is None:
            return f"no number to compare at {where}", True
        ranking = self._ranking(step)
        seen = len(ranking)
        if seen < 2:  # noqa: PLR2004 - a pair
            return f"nobody to compare with at {where}", False
        places = max(1, seen // self._rules.reduction_factor)
        worst = number in ranking.best(seen)[-places:]
        verdict = "among" if worst else "not among"
        return f"{ranking.place(number)} of {seen} at {where}: {verdict} the worst {places}", worst

    def _sources(self, number: int, step: int) -> list[Trial]:
        """The best of the others that are still training: as many as there are worst."""
        order = self._ranking(step).best(len(self._shown))
        places = max(1, len(order) // self._rules.reduction_factor)
        # One that has come to its end has nothing left to train.
        others = [self._trials[other] for other in order if other != number and not self._trials[other].state.final]
        return others[:places]

    def _variant(self, number: int, step: int, sources: Sequence[Trial]) -> Copy:
        """One of the sources, its config varied."""
        generator = random.Random(derive(self._seed, "explore", number, step))  # noqa: S311
        source = generator.choice(sources)
        config = neighbour(self._space, source.config, self._explored, generator)
        return Copy(source.number, source.checkpoint_t, source.checkpoint or "", config)
