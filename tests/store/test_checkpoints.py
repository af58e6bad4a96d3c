"""Checkpoints: complete or not there."""

import subprocess
import sys

import pytest

from sweep.errors import CheckpointError
from sweep.store import checkpoints


def fill(text="weights"):
    def write(folder):
        (folder / "state.pt").write_text(text)
        (folder / "more").mkdir()
        (folder / "more" / "part").write_text("x")

    return write


def test_checkpoint_is_complete_and_its_manifest_names_every_file(tmp_path):
    folder = tmp_path / "checkpoints" / "epoch-3"
    checkpoints.write(folder, fill(), {"t": 3})
    manifest = checkpoints.verify(folder)
    assert manifest["t"] == 3
    assert set(manifest["files"]) == {"state.pt", "more/part"}
    assert checkpoints.complete_ones(folder.parent) == [folder]


def test_writer_that_fails_leaves_nothing(tmp_path):
    def broken(folder):
        (folder / "half").write_text("x")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        checkpoints.write(tmp_path / "c" / "epoch-1", broken, {})
    assert list((tmp_path / "c").iterdir()) == []


def test_killed_writer_leaves_nothing_that_counts(tmp_path):
    folder = tmp_path / "c" / "epoch-1"
    code = (
        "import os, pathlib, sys; from sweep.store import checkpoints; "
        "checkpoints.write(pathlib.Path(sys.argv[1]), lambda _: os._exit(9), {})"
    )
    assert subprocess.run([sys.executable, "-c", code, str(folder)], check=False).returncode == 9
    assert checkpoints.complete_ones(folder.parent) == []
    checkpoints.write(folder, fill(), {})
    assert checkpoints.verify(folder)


def test_what_killed_writers_left_is_removed(tmp_path):
    checkpoints.write(tmp_path / "epoch-1", fill(), {})
    (tmp_path / ".epoch-2.77.tmp").mkdir()
    (tmp_path / ".epoch-0.77.gone").mkdir()
    checkpoints.remove_unfinished(tmp_path)
    assert [child.name for child in tmp_path.iterdir()] == ["epoch-1"]


def test_later_attempt_replaces_a_checkpoint(tmp_path):
    folder = tmp_path / "epoch-1"
    checkpoints.write(folder, fill("first"), {})
    checkpoints.write(folder, fill("second"), {})
    assert (folder / "state.pt").read_text() == "second"
    assert [child.name for child in tmp_path.iterdir()] == ["epoch-1"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "state.pt").write_text("weightS"), r"state\.pt: changed since it was written"),
        (lambda folder: (folder / "state.pt").unlink(), r"state\.pt is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), r"manifest\.json is missing"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "not the manifest of a checkpoint"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "not the manifest of a checkpoint"),
    ],
)
def test_damage_is_found(tmp_path, damage, message):
    folder = tmp_path / "epoch-1"
    checkpoints.write(folder, fill(), {})
    damage(folder)
    with pytest.raises(CheckpointError, match=message):
        checkpoints.verify(folder)


def test_removed_checkpoint_is_gone(tmp_path):
    folder = tmp_path / "epoch-1"
    checkpoints.write(folder, fill(), {})
    checkpoints.remove(folder)
    checkpoints.remove(folder)
    assert list(tmp_path.iterdir()) == []


def test_what_a_reader_elsewhere_keeps_open_stands_in_nobodys_way(tmp_path, monkeypatch):
    """On NFS a file that another machine has open stays behind under another name, and its folder with it."""
    monkeypatch.setattr(checkpoints.shutil, "rmtree", lambda folder, **_: None)
    for _ in range(2):
        folder = tmp_path / "epoch-1"
        folder.mkdir()
        (folder / "weights").write_bytes(b"1")
        checkpoints.remove(folder)
        assert not folder.exists()
