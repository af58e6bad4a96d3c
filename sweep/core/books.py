"""The trials of a study and where they stand, kept so that an event costs the same with ten thousand of them."""

from __future__ import annotations

from sweep.core import events as ev
from sweep.core.trial import Attempt, IllegalTransitionError, Trial, TrialState


class Books:
    """Each trial, and beside its own state the lists that the study asks for all the time.

    Attributes:
        trials: by number, without gaps.
        waiting: those without an attempt at work that are to have one, in order of arrival.
        running: those with an attempt at work.
        resting: those that are paused at a rung.
        placed: numbers of waiting trials whose attempt is on its way.
        failed: how many have failed.
        worked: whether any trial has come to a pause, or to an end that is no failure.
        proposed: how many the sampler proposed; the others are repeats.
        draining: nodes that are about to go, and why.
    """

    def __init__(self) -> None:
        self.trials: dict[int, Trial] = {}
        self.waiting: dict[int, Trial] = {}
        self.running: dict[int, Trial] = {}
        self.resting: dict[int, Trial] = {}
        self.placed: set[int] = set()
        self.failed = self.proposed = 0
        self.worked = False
        self.draining: dict[str, str] = {}

    def add(self, trial: Trial) -> None:
        """A trial was created.

        Raises:
            IllegalTransitionError: its number isn't the next.
        """
        if trial.number != len(self.trials):
            raise IllegalTransitionError(f"trial {trial.number} was created, but the next number is {len(self.trials)}")
        self.trials[trial.number] = self.waiting[trial.number] = trial
        self.proposed += trial.repeat_of is None

    def get(self, number: int) -> Trial:
        """The trial of this number.

        Raises:
            IllegalTransitionError: there is none.
        """
        if number not in self.trials:
            raise IllegalTransitionError(f"no trial {number}; there are {len(self.trials)}")
        return self.trials[number]

    def move(self, trial: Trial, state: TrialState, reason: str = "") -> None:
        """Change a trial's state."""
        before = trial.state
        trial.move(state, reason)
        for where, book in (
            (TrialState.WAITING, self.waiting),
            (TrialState.RUNNING, self.running),
            (TrialState.PAUSED, self.resting),
        ):
            book.pop(trial.number, None)
            if state is where:
                book[trial.number] = trial
        if state is TrialState.PAUSED:
            trial.attempts[-1].paused = True
        self.failed += (state is TrialState.FAILED) - (before is TrialState.FAILED)
        self.worked |= state is TrialState.PAUSED or (state.final and state is not TrialState.FAILED)

    # Attempts

    def begin(self, event: ev.AttemptStarted) -> Trial:
        """An attempt of a trial is at work.

        Raises:
            IllegalTransitionError: it isn't its next one, or the trial doesn't wait.
        """
        trial = self.get(event.trial)
        if event.attempt != len(trial.attempts) + 1:
            raise IllegalTransitionError(f"trial {trial.number}: attempt {event.attempt} started. {trial.story()}")
        self.move(trial, TrialState.RUNNING)
        self.placed.discard(trial.number)
        trial.verdict = trial.dismissal
        trial.attempts.append(
            Attempt(event.attempt, event.time, event.node, event.device, event.gpu, event.batch_split)
        )
        return trial

    def changed(self, event: ev.NodeChanged) -> None:
        """A node joined, is about to go, or is gone."""
        self.draining.pop(event.node.name, None)
        if event.change == "draining":
            self.draining[event.node.name] = event.reason

    def at_work(self, event: ev.Reported) -> Trial:
        """The trial whose attempt has reported.

        Raises:
            IllegalTransitionError: that attempt isn't at work.
        """
        trial = self.get(event.trial)
        if trial.state is not TrialState.RUNNING or event.attempt != len(trial.attempts):
            raise IllegalTransitionError(f"trial {trial.number}: a report of attempt {event.attempt}. {trial.story()}")
        return trial

    def end(self, event: ev.AttemptEnded) -> Trial:
        """An attempt of a trial has ended; where the trial goes from there is told by `move`.

        Raises:
            IllegalTransitionError: that attempt isn't at work.
        """
        trial = self.get(event.trial)
        attempt = trial.attempt
        if attempt is None or event.attempt != attempt.number or attempt.outcome is not None:
            raise IllegalTransitionError(f"trial {trial.number}: attempt {event.attempt} ended. {trial.story()}")
        # The clock may have been put back meanwhile.
        attempt.ended, attempt.outcome = max(attempt.started, event.time), event.outcome
        attempt.error, attempt.cause = event.error, event.cause
        return trial

    def lost(self) -> list[ev.AttemptEnded]:
        """The ends of all attempts at work, of which their driver has left no word."""
        return [
            ev.AttemptEnded(
                # The latest report may be an earlier attempt's: then this one ends as it begins.
                time=trial.reports[-1].time if trial.reports else trial.attempts[-1].started,
                trial=trial.number,
                attempt=len(trial.attempts),
                outcome="lost",
                error="its driver ended without a word",
            )
            for trial in self.running.values()
        ]

    # What can be asked

    def counts(self) -> dict[TrialState, int]:
        """How many trials are in each state."""
        found = dict.fromkeys(TrialState, 0)
        for trial in self.trials.values():
            found[trial.state] += 1
        return found

    def unplaced(self) -> list[Trial]:
        """Waiting trials whose attempt isn't on its way."""
        return [trial for trial in self.waiting.values() if trial.number not in self.placed]
