"""A study's folder: made whole, held by one, read by all, and damage told in words."""

import os
import subprocess
import sys

import pytest
from small_spec import small_spec

from sweep.errors import StudyError
from sweep.store import study_folder


@pytest.fixture
def paths(tmp_path):
    return study_folder.create(tmp_path, small_spec(), base_dir=tmp_path, now=1.0, version="0")


def test_new_study_is_read_back(paths):
    stored = study_folder.read(paths)
    assert stored.spec == small_spec()
    assert stored.machine.trials == {}


def test_what_a_killed_creation_left_goes_with_the_next(tmp_path):
    (tmp_path / ".s.123.tmp").mkdir()
    study_folder.create(tmp_path, small_spec(), base_dir=tmp_path, now=1.0, version="0")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_study_is_made_once(tmp_path, paths):
    with pytest.raises(StudyError, match="there already"):
        study_folder.create(tmp_path, small_spec(), base_dir=tmp_path, now=1.0, version="0")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_holder_is_seen_and_stands_alone(paths):
    assert not study_folder.is_at_work(paths)
    with study_folder.held(paths):
        assert study_folder.is_at_work(paths)
    assert not study_folder.is_at_work(paths)


def test_looking_writes_nothing(paths):
    before = {path.name for path in paths.root.iterdir()}
    study_folder.is_at_work(paths)
    study_folder.read(paths)
    assert {path.name for path in paths.root.iterdir()} == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_may_look(paths):
    with study_folder.held(paths):
        pass
    for folder in (paths.root, *paths.root.parents):
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o055)
    code = (
        "import os, pathlib, sys; from sweep.store import study_folder; from sweep.store.paths import StudyPaths; "
        "os.setuid(65534); study_folder.is_at_work(StudyPaths(pathlib.Path(sys.argv[1])))"
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
