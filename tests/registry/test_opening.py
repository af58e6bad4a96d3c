"""A folder that can't be a registry is refused in words, and nothing is left in it."""

from __future__ import annotations

import pytest

from sweep.errors import RegistryError
from sweep.registry import check_writable, open_registry


def test_made_with_its_parents(tmp_path):
    path = tmp_path / "a" / "b"
    assert open_registry(path, create=True) == path
    assert path.is_dir()
    assert open_registry(path, create=True) == open_registry(path, create=False) == path


def test_checking_leaves_nothing(tmp_path):
    check_writable(tmp_path / "a" / "b", "vit")
    assert list(tmp_path.iterdir()) == []


def test_opening_without_making(tmp_path):
    with pytest.raises(RegistryError, match=r"no registry here. A promotion makes it: sweep promote"):
        open_registry(tmp_path / "none", create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "sub", "sub/deeper"])
def test_file_in_the_place(tmp_path, below):
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(RegistryError, match=r"can't be a registry, since .*file is a file. Name a folder"):
        check_writable(file / below)
    with pytest.raises(RegistryError, match=r"is a file. Name a folder"):
        open_registry(file / below, create=True)
    assert file.read_text() == "x"


def test_opening_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RegistryError, match="a registry is a folder, and this is a file"):
        open_registry(tmp_path / "file", create=False)


@pytest.mark.parametrize("below", [".", "none", "none/deeper"])
def test_folder_that_can_not_be_written(foreign_folder, below):
    for refuse in (check_writable, lambda path: open_registry(path, create=True)):
        with pytest.raises(RegistryError, match=r"can't be used \(Permission denied: .*\).\s+Give it a folder"):
            refuse(foreign_folder / below)
    assert list(foreign_folder.iterdir()) == []


def test_model_folder_in_the_way(tmp_path):
    (tmp_path / "vit").write_text("x")
    with pytest.raises(RegistryError, match="vit is a file"):
        check_writable(tmp_path, "vit")
    with pytest.raises(RegistryError, match="'a/b' can't be a model's name"):
        check_writable(tmp_path, "a/b")


def test_half_made_parents_are_taken_back(tmp_path):
    with pytest.raises(RegistryError, match="File name too long"):
        open_registry(tmp_path / "a" / "b" / ("x" * 300), create=True)
    assert list(tmp_path.iterdir()) == []


def test_refusal_in_the_middle_takes_parents_back(tmp_path, monkeypatch):
    real = type(tmp_path).mkdir

    def mkdir(self, *arguments, **options):
        if self.name == "b":
            raise OSError(28, "No space left on device", str(self))
        real(self, *arguments, **options)

    monkeypatch.setattr(type(tmp_path), "mkdir", mkdir)
    with pytest.raises(RegistryError, match="No space left on device"):
        open_registry(tmp_path / "a" / "b", create=True)
    assert list(tmp_path.iterdir()) == []
