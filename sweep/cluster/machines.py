"""What clouds' machine types have, as far as their names tell: cores, and the GPUs of the usual families."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class Machine:
    """A machine type.

    Attributes:
        cpu: virtual cores; None where the name doesn't tell.
        gpu: GPUs in it; None where nobody knows.
        gpu_memory: bytes of one of them, as `nvidia-smi` counts.
        gpu_name: what they are called.
    """

    cpu: int | None = None
    gpu: int | None = None
    gpu_memory: int | None = None
    gpu_name: str = ""


# MiB of one, as nvidia-smi tells it.
_GPUS = {
    "T4": 15360, "L4": 23034, "A10G": 23028, "L40S": 46068, "P4": 7680, "P100": 16384, "V100": 16384, "K80": 11441,
    "A100 40GB": 40960, "A100 80GB": 81920, "H100": 81559, "H200": 143771, "B200": 183359,
}  # fmt: skip

# EC2: family to GPU, and how many a size has. Sizes that aren't named have one.
_EC2 = {
    "g4dn": ("T4", {"12xlarge": 4, "metal": 8}),
    "g5": ("A10G", {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8}),
    "g6": ("L4", {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8}),
    "gr6": ("L4", {}),
    "g6e": ("L40S", {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8}),
    "p2": ("K80", {"8xlarge": 8, "16xlarge": 16}),
    "p3": ("V100", {"8xlarge": 4, "16xlarge": 8}),
    "p4d": ("A100 40GB", {"24xlarge": 8}),
    "p4de": ("A100 80GB", {"24xlarge": 8}),
    "p5": ("H100", {"48xlarge": 8}),
    "p5e": ("H200", {"48xlarge": 8}),
    "p5en": ("H200", {"48xlarge": 8}),
    "p6-b200": ("B200", {"48xlarge": 8}),
}
# Families with other accelerators, or with GPUs of a kind that isn't in the table.
_EC2_OTHER = re.compile(r"(?:g[2-9]|gr\d|p[2-9]|inf|trn|dl|vt|f[12])")

_GCE = {"a2-highgpu": "A100 40GB", "a2-megagpu": "A100 40GB", "a2-ultragpu": "A100 80GB", "a3-highgpu": "H100",
        "a3-megagpu": "H100", "a3-ultragpu": "H200", "a4-highgpu": "B200"}  # fmt: skip
_G2 = {24: 2, 48: 4, 96: 8}
_ATTACHED = {"t4": "T4", "p4": "P4", "p100": "P100", "v100": "V100", "k80": "K80", "l4": "L4", "a100": "A100 40GB",
             "a100-80gb": "A100 80GB", "h100-80gb": "H100"}  # fmt: skip


def ec2(name: str) -> Machine:
    """An EC2 instance type: `g6.12xlarge`."""
    family, _, size = name.partition(".")
    match = re.fullmatch(r"(\d*)xlarge", size)
    cpu = 4 * int(match[1] or 1) if match else {"large": 2, "medium": 2}.get(size)
    if family in _EC2:
        gpu, counts = _EC2[family]
        return Machine(cpu, counts.get(size, 1), _GPUS[gpu] * MIB, gpu)
    return Machine(cpu, None if _EC2_OTHER.match(family) else 0)


def gce(name: str, attached: list[tuple[str, int]]) -> Machine:
    """A machine of Google's Compute Engine.

    Args:
        name: `g2-standard-8`, `n1-standard-4`, `a2-highgpu-1g`.
        attached: (type, count) of the accelerators it gets: ("nvidia-tesla-t4", 1).
    """
    name = name.rsplit("/", 1)[-1]
    custom = re.search(r"custom-(\d+)-\d+", name)
    sized = re.search(r"-(?:standard|highmem|highcpu|megamem|ultramem)-(\d+)", name)
    cpu = int((custom or sized)[1]) if custom or sized else None  # type: ignore[index]
    if whole := re.fullmatch(r"(a\d-[a-z]+)-(\d+)g", name):
        gpu = _GCE.get(whole[1], "")
        return Machine(cpu, int(whole[2]), _GPUS[gpu] * MIB if gpu else None, gpu)
    if name.startswith("g2-"):
        return Machine(cpu, _G2.get(cpu or 0, 1), _GPUS["L4"] * MIB, "L4")
    count = sum(number for _, number in attached)
    if not attached:
        return Machine(cpu, 0)
    kind = attached[0][0].rsplit("/", 1)[-1].removeprefix("nvidia-").removeprefix("tesla-").removesuffix("-vws")
    gpu = _ATTACHED.get(kind, "")
    return Machine(cpu, count, _GPUS[gpu] * MIB if gpu else None, gpu or kind)


INSTANCE_TYPE = "node.kubernetes.io/instance-type"


def of_labels(labels: Mapping[str, str]) -> Machine:
    """The machine that a pod asks for by the labels of Kubernetes nodes."""
    name = labels.get(INSTANCE_TYPE, "")
    if "." in name:
        return ec2(name)
    if accelerator := labels.get("cloud.google.com/gke-accelerator"):
        return gce(name, [(accelerator, 1)])
    return gce(name, []) if name else Machine()
