"""A checkpoint becomes an immutable, numbered version of a model."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from sweep.core.spec import Metric
from sweep.errors import CheckpointError, RegistryError, VerificationError
from sweep.registry.aliases import Aliases, check_alias_name
from sweep.registry.card import card
from sweep.registry.environment import environment_facts
from sweep.registry.layout import MANIFEST, ModelFolder, Version, check_model_name
from sweep.registry.manifest import FileFacts, Lineage, Manifest, Measured, TakenUp, Weights, curve_to_bytes
from sweep.registry.models import folder_of
from sweep.registry.opening import open_registry
from sweep.registry.staging import remove_dead, staging_folder
from sweep.registry.weights import NoWeightsError, extract_weights, write_weights
from sweep.store import checkpoints
from sweep.store.files import sha256_file, write_atomic
from sweep.store.paths import Place

Goal = Literal["minimize", "maximize"]

_READ_ONLY = 0o444


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is promoted: one checkpoint of one trial, and all that is known about it.

    Attributes:
        study: the study's name.
        trial: number of the trial.
        attempt: number of the attempt that wrote the checkpoint.
        t: the checkpoint's fidelity.
        checkpoint: its folder.
        metric: name of the objective.
        goal: what is better.
        value: the objective at `t`.
        metrics: all metrics at `t`.
        config: parameter name to value.
        seed: of the trial.
        spec_sha256: digest of the resolved search file.
        spec_yaml: its text.
        curve: the metrics of each report, in order.
        environment: from `environment_facts`, taken where the trial ran if that is possible.
        time_attr: the metric that counts fidelity.
        taken_up: other trials whose checkpoints it went on from, oldest first.
    """

    study: str
    trial: int
    attempt: int
    t: int
    checkpoint: Path
    metric: str
    goal: Goal
    value: float
    metrics: Mapping[str, float]
    config: Mapping[str, Any]
    seed: int
    spec_sha256: str
    spec_yaml: str
    curve: Sequence[Mapping[str, float]] = ()
    environment: Mapping[str, Any] = field(default_factory=environment_facts)
    time_attr: str = "epoch"
    taken_up: Sequence[TakenUp] = ()


class Verdict(NamedTuple):
    """Whether something may be promoted, and why."""

    ok: bool
    reason: str


def promote(registry: Place, model: str, source: Source, *, alias: str | None, by: str | None = None) -> Version:
    """Make a version of a checkpoint, and let an alias point to it.

    The same checkpoint of the same trial becomes a version once: a promotion that was killed can be repeated.
    Any number of processes may promote at once; versions are numbered from 1 without a gap.

    Args:
        registry: made if it isn't there.
        model: the model's name.
        source: what is promoted.
        alias: moved to the version; None moves none.
        by: who promotes, for the alias's history; None for the study and trial.

    Raises:
        CheckpointError: the checkpoint isn't complete, or its bytes changed.
        RegistryError: a name that can't be, or a folder that can't be written.
        VerificationError: `aliases.jsonl` is damaged.
    """
    check_model_name(model)
    if alias is not None:
        check_alias_name(alias)
    folder = folder_of(registry, model)
    promotion = _Promotion(folder, source, alias, _verified(folder, source, alias))
    if isinstance(registry, Path):
        open_registry(registry, create=True)
    try:
        folder.root.mkdir(exist_ok=True, parents=True)
        remove_dead(folder)
        version = promotion.existing() or promotion.publish()
    except OSError as error:
        raise RegistryError(
            f"{folder.told(folder.root)}: can't be written ({error.strerror or error}). {_unchanged(folder, alias)}"
        ) from error
    if alias is not None:
        Aliases(folder).point(alias, version.number, by or f"study {source.study}, trial {source.trial}")
    return version


def if_better(registry: Place, model: str, alias: str, value: float, *, goal: Goal, metric: str) -> Verdict:
    """Whether a value beats the version that an alias points to.

    NaN never does; a tie doesn't either. Where there is nothing to beat, any other value does.

    Raises:
        VerificationError: the alias's version, or `aliases.jsonl`, is damaged.
    """
    if math.isnan(value):
        return Verdict(ok=False, reason=f"{metric} is NaN, which is never better")
    folder = folder_of(registry, model)
    name = Aliases(folder).current().get(alias)
    if name is None:
        return Verdict(ok=True, reason=f"{model} has no {alias} yet")
    if not (folder.root / name).is_dir():
        return Verdict(ok=True, reason=f"{alias} was {name}, which doesn't exist any more")
    holder = folder.version(int(name[1:])).manifest.metric
    if (holder.name, holder.goal) != (metric, goal):
        reason = (
            f"{alias} {name} was chosen by {holder.name} ({holder.goal}), which can't be compared "
            f"with {metric} ({goal})"
        )
        return Verdict(ok=False, reason=reason)
    better = Metric(name=metric, goal=goal).better(value, holder.value)
    word = "better" if better else "not better"
    return Verdict(better, f"{metric} {value:.6g} is {word} than the {holder.value:.6g} of {alias} {name}")


def meets_minimum(metric: str, value: float, goal: Goal, minimum: float | None) -> Verdict:
    """Whether a value is at least as good as `promote.min_metric`; NaN isn't."""
    if minimum is None:
        return Verdict(ok=True, reason="no min_metric is set")
    ok = value <= minimum if goal == "minimize" else value >= minimum
    word, relation = ("reaches", "at most") if ok else ("misses", "at most")
    if goal == "maximize":
        relation = "at least"
    return Verdict(ok, f"{metric} {value:.6g} {word} promote.min_metric ({relation} {minimum:.6g})")


def _verified(folder: ModelFolder, source: Source, alias: str | None) -> dict[str, Any]:
    """The checkpoint's manifest, its bytes compared."""
    where = f"{source.time_attr} {source.t}"
    if not checkpoints.is_complete(source.checkpoint):
        what = f"{where} lacks {MANIFEST}" if source.checkpoint.is_dir() else f"{where} is gone"
        raise CheckpointError(
            f"Trial {source.trial} has no complete checkpoint ({what}). {_unchanged(folder, alias)}\n"
            f"  Looked in {source.checkpoint}"
        )
    try:
        return checkpoints.verify(source.checkpoint)
    except CheckpointError as error:
        raise CheckpointError(
            f"Trial {source.trial} has no complete checkpoint ({where} is damaged). {_unchanged(folder, alias)}\n"
            f"  {error}"
        ) from error


def _unchanged(folder: ModelFolder, alias: str | None) -> str:
    if alias is None:
        return "Nothing was promoted."
    holder = Aliases(folder).current().get(alias)
    after = f"{alias} is still {holder}" if holder else f"{folder.name} still has no {alias}"
    return f"Nothing was promoted; {after}."


def _digest(manifest: Mapping[str, Any]) -> str:
    """One digest for all files of a checkpoint; the facts beside them (a time, say) don't count."""
    digests = {name: facts["sha256"] for name, facts in manifest["files"].items()}
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def _identity(lineage: Lineage) -> tuple[str, int, int, str]:
    """What makes two promotions the same, whichever attempt is said to have written the checkpoint."""
    return lineage.study, lineage.trial, lineage.t, lineage.checkpoint_sha256


class _Promotion:
    """One checkpoint on its way into one model's folder."""

    def __init__(self, folder: ModelFolder, source: Source, alias: str | None, checkpoint: dict[str, Any]) -> None:
        self._folder = folder
        self._source = source
        self._alias = alias
        self._checkpoint = checkpoint
        self._lineage = Lineage(
            study=source.study,
            trial=source.trial,
            attempt=source.attempt,
            t=source.t,
            checkpoint_sha256=_digest(checkpoint),
            spec_sha256=source.spec_sha256,
            taken_up=list(source.taken_up),
        )

    def existing(self) -> Version | None:
        """The version that this checkpoint already is; one with a damaged manifest is none."""
        for version in reversed(self._folder.versions()):
            try:
                lineage = version.manifest.lineage
            except VerificationError:
                continue
            if _identity(lineage) == _identity(self._lineage):
                return version
        return None

    def publish(self) -> Version:
        """Write everything beside, then claim the next number."""
        with staging_folder(self._folder) as beside:
            staged = Version(self._folder.name, 0, beside)
            self._copy_checkpoint(staged)
            weights, missing = self._write_weights(staged)
            staged.curve.write_bytes(curve_to_bytes(list(self._source.curve)))
            staged.spec.write_text(self._source.spec_yaml, encoding="utf-8")
            draft = self._draft(weights, missing, _file_facts(beside))
            with self._folder.claiming():
                # Another process may have promoted the same checkpoint while we wrote.
                return self.existing() or self._claim(staged, draft)

    def _claim(self, staged: Version, draft: Manifest) -> Version:
        number = max([Aliases(self._folder).highest(), *self._folder.numbers()])
        while True:
            number += 1
            _finish(staged, draft.model_copy(update={"version": number}), self._source)
            # On a file system whose locks don't reach other machines, the rename alone decides who has a number.
            if self._folder.publish(staged.path, number):
                return self._folder.version(number)

    def _copy_checkpoint(self, staged: Version) -> None:
        for name in (*self._checkpoint["files"], MANIFEST):
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise CheckpointError(f"{self._source.checkpoint}: its manifest names {name}, outside of it.")
            target = staged.checkpoint / path
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(self._source.checkpoint / path, target)
            except FileNotFoundError as error:
                raise CheckpointError(
                    f"Trial {self._source.trial}: {name} of its checkpoint vanished while it was copied. "
                    f"{_unchanged(self._folder, self._alias)}"
                ) from error
        checkpoints.verify(staged.checkpoint)

    def _write_weights(self, staged: Version) -> tuple[Weights | None, str | None]:
        try:
            return write_weights(staged, extract_weights(staged.checkpoint)), None
        except NoWeightsError as error:
            return None, str(error)

    def _draft(self, weights: Weights | None, missing: str | None, files: dict[str, FileFacts]) -> Manifest:
        source = self._source
        return Manifest(
            model=self._folder.name,
            version=1,
            created=time.time(),
            metric=Measured(name=source.metric, goal=source.goal, value=source.value),
            metrics=dict(source.metrics),
            config=dict(source.config),
            seed=source.seed,
            lineage=self._lineage,
            environment=dict(source.environment),
            data=self._checkpoint.get("data"),
            network=self._checkpoint.get("model"),
            weights=weights,
            weights_missing=missing,
            files=files,
        )


def _finish(staged: Version, manifest: Manifest, source: Source) -> None:
    """Write the files that know the version's number, and make all of them read-only."""
    write_atomic(staged.card, card(manifest, source.curve, source.time_attr).encode())
    files = {**manifest.files, staged.card.name: _facts(staged.card)}
    write_atomic(staged.path / MANIFEST, manifest.model_copy(update={"files": files}).to_bytes())
    for path in staged.path.rglob("*"):
        if path.is_file():
            path.chmod(_READ_ONLY)


def _file_facts(folder: Path) -> dict[str, FileFacts]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _facts(path) for path in paths}


def _facts(path: Path) -> FileFacts:
    return FileFacts(sha256=sha256_file(path), bytes=path.stat().st_size)
