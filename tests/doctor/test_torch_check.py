"""What torch's answers mean; and the probes themselves, really run."""

import pytest

from sweep.doctor import probes, torch_check
from sweep.doctor.smoke import compared

GPU = {"name": "NVIDIA L4", "memory": 2**34, "sm": "89"}
STEP = {"device": "cuda:0", "precision": "bf16", "first": 0.3, "last": 0.1}
GOOD = {
    "torch": "2.14.1+cu130", "cuda": "13.0", "available": True, "warnings": [], "cudnn": 92400, "nccl": [2, 30, 7],
    "arch": ["sm_75", "sm_80", "sm_90a", "compute_90"], "gpus": [GPU], "amp": [STEP],
    "torchvision": {"version": "0.29.1"},
}  # fmt: skip


def meaning(present=1, **changes):
    return {finding.name: finding for finding in torch_check.meaning(GOOD | changes, present)}


def test_a_machine_with_cuda_names_its_libraries():
    found = meaning()
    assert {finding.verdict for finding in found.values()} == {"ok"}
    assert [found[name].value for name in ("CUDA", "cuDNN", "NCCL")] == ["13.0, 1 GPU", "9.24.0", "2.30.7"]


@pytest.mark.parametrize(("number", "version"), [(8902, "8.9.2"), (91002, "9.10.2"), (92400, "9.24.0")])
def test_cudnns_number_is_read_in_both_forms(number, version):
    assert meaning(cudnn=number)["cuDNN"].value == version


@pytest.mark.parametrize(
    ("changes", "present", "verdict", "words"),
    [
        ({"available": False, "cuda": None, "gpus": []}, 0, "ok", "not in this build"),
        ({"available": False, "gpus": []}, 0, "ok", "unused: no GPU"),
        ({"available": False, "cuda": None, "gpus": []}, 2, "fail", "built without CUDA"),
        ({"available": False, "gpus": [], "warnings": ["The driver is too old"]}, 2, "fail", "The driver is too old"),
    ],
)
def test_cuda_that_does_not_start_is_a_failure_only_where_there_are_gpus(changes, present, verdict, words):
    found = meaning(present, **changes)["CUDA"]
    assert found.verdict == verdict
    assert words in found.value


def test_torchvision_of_another_torch_is_a_failure():
    error = "RuntimeError: operator torchvision::nms does not exist"
    found = meaning(torchvision={"error": error})["torchvision"]
    assert (found.verdict, found.value) == ("fail", f"not of torch 2.14.1+cu130: {error}")


@pytest.mark.parametrize("name", ["cudnn", "nccl"])
def test_a_missing_library_is_a_failure(name):
    assert "fail" in {finding.verdict for finding in meaning(**{name: None}).values()}


def test_a_gpu_older_than_all_kernels_is_a_failure():
    assert meaning(gpus=[GPU | {"sm": "61"}])["kernels of GPU 0"].verdict == "fail"
    assert "kernels of GPU 0" not in meaning(gpus=[GPU | {"sm": "120"}])


@pytest.mark.parametrize("told", [{"last": 0.3}, {"last": float("nan")}, {"error": "RuntimeError: no kernel image"}])
def test_a_loss_that_does_not_go_down_is_a_failure(told):
    assert torch_check.amp(STEP | told).verdict == "fail"


def test_a_wrong_mean_is_a_failure(monkeypatch):
    told = {"backend": "nccl", "size": 4, "gradient": 2.0, "mean": 2.5}
    monkeypatch.setattr(probes, "all_reduce", lambda _: told)
    assert torch_check.all_reduce(4).verdict == "fail"
    monkeypatch.setattr(probes, "all_reduce", lambda _: told | {"gradient": 2.5})
    assert torch_check.all_reduce(4).verdict == "ok"


def test_torch_that_cannot_be_imported_is_one_failure(monkeypatch):
    def broken():
        raise probes.ProbeError("ended with code 1: ImportError: libcudart.so.13")

    monkeypatch.setattr(probes, "torch_facts", broken)
    (found,) = torch_check.torch()
    assert (found.verdict, found.name) == ("fail", "PyTorch")
    assert "libcudart" in found.value


@pytest.fixture
def probe(tmp_path, monkeypatch):
    """A probe with this source; returns its answer."""

    def run(source, count=1, timeout_s=30.0):
        (tmp_path / "a_probe.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return probes._finish([probes._Probe("a_probe", str(number)) for number in range(count)], timeout_s)

    return run


def test_the_last_line_of_a_probe_counts(probe):
    assert probe('print("noise"); print("{\\"torch\\": 1}")') == {"torch": 1}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('raise SystemExit("no torch")', "ended with code 1: no torch"),
        ("import os; os.kill(os.getpid(), 11)", "was ended by SIGSEGV"),
        ("", "expected a line of JSON, got 'it printed nothing'"),
    ],
)
def test_a_probe_that_fails_says_how(probe, source, words):
    with pytest.raises(probes.ProbeError, match=words):
        probe(source)


def test_a_probe_that_hangs_is_killed(probe):
    with pytest.raises(probes.ProbeError, match="no answer in 0 s"):
        probe("import time; time.sleep(600)", timeout_s=0.3)


def test_the_first_probe_that_fails_ends_the_others(probe):
    source = "import sys, time\nif sys.argv[1] == '1': sys.exit('rank 1 is ill')\ntime.sleep(600)"
    with pytest.raises(probes.ProbeError, match="rank 1 is ill"):
        probe(source, count=2, timeout_s=300.0)


@pytest.mark.slow
def test_torch_really_steps_and_averages_here():
    found = list(torch_check.torch())
    assert [finding for finding in found if finding.verdict != "ok"] == []
    assert {"PyTorch", "torchvision", "CUDA", "all-reduce"} <= {finding.name for finding in found}


def test_what_was_asked_for_is_compared_by_as_many_numbers():
    findings = list(torch_check.meaning(GOOD, 1))
    asked = {"torch": "2.14", "cuda": "13.0", "gpus": "0"}
    assert {finding.verdict for finding in compared(asked, findings)} == {"ok"}
    wrong = list(compared({"torch": "2.1", "gpus": "2", "ray": "2.60"}, findings))
    assert [finding.verdict for finding in wrong] == ["fail", "fail", "fail"]
    assert wrong[0].value == "got 2.14.1, asked for 2.1"
