"""What nvidia-smi says, and what its silence means."""

import subprocess

import pytest

from sweep.doctor import gpus

TWO = "0, NVIDIA H200, 143771, 0, 580.82.07, Disabled\n1, NVIDIA H200, 143771, 100000, 580.82.07, Enabled\n"


@pytest.fixture
def smi(monkeypatch):
    """Says what nvidia-smi does, and how many GPUs the kernel's driver lists."""

    def set_up(answer, present=0):
        def run(*_, **__):
            if isinstance(answer, BaseException):
                raise answer
            return subprocess.CompletedProcess([], 0, answer, "")

        monkeypatch.setattr(gpus.subprocess, "run", run)
        monkeypatch.setattr(gpus, "visible_gpus", lambda: present)
        return list(gpus.gpus())

    return set_up


def test_each_gpu_has_a_line_and_the_driver_one(smi):
    found = {finding.name: finding for finding in smi(TWO, 2)}
    assert found["driver"].value == "580.82.07"
    assert (found["GPU 0"].verdict, found["GPU 0"].value) == ("ok", "NVIDIA H200, 140.4 GiB")
    assert found["GPU 1"].verdict == "warn"
    assert "MIG" in found["GPU 1"].value
    assert "MPS" in found


def test_a_gpu_that_others_use_is_a_warning():
    (gpu,) = gpus.rows("0, NVIDIA L4, 23034, 20000, 580.82.07, [N/A]")
    found = gpus.one(gpu)
    assert found.verdict == "warn"
    assert "nvidia-smi says which" in found.advice


def test_no_gpu_is_fine(smi):
    (found,) = smi(FileNotFoundError())
    assert (found.verdict, found.value) == ("ok", "none: trials run on the CPU")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (FileNotFoundError(), "--gpus all"),
        (
            subprocess.CalledProcessError(9, "nvidia-smi", "couldn't communicate with the driver", ""),
            "repair the driver",
        ),
        (subprocess.TimeoutExpired("nvidia-smi", 30), "hangs"),
    ],
)
def test_gpus_that_nvidia_smi_cannot_see_are_a_failure(smi, answer, words):
    (found,) = smi(answer, 4)
    assert found.verdict == "fail"
    assert words in found.advice
