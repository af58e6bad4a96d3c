"""One flipped bit, anywhere in a registry, is found and named."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registry_files import new_checkpoint, new_source, new_state

from sweep.errors import RegistryError, VerificationError
from sweep.registry import Problem, promote, verify
from sweep.registry.manifest import read_manifest


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    source = new_source(new_checkpoint(folder / "epoch-3", new_state()))
    promote(folder / "registry", "vit", source, alias="champion")
    promote(folder / "registry", "vit", replace(source, trial=18), alias="champion")
    return folder / "registry"


@pytest.fixture
def registry(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "registry")


def files_of(registry):
    return sorted(path for path in (registry / "vit").rglob("*") if path.is_file() and not path.name.endswith(".lock"))


def problems_with_flipped_bit(registry, path, position, bit):
    good = path.read_bytes()
    bad = bytearray(good)
    bad[position] ^= 1 << bit
    path.chmod(0o644)
    path.write_bytes(bad)
    try:
        return verify(registry)
    finally:
        path.write_bytes(good)


def names(path, problem):
    inside = problem.version or ""
    return path.as_posix().endswith(f"vit/{inside}/{problem.file}".replace("//", "/"))


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_flipped_bit_is_found(whole, data):
    path = data.draw(st.sampled_from(files_of(whole)))
    position = data.draw(st.integers(0, path.stat().st_size - 1))
    problems = problems_with_flipped_bit(whole, path, position, data.draw(st.integers(0, 7)))
    assert problems
    assert all(names(path, problem) for problem in problems)


def test_flipped_bit_at_both_ends_of_every_file_is_found(whole):
    assert len(files_of(whole)) == 19
    for path in files_of(whole):
        for position in (0, path.stat().st_size - 1):
            problems = problems_with_flipped_bit(whole, path, position, 0)
            assert problems, path
            assert all(names(path, problem) for problem in problems)
    assert verify(whole) == []


def test_every_bit_of_a_seal_counts(whole):
    path = whole / "vit" / "v1" / "manifest.json"
    good = path.read_bytes()
    path.chmod(0o644)
    for position in range(len(good) - 100, len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[position] ^= 1 << bit
            path.write_bytes(bad)
            with pytest.raises(VerificationError, match="torn or changed"):
                read_manifest(path)
    path.write_bytes(good)
    read_manifest(path)


def test_torn_manifest_at_any_length(registry):
    path = registry / "vit" / "v1" / "manifest.json"
    good = path.read_bytes()
    path.chmod(0o644)
    for length in range(0, len(good), 97):
        path.write_bytes(good[:length])
        (problem,) = verify(registry)
        assert (problem.version, problem.file) == ("v1", "manifest.json")
        assert "torn or changed" in problem.what


def test_manifest_of_another_format_says_what_differs(registry):
    from sweep.registry.seals import INDENTED

    path = registry / "vit" / "v1" / "manifest.json"
    path.chmod(0o644)
    path.write_bytes(INDENTED.put(INDENTED.check(path.read_bytes()).replace(b'"format": 1', b'"format": 2')))
    with pytest.raises(VerificationError, match=r"not a manifest of format 1 \(format: Input should be 1\)"):
        read_manifest(path)


def test_missing_file_manifest_and_link(registry):
    version = registry / "vit" / "v1"
    (version / "curve.json").unlink()
    (version / "card.md").rename(registry / "card.md")
    (version / "card.md").symlink_to(registry / "card.md")
    (registry / "vit" / "v2" / "manifest.json").unlink()
    found = {(problem.version, problem.file): problem.what for problem in verify(registry)}
    assert found.keys() == {("v1", "curve.json"), ("v1", "card.md"), ("v2", "manifest.json")}
    assert found["v1", "curve.json"] == "missing"
    assert found["v1", "card.md"].startswith("a link")
    assert "No such file" in found["v2", "manifest.json"]


def test_extra_files_are_found_and_exports_are_not(registry):
    version = registry / "vit" / "v1"
    (version / "checkpoint" / "evil.pt").write_text("x")
    (version / "exports").mkdir()
    (version / "exports" / "model.onnx").write_text("x")
    (registry / "vit" / "notes.txt").write_text("x")
    assert verify(registry) == [
        Problem("vit", None, "notes.txt", "nothing that the registry wrote"),
        Problem("vit", "v1", "checkpoint/evil.pt", "extra: not in the manifest"),
    ]


def test_renamed_version_is_found(registry):
    (registry / "vit" / "v2").rename(registry / "vit" / "v3")
    assert [str(problem) for problem in verify(registry)] == [
        "vit: aliases.jsonl: champion points to v2, which doesn't exist.",
        "vit@v3: manifest.json: written for vit@v2; the folder was renamed or copied.",
    ]


def test_one_version_alone(registry):
    (registry / "vit" / "v1" / "curve.json").unlink()
    assert verify(registry, "vit", 2) == []
    assert [problem.file for problem in verify(registry, "vit", 1)] == ["curve.json"]
    with pytest.raises(RegistryError, match="vit has no version v7 to verify"):
        verify(registry, "vit", 7)
    with pytest.raises(RegistryError, match=r"no model 'vot'. Did you mean vit"):
        verify(registry, "vot")
