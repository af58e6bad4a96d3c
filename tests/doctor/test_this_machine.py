"""What is said of a machine follows from what the kernel says."""

import shutil
from typing import NamedTuple

import pytest

from sweep.doctor import machine


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def cgroup(tmp_path):
    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text + "\n")
        return tmp_path

    return write


def test_a_quota_of_half_a_core_is_half_a_core(cgroup):
    assert machine.cpu_limit(cgroup(cpu_DOT_max="50000 100000")) == 0.5


def test_the_older_kind_of_quota_is_read_too(cgroup):
    folder = cgroup(cpu__cpu_DOT_cfs_quota_us="25000", cpu__cpu_DOT_cfs_period_us="100000")
    assert machine.cpu_limit(folder) == 0.25


@pytest.mark.parametrize("text", ["max 100000", "-1 100000", ""])
def test_without_a_quota_the_affinity_counts(cgroup, text, monkeypatch):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {0, 3, 5})
    assert machine.cpu_limit(cgroup(cpu_DOT_max=text)) == 3


def test_the_containers_memory_is_its_limit(cgroup, tmp_path):
    assert machine.memory_limit(cgroup(memory_DOT_max=str(2**33))) == 2**33
    assert machine.memory_limit(cgroup(memory_DOT_max="max")) is None
    assert machine.memory_limit(tmp_path / "none") is None


def test_dockers_64_megabytes_of_shared_memory_are_a_warning(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(64 * 2**20, 0, 0))
    found = machine.shared_memory(tmp_path)
    assert (found.verdict, found.value) == ("warn", "64 MiB")
    assert "--shm-size" in found.advice


def test_few_open_files_are_a_warning():
    assert machine.open_files(1024).verdict == "warn"
    assert machine.open_files(65536).verdict == "ok"
    assert machine.open_files(-1).value == "no limit"


def test_a_clock_of_the_last_century_fails():
    assert machine.clock(0.0).verdict == "fail"
    assert machine.clock(1_800_000_000.0).value == "2027-01-15 08:00:00 UTC"


def test_the_image_is_named_where_there_is_one(monkeypatch):
    monkeypatch.setenv("SWEEP_IMAGE", "pytorch-cuda:v2.14-cv")
    assert ("image", "pytorch-cuda:v2.14-cv") in [(found.name, found.value) for found in machine.python()]
    monkeypatch.delenv("SWEEP_IMAGE")
    assert "image" not in [found.name for found in machine.python()]
