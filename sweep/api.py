"""Studies from Python: `sweep.launch` runs one, `sweep.load` opens one, `Study` reads it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sweep.core.loading import load_plain
from sweep.core.space import Space
from sweep.core.spec import StudySpec
from sweep.core.trial import Trial
from sweep.store import holding, study_folder
from sweep.store.kept import Kept
from sweep.store.paths import StudyPaths, place
from sweep.store.spec_file import read_spec

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

    from sweep.controlling import Reply
    from sweep.core.events import Verb
    from sweep.driver import Watcher
    from sweep.store.study_folder import StoredStudy
    from sweep.watch.view import View


@dataclass(frozen=True)
class BestTrial:
    """The trial that a study would promote.

    Attributes:
        number: of the trial.
        config: as the training function got it, derived values among them.
        value: its best objective, the first of several.
        t: the fidelity where it had it.
        checkpoint: folder of the checkpoint written there, if it is still kept; out of a bucket it is brought here.
        metrics: all that it reported there.
    """

    number: int
    config: Mapping[str, Any]
    value: float
    t: int
    checkpoint: Path | None
    metrics: Mapping[str, float] = field(default_factory=dict)


class Study:
    """A study on the disk, as it is at this moment; what it returns is read anew each time."""

    def __init__(self, paths: StudyPaths) -> None:
        self._paths = paths

    @property
    def name(self) -> str:
        """The study's name."""
        return self._paths.root.name

    @property
    def path(self) -> Path:
        """The study's folder; of a study in a bucket the copy here."""
        return self._paths.root

    @property
    def spec(self) -> StudySpec:
        """The file that it was made from, defaults filled in."""
        return study_folder.read(self._paths).spec

    @property
    def status(self) -> dict[str, Any]:
        """What `sweep status --json` prints."""
        return dict(self._stands().data)

    def _stands(self) -> View:
        from sweep.watch.tables import status

        machine = study_folder.read(self._paths).machine
        return status(machine, self._paths, live=holding.is_at_work(self._paths), now=time.time())

    @property
    def best(self) -> BestTrial | None:
        """The trial with the best value; None while there is none."""
        found = self.front
        return found[0] if found else None

    @property
    def front(self) -> list[BestTrial]:
        """The trials that no other beats in every objective, by the first one; with one objective the best alone.

        Trials that break a bound of the file aren't among them.
        """
        machine = study_folder.read(self._paths).machine
        space = Space(machine.spec)
        found, kept = [], Kept(self._paths)
        for trial in machine.front():
            report = trial.best(machine.metric)
            if report is None:
                continue
            there = report.checkpoint is not None and kept.has(report.checkpoint)
            folder = kept.folder(report.checkpoint) if there and report.checkpoint else None
            config = space.for_training(trial.config_in(report.attempt))
            value = report.metrics[machine.metric.name]
            found.append(BestTrial(trial.number, config, value, report.t, folder, dict(report.metrics)))
        return found

    def figures(self) -> dict[str, Figure]:
        """What the report draws, as figures of Plotly by name: history, curves, importance, slices and so on."""
        from sweep.watch.notebook import plotly_figures
        from sweep.watch.report.facts import subject_of

        return plotly_figures(subject_of(study_folder.read(self._paths), live=holding.is_at_work(self._paths)))

    def _ipython_display_(self) -> None:
        """In a notebook: its state, and its most important figures."""
        from sweep.watch.notebook import show_study

        show_study(self.name, self._stands(), self.figures())

    def trials(self) -> pd.DataFrame:
        """One row a trial, by number: its state, its parameters, the metrics of its best report, seconds.

        Raises:
            ImportError: pandas isn't there.
        """
        import pandas as pd

        machine = study_folder.read(self._paths).machine
        rows = [_row(trial, machine.metric) for trial in machine.trials.values()]
        return pd.DataFrame(rows).set_index("trial") if rows else pd.DataFrame()

    def resume(self, *, executor: str = "ray", ray: Mapping[str, Any] | None = None) -> Study:
        """Go on where it was paused or interrupted; harmless when it is complete."""
        if holding.is_at_work(self._paths) and study_folder.read(self._paths).machine.paused:
            reply = self._ask("resume")
            if reply.live:
                return self
        return self._go_on(executor, ray)

    def stop(self, trial: int | None = None) -> str:
        """Create no new trials and let those at work go to their ends; one trial ends at its next report.

        Returns:
            The answer, in words, of whoever is at work on the study.

        Raises:
            StudyError: it can't be done, e.g. for the study has ended.
        """
        return self._ask("stop", trial=trial).answer

    def cancel(self, trial: int | None = None) -> str:
        """End the study, or one trial, now. See `stop` for what is returned and raised."""
        return self._ask("cancel", trial=trial).answer

    def pause(self) -> str:
        """Start nothing until `resume`; trials at work go to their ends. See `stop` for what is returned and raised."""
        return self._ask("pause").answer

    def retry(
        self,
        which: Literal["failed", "oom"] = "failed",
        *,
        executor: str = "ray",
        ray: Mapping[str, Any] | None = None,
    ) -> Study:
        """Give failed trials, or those that ran out of memory, a further attempt; goes on here if nobody is at work.

        Raises:
            StudyError: there are no such trials, or the budget is used up.
        """
        return self if self._ask("retry", which=which).live else self._go_on(executor, ray)

    def extend(
        self,
        *,
        trials: int | None = None,
        time_s: float | None = None,
        gpu_hours: float | None = None,
        cost: float | None = None,
        executor: str = "ray",
        ray: Mapping[str, Any] | None = None,
    ) -> Study:
        """Enlarge the budget by so many trials, seconds, GPU-hours or money; goes on here if nobody is at work.

        Raises:
            StudyError: what is given doesn't lift what ended the study.
        """
        reply = self._ask("extend", trials=trials, time_s=time_s, gpu_hours=gpu_hours, cost=cost)
        return self if reply.live else self._go_on(executor, ray)

    def _ask(self, verb: Verb, **arguments: Any) -> Reply:
        from sweep import controlling

        return controlling.granted(self._paths, verb, **arguments)

    def _go_on(self, executor: str, ray: Mapping[str, Any] | None) -> Study:
        from sweep import launching

        launching.resume(self._paths, options=launching.Options(executor=executor, ray=ray or {}, say=print))
        return self

    def __repr__(self) -> str:
        machine = study_folder.read(self._paths).machine
        best = machine.best
        value = best.value(machine.metric) if best else None
        shown = f", best {value:.6g} (trial {best.number})" if best and value is not None else ""
        return f"Study({self.name!r}, {self.status['state']}{shown})"


def _row(trial: Trial, metric: Any) -> dict[str, Any]:
    report = trial.best(metric)
    return {
        "trial": trial.number,
        "state": trial.state.value,
        # Of a parameter and a metric of one name, the parameter has the plain one.
        **{_metric_column(name, trial): value for name, value in (report.metrics if report else {}).items()},
        **trial.config,
        "attempts": len(trial.attempts),
        "repeat_of": trial.repeat_of,
        "seconds": trial.duration_s,
        "reason": trial.reason,
    }


def _metric_column(name: str, trial: Trial) -> str:
    return f"metric.{name}" if name in trial.config else name


def launch(
    spec: StudySpec | Mapping[str, Any] | str | Path,
    *,
    overrides: Sequence[str] = (),
    executor: str = "ray",
    ray: Mapping[str, Any] | None = None,
) -> Study:
    """Run a study to its end; one that was launched from the same file before goes on where it stopped.

    Args:
        spec: a search file's path, what such a file says as maps and lists, or a spec.
        overrides: "a.b=c" texts, as `--set` takes them; not for a spec.
        executor: "ray" (warm processes), "tune" (Ray Tune, a process a trial) or "inline" (in this process).
        ray: options of `ray.init`, e.g. {"address": "auto"}.

    Raises:
        InputError: the file, or what it needs, is wrong; nothing was started.
    """
    from sweep import launching

    loaded = read(spec, overrides)
    source = str(spec) if isinstance(spec, str | Path) else ""
    options = launching.Options(executor=executor, ray=ray or {}, say=print, watchers=_watchers)
    return Study(launching.launch(loaded, options=options, source=source).paths)


def _watchers(stored: StoredStudy) -> list[Watcher]:
    """A live view in the cell's output, where there is one."""
    from sweep.watch import notebook

    if not notebook.in_notebook():
        return []
    from sweep.core import plan

    made = plan.make(stored.spec, slots=1)
    return [notebook.NotebookView(made, stored.paths, show=notebook.cell_output())]


def read(spec: StudySpec | Mapping[str, Any] | str | Path, overrides: Sequence[str] = ()) -> StudySpec:
    """A spec from whatever describes it; see `launch`."""
    if isinstance(spec, StudySpec):
        return spec
    if isinstance(spec, Mapping):
        return load_plain(spec, overrides=overrides)
    return read_spec(spec, overrides)


def load(name: str, storage: str | Path = "studies") -> Study:
    """The study of this name, in whatever state it is.

    Args:
        name: of the study.
        storage: the folder that holds it, or one in a bucket: s3://BUCKET/studies.

    Raises:
        StudyError: there is none.
    """
    return Study(study_folder.find(place(storage), name))
