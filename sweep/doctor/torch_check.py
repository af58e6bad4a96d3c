"""What the torch probes' answers mean: torch, CUDA, cuDNN, NCCL, mixed precision, an all-reduce of processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sweep.core.findings import Finding
from sweep.doctor import probes
from sweep.machine import visible_gpus

_CPU_RANKS = 2


def torch() -> Iterator[Finding]:
    """All of it; where torch can't be imported, that alone."""
    try:
        facts = probes.torch_facts()
    except probes.ProbeError as error:
        yield Finding(
            "PyTorch", "fail", str(error), "Install it anew: pip install --force-reinstall torch torchvision."
        )
        return
    yield from meaning(facts, visible_gpus())
    yield all_reduce(len(facts["gpus"]) or _CPU_RANKS)


def meaning(facts: Mapping[str, Any], present: int) -> Iterator[Finding]:
    """Findings from what torch says of itself.

    Args:
        facts: from `sweep.doctor.torch_probe`.
        present: GPUs that the driver lists and CUDA_VISIBLE_DEVICES allows.
    """
    yield Finding("PyTorch", "ok", facts["torch"])
    yield vision(facts["torch"], facts["torchvision"])
    yield cuda(facts, present)
    if facts["available"]:
        yield _library("cuDNN", _cudnn(facts["cudnn"]))
        yield _library("NCCL", ".".join(map(str, facts["nccl"] or [])))
        yield from _kernels(facts)
    yield from (amp(told) for told in facts["amp"])


def cuda(facts: Mapping[str, Any], present: int) -> Finding:
    """Whether CUDA starts; if not, whether it should."""
    built = facts["cuda"]
    if facts["available"]:
        count = len(facts["gpus"])
        return Finding("CUDA", "ok", f"{built}, {count} {'GPU' if count == 1 else 'GPUs'}")
    if not present:
        return Finding("CUDA", "ok", f"{built}, unused: no GPU" if built else "not in this build of torch: no GPU")
    if not built:
        advice = "Install torch's build with CUDA, or use the image pytorch-cuda."
        return Finding("CUDA", "fail", f"{present} GPUs, but this torch is built without CUDA", advice)
    why = "; ".join(facts["warnings"]) or "CUDA doesn't start, and torch doesn't say why"
    advice = (
        f"Update the driver to one for CUDA {built} (nvidia-smi shows its newest), or take torch for an older CUDA."
    )
    return Finding("CUDA", "fail", f"{built}, {present} GPUs: {why}", advice)


def vision(torch_version: str, told: Mapping[str, str]) -> Finding:
    """Whether torchvision is of this torch; its models, and packages that use it, don't import else."""
    if "error" in told:
        advice = "Install the pair that belongs together: pip install --force-reinstall torch torchvision."
        return Finding("torchvision", "fail", f"not of torch {torch_version}: {told['error']}", advice)
    return Finding("torchvision", "ok", told["version"])


def amp(told: Mapping[str, Any]) -> Finding:
    """A few steps in mixed precision."""
    name = f"AMP on {told['device']}"
    if "error" in told:
        return Finding(name, "fail", told["error"], "Trials would fail so too. See CUDA and the driver above.")
    loss = f"{told['precision']}, loss {told['first']:.3f} to {told['last']:.3f} in 10 steps"
    if not told["last"] < told["first"]:
        return Finding(
            name, "fail", loss, "The arithmetic is wrong: don't train on this device; ask for its replacement."
        )
    return Finding(name, "ok", loss)


def all_reduce(size: int) -> Finding:
    """DDP's mean of a gradient over this many processes."""
    try:
        told = probes.all_reduce(size)
    except probes.ProbeError as error:
        advice = "Trials of several GPUs won't run. See what NCCL says: NCCL_DEBUG=INFO sweep doctor --debug."
        return Finding("all-reduce", "fail", f"{size} processes: {error}", advice)
    where = f"{told['backend']}, {told['size']} {'process' if told['size'] == 1 else 'processes'}"
    if abs(told["gradient"] - told["mean"]) > 1e-6:  # noqa: PLR2004 - small whole numbers and halves are exact
        wrong = f"{where}: mean {told['gradient']:g}, expected {told['mean']:g}"
        return Finding(
            "all-reduce", "fail", wrong, "GPUs exchange wrong numbers. Try NCCL_P2P_DISABLE=1; see IOMMU and ACS."
        )
    return Finding("all-reduce", "ok", f"{where}: DDP's mean is right")


def _library(name: str, version: str) -> Finding:
    if not version:
        return Finding(name, "fail", "torch doesn't find it", "Install torch anew; it brings its own.")
    return Finding(name, "ok", version)


def _cudnn(version: int | None) -> str:
    """91002 is 9.10.2; up to 8 it was 8902 for 8.9.2."""
    if not version:
        return ""
    major, rest = divmod(version, 10_000) if version >= 90_000 else divmod(version, 1_000)  # noqa: PLR2004
    return f"{major}.{rest // 100}.{rest % 100}"


def _kernels(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """GPUs older than all that this torch has kernels for; newer ones are served by what it can translate."""
    known = [int(name.rpartition("_")[2].rstrip("af")) for name in facts["arch"] if name.startswith("sm_")]
    for index, gpu in enumerate(facts["gpus"]):
        if known and int(gpu["sm"]) < min(known):
            told = f"{gpu['name']} has compute capability {gpu['sm']}, this torch begins at {min(known)}"
            yield Finding(f"kernels of GPU {index}", "fail", told, "Take an older torch for it, or hide it from CUDA.")
