"""What a container image must be able to do: `images/smoke.py` prints it, and compares it with what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from sweep.core.findings import Examined, Finding
from sweep.doctor import gpus, machine, ray_check, torch_check
from sweep.doctor.examination import guarded

EXPECTED = ("python", "torch", "cuda", "ray", "gpus")
"""What can be asked for; versions by as many numbers as matter."""


def smoke(expected: Mapping[str, str], place: str = "this machine") -> Examined:
    """Driver, GPUs, CUDA, cuDNN, NCCL, AMP, all-reduce, Ray and Python; and whether they are those asked for.

    Args:
        expected: e.g. {"torch": "2.14.1", "python": "3.12", "gpus": "4"}; see `EXPECTED`.
        place: what to call the machine.

    Raises:
        ValueError: something is expected that isn't known.
    """
    if unknown := sorted(expected.keys() - set(EXPECTED)):
        raise ValueError(f"smoke: can't expect {', '.join(unknown)}; known are {', '.join(EXPECTED)}")
    parts: dict[str, Callable[[], Iterable[Finding]]] = {
        "Python": machine.python,
        "GPUs": gpus.gpus,
        "PyTorch": torch_check.torch,
        "Ray": lambda: [ray_check.version()],
    }
    findings = [finding for name, part in parts.items() for finding in guarded(name, part)]
    return Examined(place, (*findings, *compared(expected, findings)))


def compared(expected: Mapping[str, str], findings: list[Finding]) -> Iterator[Finding]:
    """One finding for each thing that was asked for."""
    told = {finding.name: finding.value for finding in findings}
    here = {
        "python": told.get("Python", "").split(",")[0],
        "torch": told.get("PyTorch", "").split("+")[0],
        "cuda": told.get("CUDA", "").split(",")[0],
        "ray": told.get("Ray", ""),
        "gpus": str(sum(finding.name.startswith("GPU ") for finding in findings)),
    }
    for name, wanted in expected.items():
        # A version is asked for by its first numbers; of GPUs more are as good.
        fine = int(here[name]) >= int(wanted) if name == "gpus" else f"{here[name]}.".startswith(f"{wanted}.")
        if fine:
            yield Finding(f"{name} as asked", "ok", here[name])
        else:
            advice = "Build the image anew, or ask for what it has."
            yield Finding(f"{name} as asked", "fail", f"got {here[name] or 'none'}, asked for {wanted}", advice)
