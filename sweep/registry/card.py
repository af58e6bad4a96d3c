"""The model card: a version told to a person, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sweep.core.groups import flattened
from sweep.registry.manifest import Manifest

_LOAD = """\
Run in this folder. Nothing is unpickled.

```python
from pathlib import Path

from sweep.registry import load_weights, resolve

version = resolve(Path("../.."), "{model}@v{version}")
state_dict = load_weights(version)  # for model.load_state_dict(state_dict)
```

Without sweep:

```python
from safetensors.torch import load_file

state_dict = load_file("model.safetensors")
```

`model.pth` holds the same tensors: `torch.load("model.pth", weights_only=True)`.
"""

_NO_WEIGHTS = """\
There is no weights file: {reason}.
"""


def card(manifest: Manifest, curve: Sequence[Mapping[str, float]], time_attr: str) -> str:
    """The text of `card.md`.

    Args:
        manifest: the version's facts; its `files` are not used.
        curve: the metrics of each report, in order.
        time_attr: the metric that counts fidelity.
    """
    parts = [
        _head(manifest),
        "## Parameters\n\n" + _table(("parameter", "value"), flattened(manifest.config)),
        "## Metrics\n\n" + _table(("metric", "value"), manifest.metrics),
        "## Learning curve\n\n" + _curve(manifest, curve, time_attr),
        "## Load it\n\n" + _loading(manifest),
        "## Data\n\n" + _described(manifest.data),
        "## Network\n\n" + _described(manifest.network),
        "## Where it came from\n\n" + _table(("fact", "value"), _lineage(manifest, time_attr)),
    ]
    return "\n".join(parts)


def _head(manifest: Manifest) -> str:
    day = datetime.fromtimestamp(manifest.created, UTC).strftime("%Y-%m-%d %H:%M UTC")
    metric = manifest.metric
    return (
        f"# {manifest.model} v{manifest.version}\n\n"
        f"**{metric.name} {_text(metric.value)}** ({metric.goal}), promoted {day} "
        f"from trial {manifest.lineage.trial} of study {manifest.lineage.study}.\n"
    )


def _loading(manifest: Manifest) -> str:
    if manifest.weights is None:
        text = _NO_WEIGHTS.format(reason=manifest.weights_missing)
    else:
        count = manifest.weights
        text = _LOAD.format(model=manifest.model, version=manifest.version) + (
            f"\n{count.parameters:,} parameters in {count.tensors} tensors ({', '.join(count.dtypes)}).\n"
        )
    return text + "`checkpoint/` is the complete checkpoint that training can go on from.\n"


def _curve(manifest: Manifest, curve: Sequence[Mapping[str, float]], time_attr: str) -> str:
    name, goal = manifest.metric.name, manifest.metric.goal
    points = [(point.get(time_attr, i), point[name]) for i, point in enumerate(curve, start=1) if name in point]
    finite = [(t, value) for t, value in points if math.isfinite(value)]
    if not finite:
        return f"{len(points)} reports of {name}, none of them finite.\n"
    best = (min if goal == "minimize" else max)(finite, key=lambda point: point[1])
    rows = {"first": points[0], "best": best, "last": points[-1]}
    table = {key: f"{_text(value)} at {time_attr} {_text(t)}" for key, (t, value) in rows.items()}
    return _table((name, "value"), table) + f"\n{len(points)} reports; all of them are in `curve.json`.\n"


def _lineage(manifest: Manifest, time_attr: str) -> dict[str, Any]:
    lineage, environment = manifest.lineage, manifest.environment
    packages = environment.get("packages") or {}
    return {
        "study": lineage.study,
        "trial": f"{lineage.trial}, attempt {lineage.attempt}, {time_attr} {lineage.t}",
        "seed": manifest.seed,
        "search file": f"`spec.yaml`, SHA-256 {lineage.spec_sha256}",
        "checkpoint": f"SHA-256 {lineage.checkpoint_sha256}",
        "code": _code(environment.get("git")),
        "image": environment.get("image"),
        "GPU": environment.get("gpu"),
        "Python": environment.get("python"),
        "packages": ", ".join(f"{name} {found}" for name, found in packages.items() if found),
    }


def _code(git: Mapping[str, Any] | None) -> str | None:
    if not git:
        return None
    parts = [f"commit {git['commit']}" if git.get("commit") else "no commit yet"]
    diff, dirty = git.get("diff_sha256"), git.get("dirty")
    # A version that doesn't say whether files were untracked says that something was there beside the diff.
    untracked = git.get("untracked", dirty and not diff)
    if diff:
        parts.append(f"changed since (diff SHA-256 {diff})")
    if untracked:
        parts.append("with untracked files")
    if dirty and not (diff or untracked):
        parts.append("changed since (the diff couldn't be read)")
    return ", ".join(parts)


def _table(head: tuple[str, str], rows: Mapping[str, Any]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(_text(value))} |" for name, value in rows.items()]
    return "\n".join(lines) + "\n"


def _described(description: Any) -> str:
    """What a checkpoint says of its data or network: a fact a row, those of maps inside under dotted names."""
    if not isinstance(description, Mapping):
        return f"{_text(description)}\n"
    return _table(("fact", "value"), dict(_flat(description)))


def _flat(description: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in description.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    if value is None or value == "":
        return "not recorded"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    # A pipe or a line end in a value would break the table.
    return " ".join(text.replace("|", "\\|").split())
