"""A study, in a folder and in a bucket: made whole, held by one, read by all, and damage told in words."""

import os
import subprocess
import sys

import pytest
from small_spec import small_spec

from sweep.core.events import StopRequested
from sweep.errors import StudyError
from sweep.store import events, holding, study_folder
from sweep.store.buckets import Bucket
from sweep.store.paths import BucketFolder, place, study_paths


@pytest.fixture
def paths(tmp_path):
    return study_folder.create(tmp_path, small_spec(), base_dir=tmp_path, now=1.0, version="0")


@pytest.fixture(params=["folder", "bucket"])
def storage(request, tmp_path):
    return place(request.getfixturevalue("bucket")) if request.param == "bucket" else tmp_path


@pytest.fixture
def either(storage, tmp_path):
    return study_folder.create(storage, small_spec(), base_dir=tmp_path, now=1.0, version="0", lessons=b"[]\n")


def test_new_study_is_read_back(either):
    stored = study_folder.read(either)
    assert stored.spec == small_spec()
    assert stored.machine.trials == {}
    assert either.lessons.read_bytes() == b"[]\n"


def test_study_is_found_by_its_name_alone(storage, either):
    assert study_folder.exists(either)
    assert study_folder.find(storage, "s") == either
    assert study_folder.studies(storage) == [either]
    with pytest.raises(StudyError, match=r"no study 't' in .*There are: s\."):
        study_folder.find(storage, "t")


def test_storage_that_takes_studies_is_left_as_it_was(storage):
    study_folder.check_storage(storage)
    assert study_folder.studies(storage) == []
    if isinstance(storage, BucketFolder):
        assert Bucket(storage.url).entries() == []


def test_study_is_made_once(either, storage, tmp_path):
    with pytest.raises(StudyError, match="there already"):
        study_folder.create(storage, small_spec(), base_dir=tmp_path, now=2.0, version="0")
    assert study_folder.read(either).created.time == 1.0


def test_holder_is_seen_and_stands_alone(either):
    assert not holding.is_at_work(either)
    with holding.held(either):
        assert holding.is_at_work(either)
        with pytest.raises(holding.BusyError, match="study 's' is at work in another process"), holding.held(either):
            pass
    assert not holding.is_at_work(either)


def test_what_a_holder_writes_is_read_by_others(either, monkeypatch, tmp_path):
    with holding.held(either) as hold:
        log = hold.log()
        log.append(events.encode(StopRequested(time=2.0, reason="test")))
        log.sync()
        log.close()
    before = either.events.read_bytes()
    monkeypatch.setenv("SWEEP_BUCKET_CACHE", str(tmp_path / "elsewhere"))
    there = study_paths(either.storage, "s")
    study_folder.read(there)
    assert there.events.read_bytes() == before
    assert study_folder.last_activity(there) > 1.0


def test_what_a_killed_creation_left_goes_with_the_next(tmp_path):
    (tmp_path / ".s.123.tmp").mkdir()
    study_folder.create(tmp_path, small_spec(), base_dir=tmp_path, now=1.0, version="0")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_looking_writes_nothing(paths):
    before = {path.name for path in paths.root.iterdir()}
    holding.is_at_work(paths)
    study_folder.read(paths)
    assert {path.name for path in paths.root.iterdir()} == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_may_look(paths):
    with holding.held(paths):
        pass
    for folder in (paths.root, *paths.root.parents):
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o055)
    code = (
        "import os, pathlib, sys; from sweep.store import holding; from sweep.store.paths import StudyPaths; "
        "os.setuid(65534); holding.is_at_work(StudyPaths(pathlib.Path(sys.argv[1])))"
    )
    subprocess.run([sys.executable, "-c", code, str(paths.root)], check=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda paths: paths.spec.unlink(), r"spec\.yaml: can't be read.*damaged"),
        (lambda paths: paths.spec.write_bytes(b"name: \xe9"), r"spec\.yaml: can't be read.*damaged"),
        (lambda paths: paths.events.write_text(""), "the first line must tell of the study's creation"),
        (
            lambda paths: paths.spec.write_text(paths.spec.read_text().replace("trials: 5", "trials: 6")),
            "changed since the study was made from it",
        ),
        (
            lambda paths: paths.events.open("a").write(
                '{"time":1,"type":"attempt_started","trial":3,"attempt":1,"node":"","device":""}\n'
            ),
            r"events\.jsonl:2: can't have happened \(no trial 3",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_damage_is_told_with_its_place(paths, damage, message):
    damage(paths)
    with pytest.raises(StudyError, match=message):
        study_folder.read(paths)
