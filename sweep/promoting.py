"""From a study to the registry: which trial, whether it may, and the facts that go with it."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

from sweep.core import events as ev
from sweep.core.resolved import resolved_yaml
from sweep.core.seeds import derive
from sweep.core.space import Space
from sweep.core.spec import Promote
from sweep.core.trial import Report, Trial
from sweep.errors import CheckpointError, InputError, StudyError
from sweep.registry import Aliases, environment_facts, folder_of, if_better, meets_minimum
from sweep.registry import promote as promote_source
from sweep.registry.manifest import TakenUp
from sweep.registry.promotion import Source
from sweep.store.events import EventLog, encode
from sweep.store.kept import Kept
from sweep.store.paths import Place, place
from sweep.store.study_folder import StoredStudy

DEFAULT_REGISTRY = "registry"


@dataclass(frozen=True)
class Candidate:
    """A trial with a checkpoint that could become a version; `checkpoint` is its place in the study."""

    trial: Trial
    report: Report
    checkpoint: str


def registry_of(promote: Promote | None, base_dir: Path) -> Place:
    """The registry that a file names; else SWEEP_REGISTRY, or `registry` where the study was launched."""
    named = promote.registry if promote else None
    return place(named or os.environ.get("SWEEP_REGISTRY") or DEFAULT_REGISTRY, base_dir)


def candidates(stored: StoredStudy) -> list[Candidate]:
    """Trials whose best checkpoint within the bounds is on the disk, best first: of several objectives the front leads.

    Within a front the first objective orders them. A finalist whose repeats break a bound is none.
    """
    found, kept = [], Kept(stored.paths)
    for trial in stored.machine.ranked():
        candidate = _candidate(stored, trial, kept) if stored.machine.within(trial) else None
        if candidate is not None and not stored.machine.metric.broken(candidate.report.metrics):
            found.append(candidate)
    return found


def _candidate(stored: StoredStudy, trial: Trial, kept: Kept) -> Candidate | None:
    """The trial's best report among those whose checkpoint is still there."""
    metric = stored.machine.metric
    best: Candidate | None = None
    for report in trial.reports:
        if not report.checkpoint or metric.result(report.metrics) is None:
            continue
        if not _is_of(kept, report.checkpoint, metric.name, report.metrics[metric.name]):
            continue
        if best is None or metric.score(report.metrics) < metric.score(best.report.metrics):
            best = Candidate(trial, report, report.checkpoint)
    return best


def _is_of(kept: Kept, checkpoint: str, metric: str, value: float) -> bool:
    """Whether a complete checkpoint is the one of this value: a later attempt may have written it anew, and died."""
    if not math.isfinite(value):
        return False
    manifest = kept.manifest(checkpoint)
    if manifest is None:
        return False
    written = manifest.get("metrics", {}).get(metric, value)
    return bool(written == value)


def promote_study(stored: StoredStudy, log: EventLog) -> list[str]:
    """Do what the file's `promote:` section says; returns lines that tell what was done, and why."""
    promote = stored.spec.promote
    if promote is None:
        return []
    metric = stored.machine.metric
    lines: list[str] = []
    # From the least to the best, so that the best has the highest version and the alias.
    for rank, candidate in reversed(list(enumerate(candidates(stored)[: promote.top_k]))):
        value = candidate.report.metrics[metric.name]
        verdict = meets_minimum(metric.name, value, metric.goal, promote.min_metric)
        if not verdict.ok:
            lines.append(f"trial {candidate.trial.number} was not promoted: {verdict.reason}.")
            continue
        alias = promote.alias if rank == 0 else None
        lines.append(
            _promote(stored, log, candidate, model=promote.model, alias=alias, if_better_only=promote.if_better)
        )
    beyond = " within the bounds" if metric.bounds else ""
    return lines or [f"nothing was promoted: no trial has a checkpoint with a finite value{beyond}."]


def _promote(
    stored: StoredStudy,
    log: EventLog | None,
    candidate: Candidate,
    *,
    model: str,
    alias: str | None,
    if_better_only: bool,
    registry: Place | None = None,
) -> str:
    metric = stored.machine.metric
    registry = registry or registry_of(stored.spec.promote, stored.base_dir)
    value = candidate.report.metrics[metric.name]
    number = candidate.trial.number
    verdict = None
    if alias is not None and if_better_only and not _is_promoted(stored, registry, model, alias, candidate):
        verdict = if_better(registry, model, alias, value, goal=metric.goal, metric=metric.name)
        if not verdict.ok:
            return f"trial {number} was not promoted to {model}: {verdict.reason}."
    version = promote_source(registry, model, _source(stored, candidate), alias=alias)
    if log is not None:
        promoted = ev.Promoted(
            time=time.time(), trial=number, model=model, version=version.number, alias=alias, path=version.told
        )
        log.append(encode(promoted))
        log.sync()
    pointed = f", alias {alias}" if alias else ""
    why = f" ({verdict.reason})" if verdict else ""
    return f"trial {number} ({metric.name} {value:.6g}) is {model} v{version.number}{pointed}{why}: {version.told}"


def _is_promoted(stored: StoredStudy, registry: Place, model: str, alias: str, candidate: Candidate) -> bool:
    """Whether the alias points to this very checkpoint: an earlier, interrupted promotion got that far."""
    folder = folder_of(registry, model)
    name = Aliases(folder).current().get(alias)
    if name is None or not (folder.root / name).is_dir():
        return False
    lineage = folder.version(int(name[1:])).manifest.lineage
    return (lineage.study, lineage.trial, lineage.t) == (stored.spec.name, candidate.trial.number, candidate.report.t)


def _source(stored: StoredStudy, candidate: Candidate) -> Source:
    spec, trial, report = stored.spec, candidate.trial, candidate.report
    metric = stored.machine.metric
    base_dir = stored.base_dir
    return Source(
        study=spec.name,
        trial=trial.number,
        attempt=report.attempt,
        t=report.t,
        checkpoint=Kept(stored.paths).folder(candidate.checkpoint),
        metric=metric.name,
        goal=metric.goal,
        value=report.metrics[metric.name],
        metrics=report.metrics,
        config=Space(spec).for_training(trial.config_in(report.attempt)),
        seed=derive(spec.search.seed, "trial", trial.number),
        spec_sha256=stored.created.spec_sha256,
        spec_yaml=resolved_yaml(spec),
        curve=[each.metrics for each in trial.reports],
        environment=environment_facts(base_dir / (spec.environment.working_dir or ".")),
        time_attr=spec.scheduler.time_attr,
        taken_up=[
            TakenUp(source=each.source, t=each.t, before=each.before, after=each.after)
            for each in trial.lineage
            if each.attempt <= report.attempt
        ],
    )


def promote_trial(
    stored: StoredStudy, trial: int | None, *, model: str | None, alias: str | None, registry: Place | None
) -> str:
    """Promote one trial of a study by hand: the best if none is named; the alias moves whatever it pointed to.

    Raises:
        StudyError: there is no such trial, or none with a value.
        CheckpointError: it has no complete checkpoint.
        InputError: no model is named, here or in the file.
    """
    promote = stored.spec.promote
    model = model or (promote.model if promote else None)
    if model is None:
        raise InputError("promote: name the model, since the study's file doesn't: --model NAME.")
    candidate = _chosen(stored, trial)
    return _promote(stored, None, candidate, model=model, alias=alias, if_better_only=False, registry=registry)


def _chosen(stored: StoredStudy, number: int | None) -> Candidate:
    if number is None:
        found = candidates(stored)
        if not found:
            raise CheckpointError(f"no trial of {stored.spec.name} has a complete checkpoint. Nothing was promoted.")
        return found[0]
    trial = stored.machine.trials.get(number)
    if trial is None:
        raise StudyError(
            f"study {stored.spec.name} has no trial {number}; it has 0 to {len(stored.machine.trials) - 1}."
        )
    candidate = _candidate(stored, trial, Kept(stored.paths))
    if candidate is None:
        kept = ", ".join(str(each.trial.number) for each in candidates(stored)) or "none"
        raise CheckpointError(
            f"Trial {number} has no complete checkpoint; checkpoint.keep_best_in_study keeps those of the best trials "
            f"(here: {kept}). Nothing was promoted."
        )
    return candidate
