"""The files of a study's trials: written when something happened, removed when nobody will want them any more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from sweep.core.events import Outcome
from sweep.core.objectives import objectives, ranked
from sweep.core.spec import StudySpec
from sweep.core.trial import Trial, TrialState
from sweep.errors import StorageError
from sweep.store import attempt_log, checkpoints
from sweep.store.events import check_room, refused, write_params
from sweep.store.paths import StudyPaths, checkpoint_t


class Files(Protocol):
    """What a driver does with files; checkpoints are named by their place in the study's folder."""

    def folder(self, trial: int) -> str:
        """Where a trial's files are, absolute."""
        ...

    def place(self, checkpoint: str) -> str:
        """A checkpoint's place in the study, so that the study's folder can be moved."""
        ...

    def usable(self, checkpoint: str) -> str | None:
        """The checkpoint's absolute folder, if it is still there."""
        ...

    def copy(self, checkpoint: str, trial: int) -> str | None:
        """Copy another trial's checkpoint into this one's folder; its place, or None when it isn't there any more.

        Raises:
            StorageError: the disk refused.
        """
        ...

    def check_room(self) -> None:
        """See that files can still be written.

        Raises:
            StorageError: they can't.
        """
        ...

    def created(self, trial: int, config: Mapping[str, Any]) -> None:
        """Leave the trial's config where people and other tools find it."""
        ...

    def ended(self, trial: int, attempt: int, outcome: Outcome, error: str) -> None:
        """See that the attempt's log says how it ended.

        Raises:
            StorageError: the disk refused.
        """
        ...

    def tidy(self, trial: Trial) -> None:
        """Remove checkpoints of a trial for which there are better ones."""
        ...

    def take_stock(self, trials: Mapping[int, Trial]) -> None:
        """Tidy up what an earlier driver left."""
        ...


class TrialFiles:
    """See `Files`; on the disk.

    Kept checkpoints: of a running trial the last ones and its best; of ended ones the best of each of the study's best;
    of a failed one the last, since a person may want to see what it died of.
    """

    def __init__(self, paths: StudyPaths, spec: StudySpec) -> None:
        self._paths = paths
        self._spec = spec
        self._metric = objectives(spec)
        self._kept: list[Trial] = []
        # What the file says, and at least those that it promotes, or that repeats can make the best.
        promoted = spec.promote.top_k if spec.promote else 1
        finalists = spec.search.finalists if spec.search.repeats else 1
        self._most = max(spec.checkpoint.keep_best_in_study, promoted, finalists)

    def folder(self, trial: int) -> str:
        """See `Files`."""
        return str(self._paths.trial(trial).root)

    def place(self, checkpoint: str) -> str:
        """See `Files`."""
        return str(Path(checkpoint).relative_to(self._paths.root))

    def usable(self, checkpoint: str) -> str | None:
        """See `Files`."""
        folder = self._paths.root / checkpoint
        return str(folder) if checkpoints.is_complete(folder) else None

    def copy(self, checkpoint: str, trial: int) -> str | None:
        """See `Files`."""
        source = self._paths.root / checkpoint
        if not checkpoints.is_complete(source):
            return None
        target = self._paths.trial(trial).checkpoints / source.name
        try:
            checkpoints.copy(source, target)
        except OSError as error:
            raise StorageError(refused(self._paths.root, error)) from error
        return str(target.relative_to(self._paths.root))

    def check_room(self) -> None:
        """See `Files`."""
        check_room(self._paths.root)

    def created(self, trial: int, config: Mapping[str, Any]) -> None:
        """See `Files`."""
        write_params(self._paths.trial(trial).params, dict(config))

    def ended(self, trial: int, attempt: int, outcome: Outcome, error: str) -> None:
        """See `Files`."""
        try:
            attempt_log.ensure(self._paths.trial(trial).attempt_log(attempt), outcome, error)
        except OSError as refusal:
            raise StorageError(refused(self._paths.root, refusal)) from refusal

    def tidy(self, trial: Trial) -> None:
        """See `Files`."""
        if trial.state.final:
            self._settle(trial)
        else:
            self._thin_out(trial)

    def take_stock(self, trials: Mapping[int, Trial]) -> None:
        """See `Files`."""
        for trial in trials.values():
            checkpoints.remove_unfinished(self._paths.trial(trial.number).checkpoints)
            if trial.state.final:
                self._settle(trial)

    def _complete_ones(self, trial: int) -> list[Path]:
        """Folders of a trial's complete checkpoints."""
        return checkpoints.complete_ones(self._paths.trial(trial).checkpoints)

    def _remove(self, folder: Path) -> None:
        """Remove a checkpoint."""
        checkpoints.remove(folder)

    def _thin_out(self, trial: Trial) -> None:
        """Keep the last checkpoints of a trial that may go on, and its best."""
        written = [report.checkpoint for report in trial.reports if report.checkpoint]
        # One that was copied from another trial is in no report.
        written += [trial.checkpoint] if trial.checkpoint and trial.checkpoint not in written else []
        best = trial.best(self._metric, with_checkpoint=True)
        wanted = {*written[-self._spec.checkpoint.keep_last :], *([best.checkpoint] if best else [])}
        self._remove_except(trial, wanted, up_to=trial.t)

    def _settle(self, trial: Trial) -> None:
        """Keep the best checkpoint of each of the study's best trials; the others have no further use."""
        checkpoints.remove_unfinished(self._paths.trial(trial.number).checkpoints)
        if trial.state is TrialState.FAILED:
            return
        if trial.value(self._metric) is None or trial.repeat_of is not None:
            # A repeat tells what its finalist is worth; the model that is promoted is the finalist's.
            self._remove_except(trial, set())
            return
        candidates = [*self._kept, trial] if trial not in self._kept else self._kept
        best_first = ranked(candidates, self._metric)
        self._kept = best_first[: self._most]
        for dropped in best_first[self._most :]:
            self._remove_except(dropped, set())
        if trial in self._kept:
            best = trial.best(self._metric, with_checkpoint=True)
            self._remove_except(trial, {best.checkpoint} if best else set())

    def _remove_except(self, trial: Trial, wanted: set[str | None], up_to: float = math.inf) -> None:
        """Remove checkpoints; a later one than `up_to` may be of a report that is still on its way."""
        keep = {self._paths.root / checkpoint for checkpoint in wanted if checkpoint}
        for folder in self._complete_ones(trial.number):
            if folder not in keep and checkpoint_t(folder) <= up_to:
                self._remove(folder)
