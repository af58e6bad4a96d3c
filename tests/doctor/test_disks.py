"""A folder is fine when what a study does all the time works there."""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import Timeout

from sweep.doctor import disks
from sweep.store.buckets import Bucket
from sweep.store.paths import DATA_CACHE, place


class Usage(NamedTuple):
    total: int
    used: int
    free: int


OK = disks.Trial(sync_s=0.002, skew_s=0.0)


@pytest.fixture
def on_ext4(monkeypatch):
    """A machine whose disk is large and quick, whatever the real one is."""
    monkeypatch.setattr(disks, "file_system", lambda _: "ext4")
    monkeypatch.setattr(disks, "attempt", lambda _: OK)
    monkeypatch.setattr(disks, "free", lambda _: 100.0)
    return monkeypatch


def test_a_folder_that_is_not_there_yet_is_tried_where_it_will_be(tmp_path):
    found = disks.lasting("storage", tmp_path / "new" / "studies")
    assert found.verdict in ("ok", "warn")  # the machine's own disk may be small or slow
    assert "not made yet" in found.value
    assert list(tmp_path.iterdir()) == []


def test_a_trial_writes_syncs_and_locks_and_leaves_nothing(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(str(Path(f"/proc/self/fd/{handle}").readlink())))
    trial = disks.attempt(tmp_path)
    assert len(synced) == 2
    assert synced[0].endswith("beside")
    assert trial.sync_s >= 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_fails_with_the_user_to_whom_it_must_belong(on_ext4, tmp_path):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    on_ext4.setattr(disks, "attempt", refuse)
    found = disks.lasting("storage", tmp_path)
    assert found.verdict == "fail"
    assert "Permission denied" in found.value
    assert f"User {os.getuid()}" in found.advice


def test_a_folder_without_locks_fails(on_ext4, tmp_path):
    def hang(_):
        raise Timeout("lock")

    on_ext4.setattr(disks, "attempt", hang)
    assert "two drivers" in disks.lasting("storage", tmp_path).advice


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("attempt", disks.Trial(0.002, 90.0), "clock differs"),
        ("attempt", disks.Trial(0.002, -90.0), "clock differs"),
        ("attempt", disks.Trial(0.8, 0.0), "Each event waits"),
        ("free", 2.0, "Make room"),
        ("file_system", "tmpfs", "in memory"),
        ("file_system", "overlay", "goes with the container"),
    ],
)
def test_each_weakness_of_a_disk_is_a_warning_of_its_own(on_ext4, tmp_path, name, value, words):
    assert disks.lasting("registry", tmp_path).verdict == "ok"
    on_ext4.setattr(disks, name, lambda _: value)
    found = disks.lasting("registry", tmp_path)
    assert found.verdict == "warn"
    assert words in found.advice


def test_the_nearest_mount_says_what_kind_of_disk_it_is(tmp_path):
    inner = tmp_path / "a b" / "shared"
    inner.mkdir(parents=True)
    place = str(tmp_path / "a b").replace(" ", "\\040")
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/x {place} nfs4 rw 0 0\ntmpfs /elsewhere tmpfs rw 0 0\n")
    assert disks.file_system(inner, mounts) == "nfs4"
    assert disks.file_system(Path("/usr"), mounts) == "ext4"
    assert disks.file_system(inner, tmp_path / "none") == "?"


def test_the_cache_is_never_a_failure(monkeypatch, tmp_path):
    monkeypatch.setenv(DATA_CACHE, "")
    assert disks.cache().verdict == "warn"
    monkeypatch.setenv(DATA_CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 0, 2**40))
    assert disks.cache().verdict == "ok"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 0, 2**30))
    assert "larger disk" in disks.cache().advice
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(DATA_CACHE, str(tmp_path / "file"))
    assert disks.cache().verdict == "warn"


def test_a_place_in_a_bucket_is_tried_and_left_as_it_was(bucket):
    storage = place(f"{bucket}/studies")
    found = disks.in_bucket("storage", storage)
    assert (found.name, found.verdict) == ("storage", "ok")
    assert found.value.startswith(f"{storage.url}, a request takes ")
    assert Bucket(bucket).entries() == []


def test_a_bucket_that_is_not_there_is_a_failure(bucket):
    found = disks.in_bucket("registry", place("s3://sweep-none/models"))
    assert found.verdict == "fail"
    assert "s3://sweep-none/models: there is no such bucket" in found.value


def test_a_store_that_makes_objects_twice_is_a_failure(bucket, monkeypatch):
    monkeypatch.setattr(Bucket, "create", lambda self, key, data: True)
    found = disks.in_bucket("storage", place(bucket))
    assert found.verdict == "fail"
    assert "it passes over If-None-Match" in found.advice
