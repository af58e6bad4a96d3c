"""What a machine has: read from stand-ins for NVIDIA's tool and for its MPS daemon."""

import pytest

from sweep.machine import mps_runs, mps_settings, smallest_gpu, this_machine


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Puts a tool on the path that writes what it is given."""

    def write(text, status=0):
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return write


def test_smallest_gpu_decides(smi):
    smi("81559\n24564\n81559")
    assert smallest_gpu() == 24564 * 2**20


@pytest.mark.parametrize(("text", "status"), [("No devices were found", 0), ("", 0), ("16384", 9)])
def test_tool_that_tells_nothing_is_no_error(smi, text, status):
    smi(text, status)
    assert smallest_gpu() is None


def test_machine_without_the_tool_tells_no_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert smallest_gpu() is None
    assert this_machine(memory=True).cpu >= 1


@pytest.mark.parametrize(("share", "percentage"), [(0.25, "25"), (0.3333, "33"), (0.0625, "6"), (0.001, "1")])
def test_share_is_a_share_of_the_threads_where_mps_runs(tmp_path, monkeypatch, share, percentage):
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    assert mps_runs()
    assert mps_settings(share) == {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": percentage}


@pytest.mark.parametrize("gpus", [0, 1, 2])
def test_mps_limits_nobody_who_has_no_gpu_or_whole_ones(tmp_path, monkeypatch, gpus):
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    assert mps_settings(gpus) == {}


def test_without_its_folder_mps_does_not_run(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path / "none"))
    assert not mps_runs()
    assert mps_settings(0.25) == {}
