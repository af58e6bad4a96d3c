"""Checkpoints on their way to a bucket and back: complete there, or absent."""

import os

import pytest

from sweep.errors import CheckpointError
from sweep.store import checkpoints, parcels
from sweep.store.buckets import Bucket, BucketError

KEY = "trials/0000/checkpoints/epoch-1"


@pytest.fixture
def place(bucket):
    return Bucket(bucket)


def checkpoint(folder, text="weights"):
    def fill(target):
        (target / "state.pt").write_text(text)
        (target / "more").mkdir()
        (target / "more" / "process.json").write_text("{}")

    checkpoints.write(folder, fill, {"t": 1})
    return folder


def test_it_comes_back_as_it_went(place, tmp_path):
    parcels.upload(place, KEY, checkpoint(tmp_path / "epoch-1"))
    parcels.download(place, KEY, tmp_path / "there" / "epoch-1")
    assert checkpoints.verify(tmp_path / "there" / "epoch-1")["t"] == 1
    assert (tmp_path / "there" / "epoch-1" / "more" / "process.json").read_text() == "{}"
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["epoch-1"]


def test_one_that_broke_off_is_absent(place, tmp_path, monkeypatch):
    folder, put = checkpoint(tmp_path / "epoch-1"), Bucket.put
    parcels.upload(place, KEY, folder)

    def broken(self, key, data):
        if key.endswith("process.json"):
            raise BucketError("the line is cut")
        put(self, key, data)

    monkeypatch.setattr(Bucket, "put", broken)
    with pytest.raises(BucketError):
        parcels.upload(place, KEY, checkpoint(tmp_path / "epoch-1", "other weights"))
    assert parcels.sorted_out(place.entries("trials"), "trials") == (set(), {KEY})
    with pytest.raises(CheckpointError, match=r"no complete checkpoint here \(manifest.json is missing\)"):
        parcels.download(place, KEY, tmp_path / "there")


def test_the_same_one_is_not_brought_twice_and_another_one_is(place, tmp_path, monkeypatch):
    parcels.upload(place, KEY, checkpoint(tmp_path / "a"))
    there = tmp_path / "there"
    parcels.download(place, KEY, there)
    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "fetch", lambda *_: pytest.fail("it is here"))
        parcels.download(place, KEY, there)
    parcels.upload(place, KEY, checkpoint(tmp_path / "b", "those of a later attempt"))
    parcels.download(place, KEY, there)
    assert (there / "state.pt").read_text() == "those of a later attempt"


def test_a_changed_byte_is_found_and_nothing_is_left(place, tmp_path):
    parcels.upload(place, KEY, checkpoint(tmp_path / "epoch-1"))
    place.put(f"{KEY}/state.pt", b"weighty")
    with pytest.raises(CheckpointError, match="changed since it was written"):
        parcels.download(place, KEY, tmp_path / "there" / "epoch-1")
    assert list((tmp_path / "there").iterdir()) == []


def test_a_file_that_is_gone_is_named(place, tmp_path):
    parcels.upload(place, KEY, checkpoint(tmp_path / "epoch-1"))
    place.delete([f"{KEY}/state.pt"])
    with pytest.raises(CheckpointError, match=rf"{KEY}: state.pt is missing"):
        parcels.download(place, KEY, tmp_path / "there")


def test_a_manifest_that_names_a_file_outside_is_refused(place, tmp_path):
    place.put(f"{KEY}/manifest.json", b'{"files": {"../out": {"sha256": "", "bytes": 0}}}')
    with pytest.raises(CheckpointError, match=r"names \.\./out, outside of it"):
        parcels.download(place, KEY, tmp_path / "there")


def test_copied_within_the_store_and_removed(place, tmp_path):
    other = "trials/0001/checkpoints/epoch-1"
    assert not parcels.copy(place, KEY, other)
    parcels.upload(place, KEY, checkpoint(tmp_path / "epoch-1"))
    assert parcels.copy(place, KEY, other)
    parcels.remove(place, KEY)
    assert parcels.sorted_out(place.entries("trials"), "trials") == ({other}, set())
    parcels.download(place, other, tmp_path / "there")


def test_of_copies_those_that_were_wanted_last_stay(place, tmp_path):
    trials = tmp_path / "trials"
    for number in range(4):
        folder = checkpoint(trials / f"{number:04d}" / "checkpoints" / "epoch-1")
        os.utime(folder / "manifest.json", (number, number))
        parcels.upload(place, f"trials/{number:04d}/checkpoints/epoch-1", folder)
    parcels.download(place, "trials/0000/checkpoints/epoch-1", trials / "0000" / "checkpoints" / "epoch-1")
    parcels.forget(trials, keep=2)
    assert {path.parents[2].name for path in trials.glob("*/checkpoints/*/manifest.json")} == {"0000", "0003"}
    parcels.forget(trials, keep=0)
    assert list(trials.glob("*/checkpoints/*")) == []
