"""A Ray Tune function trainable as an attempt: what `tune.report` and `tune.get_checkpoint` find in this process.

Both, like `ray.train`'s, ask a module of Ray 2.60 for the one session of the process. For the length of an attempt that
is ours. `tune.report` looks at `ray.train._internal.session._session`, `train.report` at the utilities that
`set_train_fn_utils` takes; the latter refuses only where the former is a session of Tune's own, one without a rank.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from numbers import Number
from pathlib import Path
from typing import Any

from ray import tune
from ray.train._internal import session as tunes
from ray.train.v2._internal.execution import train_fn_utils as trains

from sweep.core.protocols import Placement
from sweep.errors import TrainingError
from sweep.store import checkpoints
from sweep.store.paths import TrialPaths
from sweep.training.context import Context
from sweep.training.foreign.steps import Steps
from sweep.training.foreign.values import number
from sweep.training.scripts.folder import FROM_ZERO


def run(function: Callable[..., Any], context: Context, placement: Placement) -> None:
    """Call it with its config. What it returns or yields is a report, as it is to Tune: a dict, or the metric alone."""
    with _session(context, placement) as session:
        made = function(context.config)
        for output in made if inspect.isgenerator(made) else (made,):
            session.returned(output)


@contextmanager
def _session(context: Context, placement: Placement) -> Iterator[Session]:
    """Be the session of this process, and leave it as it was."""
    session = Session(context, placement)
    before = tunes._session, trains._train_fn_utils  # noqa: SLF001 - Ray has no way to set the first
    tunes._session = session  # noqa: SLF001
    trains.set_train_fn_utils(_Utilities(session))
    try:
        yield session
    finally:
        tunes._session = before[0]  # noqa: SLF001
        trains.set_train_fn_utils(before[1])


class AbsentError(TrainingError, AttributeError):
    """The code asks for what only Ray Tune itself has; an AttributeError, so that `hasattr` can tell."""


class Session:
    """What Ray's functions ask, answered by a context.

    Attributes:
        world_rank: 0 and not None: with None `ray.train.report` would refuse to work.
    """

    world_rank, world_size, local_rank, local_world_size, node_rank = 0, 1, 0, 1, 0
    metadata = None

    def __init__(self, context: Context, placement: Placement) -> None:
        self._context = context
        self._placement = placement
        self._steps = Steps(context)
        self._restored: tune.Checkpoint | None = None
        self._told: set[str] = set()
        self.experiment_name = placement.study
        self.run_id = placement.study
        self.trial_id = f"{placement.trial:05d}"
        self.trial_name = f"{placement.study}_{self.trial_id}"

    def __getattr__(self, name: str) -> Any:
        raise AbsentError(
            f"{self._context.where()}: the training function asks Ray's session for {name}, which it has under Ray "
            "Tune only. What there is: report, get_checkpoint, and of get_context the names, ids and folder of a trial."
        )

    @property
    def trial_dir(self) -> str:
        """A folder of the trial for the function's own files; made when it is asked for."""
        folder = TrialPaths(Path(self._placement.trial_dir)).files
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    @property
    def trial_resources(self) -> tune.PlacementGroupFactory:
        """The attempt's share of the machine."""
        gpu = {"GPU": self._placement.gpu} if self._placement.gpu else {}
        return tune.PlacementGroupFactory([{"CPU": self._placement.cpu, **gpu}])

    @property
    def loaded_checkpoint(self) -> tune.Checkpoint | None:
        """What the attempt goes on from; restored when it is first asked for, as by `ctx.restore`."""
        folder = self._placement.checkpoint
        if self._restored is None and folder is not None:
            state = self._context.restore()
            if not isinstance(state, Path):
                raise TrainingError(
                    f"{self._context.where()}: {folder} isn't a folder that a Ray Tune function has saved. "
                    "Launch the study under another name when its function was another before."
                )
            self._steps.restored(from_zero=bool(checkpoints.manifest(Path(folder)).get(FROM_ZERO)))
            self._restored = tune.Checkpoint.from_directory(str(state))
        return self._restored

    def report(self, metrics: Mapping[str, Any], checkpoint: Any = None) -> None:
        """What `tune.report` calls: a report of the context's, which may end the attempt.

        Numbers in dicts are named as Tune does, `val/loss`; what is no number is left out, and said so once.
        """
        if not isinstance(metrics, Mapping):
            raise TrainingError(
                f'{self._context.where()}: tune.report got {metrics!r:.60}. Give a dict: {{"loss": x}}.'
            )
        values = dict(self._numbers(metrics))
        unit = self._context.time_attr
        if unit in values:
            values[unit] = self._steps.fidelity(values[unit])
        with ExitStack() as stack:

            def folder() -> Path:
                return Path(stack.enter_context(checkpoint.as_directory()))

            self._context.report(values, None if checkpoint is None else folder)

    def returned(self, output: Any) -> None:
        """Report what the function returned, when it is anything to Tune."""
        if isinstance(output, Mapping):
            if output:
                self.report(output)
        elif isinstance(output, Number) and not isinstance(output, bool) and self._placement.objectives:
            self.report({self._placement.objectives[0]: output})

    def _numbers(self, metrics: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
        for key, value in metrics.items():
            name = f"{prefix}{key}"
            if isinstance(value, Mapping):
                yield from self._numbers(value, f"{name}/")
            elif (found := number(value)) is not None:
                yield name, found
            elif name not in self._told:
                self._told.add(name)
                print(f"sweep: {name} is reported as {type(value).__name__}, no number, and is left out")  # noqa: T201


class _Utilities(trains.LocalTrainFnUtils):
    """What `ray.train.report` and `ray.train.get_checkpoint` ask."""

    def __init__(self, session: Session) -> None:
        super().__init__(experiment_name=session.experiment_name)
        self._session = session

    def report(self, metrics: Mapping[str, Any], checkpoint: Any = None, *_: Any, **__: Any) -> None:
        self._session.report(metrics, checkpoint)

    def get_checkpoint(self) -> Any:
        return self._session.loaded_checkpoint
