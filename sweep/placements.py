"""What an attempt is told: all that its process needs, made of the study, its file and where it lies."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from sweep.core.command_line import split
from sweep.core.commands import StartAttempt
from sweep.core.protocols import Placement
from sweep.core.seeds import derive
from sweep.core.space import Space, varying
from sweep.core.spec import StudySpec
from sweep.core.study import StudyMachine
from sweep.store.trial_files import Files


class Placements:
    """Makes the placements of a study.

    Args:
        study: as it is.
        files: of its trials.
        entrypoint: checked, absolute where it names a file; "" for a command.
        working_dir: put first on the training process's sys.path.
        profiled: numbers of the trials whose training is traced.
    """

    def __init__(
        self, study: StudyMachine, *, files: Files, entrypoint: str, working_dir: Path, profiled: Collection[int]
    ) -> None:
        self._study = study
        self._files = files
        self._entrypoint = entrypoint
        self._working_dir = working_dir
        self._profiled = frozenset(profiled)
        self._space = Space(study.spec)

    def of(self, command: StartAttempt) -> Placement:
        """The placement that is to start."""
        spec = self._study.spec
        trial = self._study.trials[command.trial]
        return Placement(
            study=spec.name,
            trial=trial.number,
            attempt=command.attempt,
            config=self._space.for_training(trial.config),
            entrypoint=self._entrypoint,
            seed=derive(spec.search.seed, "trial", trial.number),
            time_attr=spec.scheduler.time_attr,
            max_t=spec.scheduler.max_t,
            trial_dir=self._files.folder(trial.number),
            # Without its checkpoint a trial starts afresh.
            checkpoint=self._files.usable(command.checkpoint) if command.checkpoint else None,
            checkpoint_every=spec.checkpoint.every,
            gpu=command.demand.gpu,
            cpu=command.demand.cpu,
            env=spec.environment.env,
            working_dir=str(self._working_dir),
            label=label(spec, trial.config),
            judged=self._study.judged(trial.number),
            saved=self._study.saved(trial.number),
            batch_split=command.batch_split,
            profile=trial.number in self._profiled,
            command=tuple(split(spec.command)) if spec.command else (),
            metrics=tuple(metric.name for metric in spec.metrics),
            objectives=tuple(metric.name for metric in spec.metrics if metric.goal is not None),
        )


def label(spec: StudySpec, config: Mapping[str, Any]) -> str:
    """The parameters that vary, in a line for people."""
    shown = {name: config[name] for name in varying(spec) if name in config}
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in shown.items()
    )
