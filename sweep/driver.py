"""Turns the study's commands into deeds: the one place where the core, the store, the sampler and an executor meet."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from sweep.core import events as ev
from sweep.core import study as core
from sweep.core.protocols import Capacity, Decision, GpuMemory, Placement, Sampler
from sweep.core.seeds import derive
from sweep.core.space import varying
from sweep.core.spec import StudySpec
from sweep.core.trial import Trial, TrialState
from sweep.samplers.teaching import Learner
from sweep.store import attempt_log, checkpoints
from sweep.store.events import EventLog, check_room, encode, write_params
from sweep.store.paths import StudyPaths, checkpoint_t

Clock = Callable[[], float]


class Watcher(Protocol):
    """Someone who is told of everything that happens, after it is on the disk."""

    def event(self, study: core.StudyMachine, event: ev.AnyEvent) -> None:
        """`event` was taken in; `study` is the state after it."""
        ...

    def close(self) -> None:
        """The run is over."""
        ...


class Driver:
    """The study's side of the table; see `sweep.core.protocols.Director`.

    Every event goes to the log before anyone is told of it, and is on the disk before anyone acts on it.

    Args:
        study: its state, replayed or new.
        paths: its files.
        log: open for appending.
        sampler: has been told of the trials there are.
        entrypoint: checked, absolute where it names a file.
        working_dir: put first on the training process's sys.path.
        recorders: are told what the sampler is told.
        watchers: are told of every event.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        study: core.StudyMachine,
        *,
        paths: StudyPaths,
        log: EventLog,
        sampler: Sampler,
        recorders: list[Learner],
        watchers: list[Watcher],
        entrypoint: str,
        working_dir: Path,
        clock: Clock = time.time,
    ) -> None:
        self.study = study
        self._paths = paths
        self._log = log
        self._sampler = sampler
        self._recorders = recorders
        self._watchers = watchers
        self._entrypoint = entrypoint
        self._working_dir = working_dir
        self._clock = clock
        self._placements: deque[Placement] = deque()
        self._at_work: set[tuple[int, int]] = set()
        self._memory: dict[tuple[int, int], GpuMemory] = {}
        self._kept: list[Trial] = []
        self._batching = False
        self._untidy: dict[int, Trial] = {}
        self._stop_reason: str | None = None
        self._finished = False
        self._last_seen = 0.0

    # The run

    def begin(self, executor: str, capacity: Capacity) -> None:
        """Start, or go on."""
        self._sweep_up()
        self._handle(
            ev.RunStarted(
                time=self._clock(),
                executor=executor,
                slots=capacity.slots,
                gpu=capacity.gpu,
                cpu=capacity.cpu,
                nodes=list(capacity.nodes),
                notes=list(capacity.notes),
                dashboard=capacity.dashboard,
            )
        )

    def request_stop(self, reason: str) -> None:
        """Let running trials end at their next report; safe in a signal handler, for it only leaves a note."""
        self._stop_reason = reason

    def abandon(self, reason: str) -> None:
        """End the run as it stands; what was at work counts as lost when the study resumes."""
        if not self._finished:
            self._finished = True
            self._handle(ev.RunEnded(time=self._clock(), reason=reason, complete=False))

    # Director

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Wait for the disk once for all that is told inside; answers are acted on afterwards."""
        self._batching = True
        try:
            yield
        finally:
            self._batching = False
        self._commit()

    @property
    def finished(self) -> bool:
        """Nothing runs and nothing more will be placed."""
        return self._finished

    def next_placement(self) -> Placement | None:
        """The next attempt to start, or None when there is none at the moment."""
        self.tick()
        return self._placements.popleft() if self._placements else None

    def started(self, placement: Placement, *, node: str, device: str) -> None:
        """The placement's process has begun."""
        if self._finished:
            return
        self._at_work.add((placement.trial, placement.attempt))
        self._handle(
            ev.AttemptStarted(
                time=self._clock(),
                trial=placement.trial,
                attempt=placement.attempt,
                node=node,
                device=device,
                gpu=placement.gpu,
                batch_split=placement.batch_split,
            )
        )

    def reported(self, placement: Placement, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        """The training function reported; the answer is final."""
        self._look_for_stop()
        if (placement.trial, placement.attempt) not in self._at_work:
            return Decision("pause", "the study has ended")
        event = ev.Reported(
            time=self._clock(),
            trial=placement.trial,
            attempt=placement.attempt,
            metrics=dict(metrics),
            checkpoint=self._relative(checkpoint),
        )
        decision = self._handle(event)
        if decision is None:
            raise AssertionError(f"no answer to {event}")
        return decision

    def measured(self, placement: Placement, memory: GpuMemory) -> None:
        """The attempt took this much memory of its GPU."""
        self._memory[placement.trial, placement.attempt] = memory

    def ended(
        self, placement: Placement, outcome: ev.Outcome, error: str | None = None, cause: ev.Cause | None = None
    ) -> None:
        """The attempt is over."""
        key = (placement.trial, placement.attempt)
        memory = self._memory.pop(key, None)
        if key not in self._at_work:
            return
        if outcome == "failed":
            # Where nothing can be written the trial isn't to blame; it goes on when the study resumes.
            check_room(self._paths.root)
        self._at_work.discard(key)
        if error is not None:
            attempt_log.ensure(self._paths.trial(placement.trial).attempt_log(placement.attempt), outcome, error)
        self._handle(
            ev.AttemptEnded(
                time=self._clock(),
                trial=placement.trial,
                attempt=placement.attempt,
                outcome=outcome,
                error=error,
                cause=cause,
                peak_memory=memory.peak if memory else None,
                gpu_memory=memory.total if memory else None,
            )
        )

    def tick(self) -> None:
        """Time passed."""
        self._look_for_stop()
        limit = self.study.spec.budget.time_s
        run = self.study.run
        if limit is None or run is None or self.study.ending is not None:
            return
        now = self._clock()
        if self.study.elapsed_s + (now - self._last_seen) >= limit:
            self._handle(ev.Ticked(time=now))

    # Deeds

    def _look_for_stop(self) -> None:
        if self._stop_reason is not None and not self._finished:
            reason, self._stop_reason = self._stop_reason, None
            self._handle(ev.StopRequested(time=self._clock(), reason=reason))

    def _handle(self, event: ev.AnyEvent) -> Decision | None:
        """Take in an event and what follows from it: decide, write, act, tell. Returns the answer to a report."""
        answer: Decision | None = None
        events: deque[ev.AnyEvent] = deque([event])
        while events:
            event = events.popleft()
            # What can't be written isn't taken in either, or the state would be ahead of its log.
            line = encode(event)
            commands = self.study.handle(event)
            self._last_seen = event.time
            decided = [self._decided(event.time, each) for each in commands if isinstance(each, core.Answer)]
            for each in decided:
                self.study.handle(each)
            self._log.append(line, *map(encode, decided))
            for command in commands:
                if isinstance(command, core.Answer):
                    answer = command.decision
                else:
                    events.extend(self._do(command))
            for watcher in self._watchers:
                for seen in (event, *decided):
                    watcher.event(self.study, seen)
            if isinstance(event, ev.Reported | ev.AttemptEnded):
                self._untidy[event.trial] = self.study.trials[event.trial]
        if not self._batching:
            self._commit()
        return answer

    def _commit(self) -> None:
        """Wait for the disk; only then may checkpoints go for which there is a better one."""
        self._log.sync()
        for trial in self._untidy.values():
            if trial.state.final:
                self._settle(trial)
            else:
                self._thin_out(trial)
        self._untidy.clear()

    @staticmethod
    def _decided(now: float, answer: core.Answer) -> ev.Decided:
        decision = answer.decision
        return ev.Decided(
            time=now, trial=answer.trial, t=answer.t, action=decision.action, reason=decision.reason, rung=decision.rung
        )

    def _do(self, command: core.Command) -> list[ev.AnyEvent]:
        """Carry out a command; what follows from it is returned as events."""
        match command:
            case core.AskConfig():
                return [self._ask(command.trial)]
            case core.ChooseShare():
                now = self._clock()
                return [ev.ShareChosen(time=now, gpu=command.gpu, slots=command.slots, reason=command.reason)]
            case core.StartAttempt():
                self._placements.append(self._placement(command))
            case core.ReportToSampler():
                for learner in (self._sampler, *self._recorders):
                    learner.report(command.trial, command.t, command.value)
            case core.TellSampler():
                for learner in (self._sampler, *self._recorders):
                    learner.tell(command.trial, command.state, command.value)
            case core.EndRun():
                self._placements.clear()
                self._finished = True
                return [ev.RunEnded(time=self._clock(), reason=command.reason, complete=command.complete)]
            case core.Answer():
                pass
        return []

    def _ask(self, trial: int) -> ev.AnyEvent:
        config = self._sampler.ask(trial)
        if config is None:
            return ev.SpaceExhausted(time=self._clock())
        write_params(self._paths.trial(trial).params, config)
        for recorder in self._recorders:
            recorder.add(trial, config)
        return ev.TrialCreated(time=self._clock(), trial=trial, config=config)

    def _placement(self, command: core.StartAttempt) -> Placement:
        spec = self.study.spec
        trial = self.study.trials[command.trial]
        return Placement(
            study=spec.name,
            trial=trial.number,
            attempt=command.attempt,
            config=trial.config,
            entrypoint=self._entrypoint,
            seed=derive(spec.search.seed, "trial", trial.number),
            time_attr=spec.scheduler.time_attr,
            max_t=spec.scheduler.max_t,
            trial_dir=str(self._paths.trial(trial.number).root),
            checkpoint=self._usable(command.checkpoint),
            checkpoint_every=spec.checkpoint.every,
            gpu=command.demand.gpu,
            cpu=command.demand.cpu,
            env=spec.environment.env,
            working_dir=str(self._working_dir),
            label=label(self.study.spec, trial.config),
            judged=self.study.judged(trial.number),
            batch_split=command.batch_split,
        )

    def _relative(self, checkpoint: str | None) -> str | None:
        """A checkpoint's place in the study, so that the study's folder can be moved."""
        return None if checkpoint is None else str(Path(checkpoint).relative_to(self._paths.root))

    def _usable(self, checkpoint: str | None) -> str | None:
        """The checkpoint's absolute folder, if it is still there; without it the trial starts afresh."""
        if checkpoint is None or not checkpoints.is_complete(self._paths.root / checkpoint):
            return None
        return str(self._paths.root / checkpoint)

    # Checkpoints that nobody will want

    def _thin_out(self, trial: Trial) -> None:
        """Keep the last checkpoints of a trial at work, and its best."""
        kept = self.study.spec.checkpoint.keep_last
        written = [report.checkpoint for report in trial.reports if report.checkpoint]
        best = trial.best(self.study.metric, with_checkpoint=True)
        wanted = {*written[-kept:], *([best.checkpoint] if best else [])}
        self._remove_except(trial, wanted, up_to=trial.t)

    def _settle(self, trial: Trial) -> None:
        """Keep the best checkpoint of each of the study's best trials; the others have no further use.

        A failed trial keeps its last one: a person may want to see what it died of, or go on from there.
        """
        metric = self.study.metric
        if trial.state.final:
            checkpoints.remove_unfinished(self._paths.trial(trial.number).checkpoints)
        if not trial.state.final or trial.state is TrialState.FAILED:
            return
        if trial.value(metric) is None:
            self._remove_except(trial, set())
            return
        candidates = [*self._kept, trial] if trial not in self._kept else self._kept
        sign = 1 if metric.goal == "minimize" else -1
        ranked = sorted(candidates, key=lambda each: (sign * _known(each.value(metric)), each.number))
        limit = keep_best(self.study)
        self._kept = ranked[:limit]
        for dropped in ranked[limit:]:
            self._remove_except(dropped, set())
        if trial in self._kept:
            best = trial.best(metric, with_checkpoint=True)
            self._remove_except(trial, {best.checkpoint} if best else set())

    def _remove_except(self, trial: Trial, wanted: set[str | None], up_to: float = math.inf) -> None:
        """Remove checkpoints; a later one than `up_to` may be of a report that is still on its way."""
        keep = {self._paths.root / checkpoint for checkpoint in wanted if checkpoint}
        for folder in checkpoints.complete_ones(self._paths.trial(trial.number).checkpoints):
            if folder not in keep and checkpoint_t(folder) <= up_to:
                checkpoints.remove(folder)

    def _sweep_up(self) -> None:
        """Take stock of the checkpoints that an earlier driver left."""
        for trial in self.study.trials.values():
            checkpoints.remove_unfinished(self._paths.trial(trial.number).checkpoints)
            self._settle(trial)


def _known(value: float | None) -> float:
    """A value that was seen to be there."""
    if value is None:
        raise AssertionError("a trial without a value is never kept")
    return value


def label(spec: StudySpec, config: Mapping[str, Any]) -> str:
    """The parameters that vary, in a line for people."""
    shown = {name: config[name] for name in varying(spec) if name in config}
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in shown.items()
    )


def keep_best(study: core.StudyMachine) -> int:
    """How many of a study's best trials keep a checkpoint: what the file says, and at least those it promotes."""
    promote = study.spec.promote
    return max(study.spec.checkpoint.keep_best_in_study, promote.top_k if promote else 1)
