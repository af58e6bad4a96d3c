"""What torch says of itself and of CUDA, and a step in mixed precision: `python -m sweep.doctor.torch_probe`.

A process of its own, because a broken library may crash it or hang, and so that the command never imports torch.
Prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import torch

from sweep.training.precision import Precision


def facts() -> dict[str, Any]:
    """Versions, what CUDA can do here, and a step in mixed precision."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    known: dict[str, Any] = {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "available": available,
        # Why CUDA doesn't start; torch only warns.
        "warnings": [str(warning.message).splitlines()[0] for warning in warned],
        "cudnn": torch.backends.cudnn.version() if available else None,  # type: ignore[no-untyped-call]
        "nccl": list(torch.cuda.nccl.version()) if available else None,  # type: ignore[no-untyped-call]
        "arch": torch.cuda.get_arch_list() if available else [],
        "gpus": [_gpu(index) for index in range(torch.cuda.device_count())] if available else [],
    }
    known["torchvision"] = vision()
    devices = [f"cuda:{index}" for index in range(len(known["gpus"]))] or ["cpu"]
    return known | {"amp": [amp(device) for device in devices]}


def vision() -> dict[str, str]:
    """The version of torchvision; where its compiled part isn't of this torch, and so importing it fails, the error."""
    try:
        import torchvision

        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (ImportError, OSError, RuntimeError) as error:
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    return {"version": torchvision.__version__}


def amp(name: str) -> dict[str, Any]:
    """A step of a small model as a trial does it: autocast, backward, scaler, optimizer; the loss must go down."""
    device = torch.device(name)
    told: dict[str, Any] = {"device": name}
    try:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        precision = Precision("auto" if device.type == "cuda" else "bf16", device)
        told["precision"] = precision.name
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(64, 32, generator=generator).to(device)
        wanted = images.sum(1, keepdim=True) / 32
        torch.manual_seed(0)
        model = torch.nn.Linear(32, 1).to(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        losses = []
        for _ in range(10):
            with precision.autocast():
                loss = torch.nn.functional.mse_loss(model(images).float(), wanted)
            precision.step([loss], optimizer)
            losses.append(float(loss))
        return told | {"first": losses[0], "last": losses[-1]}
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is the finding
        return told | {"error": f"{type(error).__name__}: {error}".splitlines()[0]}


def _gpu(index: int) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(index)
    return {"name": properties.name, "memory": properties.total_memory, "sm": f"{properties.major}{properties.minor}"}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(facts()) + "\n")
