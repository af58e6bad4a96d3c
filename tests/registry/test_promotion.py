"""A checkpoint becomes a version once, whole, and by whomever promotes at the same time."""

from __future__ import annotations

import pickle
import re
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock, Timeout

from sweep.errors import CheckpointError, RegistryError
from sweep.registry import (
    Aliases,
    ModelFolder,
    if_better,
    layout,
    list_versions,
    load_weights,
    meets_minimum,
    promote,
    promotion,
    read_curve,
    resolve,
    verify,
)
from sweep.registry.staging import staging_folder
from sweep.store import checkpoints

CROWD = str(Path(__file__).with_name("crowd.py"))


def names(registry):
    return [version.name for version in list_versions(registry, "vit")]


def test_version_holds_everything(registry, source):
    version = promote(registry, "vit", source, alias="champion")

    assert (version.model, version.number, version.path) == ("vit", 1, registry / "vit" / "v1")
    found = {path.relative_to(version.path).as_posix() for path in version.path.rglob("*") if path.is_file()}
    assert found == {
        "manifest.json",
        "model.safetensors",
        "model.pth",
        "checkpoint/state.pt",
        "checkpoint/manifest.json",
        "checkpoint/extra/notes.txt",
        "card.md",
        "curve.json",
        "spec.yaml",
    }
    manifest = version.manifest
    assert found - {"manifest.json"} == set(manifest.files)
    assert (manifest.lineage.study, manifest.lineage.trial, manifest.lineage.attempt) == ("digits", 17, 2)
    assert manifest.config == source.config
    assert manifest.seed == 123
    assert manifest.data == {"name": "digits", "sha256": "d" * 64}
    assert manifest.network == {"name": "linear", "classes": 2}
    assert manifest.weights.parameters == 8
    assert read_curve(version.curve) == source.curve
    assert version.spec.read_text() == source.spec_yaml
    assert checkpoints.verify(version.checkpoint)["t"] == 3
    assert verify(registry) == []


def test_weights_are_those_of_the_checkpoint(registry, source):
    version = promote(registry, "vit", source, alias=None)
    expected = torch.load(source.checkpoint / "state.pt", weights_only=True)["model"]
    for found in (load_weights(version), torch.load(version.pth, weights_only=True)):
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def left_by_a_script(folder, files):
    def fill(beside):
        (beside / "state").mkdir()
        for name, content in files.items():
            torch.save(content, beside / "state" / name)

    checkpoints.write(folder, fill, {"t": 3})
    return folder


TENSORS = {"w": torch.arange(3.0)}


@pytest.mark.parametrize(
    "files",
    [
        {"last.pt": {"model": TENSORS, "epoch": 3}},
        {"best.ckpt": {"state_dict": TENSORS}},
        {"model.pth": {"model_state_dict": TENSORS}},
        {"weights.pt": TENSORS, "notes.txt": 1},
    ],
)
def test_weights_are_found_in_what_a_script_left(registry, make_source, tmp_path, files):
    version = promote(registry, "vit", make_source(checkpoint=left_by_a_script(tmp_path / "c", files)), alias=None)
    assert torch.equal(load_weights(version)["w"], TENSORS["w"])


def test_weights_in_safetensors_format_are_found_too(registry, make_source, tmp_path):
    from safetensors.torch import save_file

    folder = tmp_path / "epoch-3"
    checkpoints.write(folder, lambda beside: _save(beside / "state", save_file), {"t": 3})
    version = promote(registry, "vit", make_source(checkpoint=folder), alias=None)
    assert torch.equal(load_weights(version)["w"], TENSORS["w"])


def _save(folder, save_file):
    folder.mkdir()
    save_file(TENSORS, folder / "model.safetensors")


def test_which_of_several_files_has_the_weights_is_not_guessed(registry, make_source, tmp_path):
    files = {"a.pt": TENSORS, "b.pt": TENSORS}
    version = promote(registry, "vit", make_source(checkpoint=left_by_a_script(tmp_path / "c", files)), alias=None)
    assert version.manifest.weights_missing == "the script left 2 files that may hold weights: a.pt, b.pt"


def test_no_file_of_a_version_is_writable(registry, source):
    version = promote(registry, "vit", source, alias=None)
    assert {path.stat().st_mode & 0o777 for path in version.path.rglob("*") if path.is_file()} == {0o444}


def test_tied_and_strided_weights_are_written(registry, make_checkpoint, make_source):
    tied = torch.arange(6.0).reshape(2, 3)
    state = {"model": {"embed": tied, "head": tied, "turned": tied.t(), "part": tied[:, 1]}}
    version = promote(registry, "vit", make_source(checkpoint=make_checkpoint("tied", state)), alias=None)
    found = load_weights(version)
    assert all(torch.equal(found[name], value) for name, value in state["model"].items())


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"optimizer": 1}, 'state.pt has no entry "model"'),
        ([1, 2], 'state.pt has no entry "model"'),
        ({"model": {"w": 1.5}}, r'"model" is no dict of tensors \(w is of type float\)'),
        ({"model": {"w": torch.zeros(2, dtype=torch.complex128)}}, "safetensors can't hold a tensor"),
        ({"model": {"w": torch.zeros(2)}, "path": Path("x")}, "holds more than tensors and plain values"),
    ],
)
def test_checkpoint_without_plain_weights_is_kept_whole(registry, make_checkpoint, make_source, state, reason):
    version = promote(registry, "vit", make_source(checkpoint=make_checkpoint("odd", state)), alias=None)
    assert version.manifest.weights is None
    assert re.search(reason, version.manifest.weights_missing)
    assert version.manifest.weights_missing in version.card.read_text()
    assert not version.safetensors.exists()
    assert not version.pth.exists()
    assert checkpoints.is_complete(version.checkpoint)
    assert verify(registry) == []
    with pytest.raises(RegistryError, match=f"vit@v1 has no weights: .*{reason}"):
        load_weights(version)


def test_checkpoint_without_state_file_is_kept_whole(registry, tmp_path, make_source):
    checkpoints.write(tmp_path / "jax", lambda beside: (beside / "params.msgpack").write_bytes(b"x"), {})
    version = promote(registry, "vit", make_source(checkpoint=tmp_path / "jax"), alias=None)
    assert version.manifest.weights_missing == "the checkpoint has no state.pt"


def test_same_checkpoint_is_promoted_once(registry, source):
    first = promote(registry, "vit", source, alias=None)
    again = promote(registry, "vit", replace(source, attempt=3, spec_sha256="f" * 64), alias="champion")
    assert again == first
    assert names(registry) == ["v1"]
    assert Aliases(ModelFolder(registry / "vit")).current() == {"champion": "v1"}


def test_version_that_exists_costs_no_copying(registry, source, monkeypatch):
    first = promote(registry, "vit", source, alias=None)
    monkeypatch.setattr(promotion, "staging_folder", None)
    assert promote(registry, "vit", source, alias="champion") == first


def test_number_is_claimed_under_the_lock(registry, source, monkeypatch):
    real = layout.publish_folder

    def publish(beside, final):
        with pytest.raises(Timeout):
            FileLock(final.with_name(".lock")).acquire(timeout=0)
        real(beside, final)

    monkeypatch.setattr(layout, "publish_folder", publish)
    assert promote(registry, "vit", source, alias=None).number == 1


def test_history_says_who_promoted(registry, source):
    promote(registry, "vit", source, alias="champion")
    promote(registry, "vit", replace(source, trial=18), alias="champion", by="ann")
    history = Aliases(ModelFolder(registry / "vit")).history("champion")
    assert [move.by for move in history] == ["study digits, trial 17", "ann"]


def test_same_checkpoint_promoted_meanwhile_is_not_made_twice(registry, source, monkeypatch):
    real = promotion.extract_weights

    def extract(checkpoint):
        monkeypatch.setattr(promotion, "extract_weights", real)
        promote(registry, "vit", source, alias=None)
        return real(checkpoint)

    monkeypatch.setattr(promotion, "extract_weights", extract)
    assert promote(registry, "vit", source, alias=None).number == 1
    assert names(registry) == ["v1"]


def test_other_trial_t_or_bytes_make_another_version(registry, source, make_checkpoint):
    other = make_checkpoint("other", {"model": {"w": torch.ones(1)}})
    changes = ({}, {"trial": 18}, {"t": 2}, {"study": "more"}, {"checkpoint": other})
    numbers = [promote(registry, "vit", replace(source, **change), alias=None).number for change in changes]
    assert numbers == [1, 2, 3, 4, 5]


def test_number_of_a_removed_version_is_not_used_again(registry, source):
    promote(registry, "vit", source, alias=None)
    second = promote(registry, "vit", replace(source, trial=18), alias="champion")
    shutil.rmtree(second.path)
    assert promote(registry, "vit", replace(source, trial=19), alias=None).number == 3


def test_number_taken_behind_the_lock_is_passed_over(registry, source, monkeypatch):
    """As on a file system whose locks don't reach other machines: the rename decides."""
    real = layout.publish_folder

    def publish(beside, final):
        if final.name == "v1":
            final.mkdir()
            (final / "manifest.json").write_text("another machine's")
        real(beside, final)

    monkeypatch.setattr(layout, "publish_folder", publish)
    version = promote(registry, "vit", source, alias=None)
    assert version.number == 2
    assert version.manifest.version == 2
    assert version.card.read_text().startswith("# vit v2\n")


@pytest.mark.parametrize("damage", ["manifest", "folder"])
def test_incomplete_checkpoint_is_refused_and_champion_stays(registry, source, make_checkpoint, damage):
    promote(registry, "vit", source, alias="champion")
    broken = make_checkpoint("epoch-4", {"model": {"w": torch.ones(1)}})
    if damage == "manifest":
        (broken / "manifest.json").unlink()
        what = "epoch 4 lacks manifest.json"
    else:
        shutil.rmtree(broken)
        what = "epoch 4 is gone"
    with pytest.raises(
        CheckpointError,
        match=rf"^Trial 17 has no complete checkpoint \({what}\). Nothing was promoted; champion is still v1\.",
    ):
        promote(registry, "vit", replace(source, checkpoint=broken, t=4), alias="champion")
    assert names(registry) == ["v1"]


def test_damaged_checkpoint_is_refused_before_a_folder_is_made(registry, source):
    (source.checkpoint / "state.pt").write_bytes(b"changed")
    with pytest.raises(
        CheckpointError, match=r"\(epoch 3 is damaged\). Nothing was promoted; vit still has no champion\.\n.*state.pt"
    ):
        promote(registry, "vit", source, alias="champion")
    with pytest.raises(CheckpointError, match=r"Nothing was promoted\.\n"):
        promote(registry, "vit", source, alias=None)
    assert not registry.exists()


def test_checkpoint_that_vanishes_while_it_is_copied(registry, source, monkeypatch):
    real = promotion.shutil.copyfile

    def copy(origin, target):
        shutil.rmtree(source.checkpoint)
        return real(origin, target)

    monkeypatch.setattr(promotion.shutil, "copyfile", copy)
    with pytest.raises(CheckpointError, match=r"Trial 17: .* vanished while it was copied. Nothing was promoted\."):
        promote(registry, "vit", source, alias=None)
    assert list((registry / "vit").glob(".promoting-*")) == []


def test_manifest_that_names_a_file_outside_is_refused(registry, source, tmp_path):
    (tmp_path / "secret").write_text("s")
    path = source.checkpoint / "manifest.json"
    digest = promotion.sha256_file(tmp_path / "secret")
    path.write_text(path.read_text().replace('"files": {', f'"files": {{"../secret": {{"sha256": "{digest}"}},'))
    with pytest.raises(CheckpointError, match=r"its manifest names \.\./secret, outside of it"):
        promote(registry, "vit", source, alias=None)


def test_full_disk_leaves_nothing(registry, source, monkeypatch):
    promote(registry, "vit", source, alias="champion")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(promotion, "write_atomic", full)
    with pytest.raises(
        RegistryError, match=r"can't be written \(No space left on device\). Nothing was promoted; champion is still v1"
    ):
        promote(registry, "vit", replace(source, trial=18), alias="champion")
    assert names(registry) == ["v1"]
    assert list((registry / "vit").glob(".promoting-*")) == []


@pytest.mark.parametrize("model", ["", "a/b", "..", "vit@v1", ".hidden", "x" * 65])
def test_model_name_that_can_not_be(registry, source, model):
    with pytest.raises(RegistryError, match=r"can't be a model's name. Use letters"):
        promote(registry, model, source, alias=None)
    assert not registry.exists()


def test_alias_name_is_refused_before_anything_is_written(registry, source):
    with pytest.raises(RegistryError, match="'Best' can't be an alias"):
        promote(registry, "vit", source, alias="Best")
    assert not registry.exists()


def test_eight_processes_get_eight_versions(registry, source, python):
    sources = [replace(source, trial=trial) for trial in range(8)]
    python(CROWD, "together", str(registry), stdin=pickle.dumps(sources))

    versions = list_versions(registry, "vit")
    assert [version.number for version in versions] == list(range(1, 9))
    assert sorted(version.manifest.lineage.trial for version in versions) == list(range(8))
    history = Aliases(ModelFolder(registry / "vit")).history("champion")
    assert sorted(move.version for move in history) == [f"v{number}" for number in range(1, 9)]
    assert [move.was for move in history] == [None, *(move.version for move in history[:-1])]
    assert list((registry / "vit").glob(".promoting-*")) == []
    assert verify(registry) == []


@pytest.fixture(scope="module")
def killed(tmp_path_factory, python):
    """Four registries, in each of which a promotion was killed -9 at another moment."""
    from registry_files import new_checkpoint, new_source, new_state

    folder = tmp_path_factory.mktemp("killed")
    source = new_source(new_checkpoint(folder / "epoch-3", new_state()))
    python(CROWD, "killed", str(folder), stdin=pickle.dumps([source]))
    return folder, source


@pytest.mark.parametrize(
    ("moment", "left", "published"),
    [("copying", 1, 0), ("renaming", 1, 0), ("renamed", 0, 1), ("pointing", 0, 1)],
)
def test_killed_promotion_is_repeated_without_a_trace(killed, tmp_path, moment, left, published):
    folder, source = killed
    registry = shutil.copytree(folder / moment, tmp_path / "registry")
    model = ModelFolder(registry / "vit")
    half_made = [path for path in model.root.glob(".promoting-*") if path.is_dir()]
    assert (len(half_made), len(model.numbers())) == (left, published)
    assert Aliases(model).current() == {}

    version = promote(registry, "vit", source, alias="champion")

    assert version.number == 1
    assert resolve(registry, "vit@champion") == version
    assert list(model.root.glob(".promoting-*")) == []
    assert verify(registry) == []


def test_verify_removes_what_a_killed_promotion_left(killed, tmp_path, source):
    registry = shutil.copytree(killed[0] / "copying", tmp_path / "registry")
    shutil.copytree(promote(tmp_path / "other", "vit", source, alias=None).path, registry / "vit" / "v1")
    assert verify(registry) == []
    assert list((registry / "vit").glob(".promoting-*")) == []


def test_folder_of_a_living_promotion_is_left_alone(registry, source):
    promote(registry, "vit", source, alias=None)
    folder = ModelFolder(registry / "vit")
    with staging_folder(folder) as beside:
        work = threading.Thread(
            target=promote, args=(registry, "vit", replace(source, trial=18)), kwargs={"alias": None}
        )
        work.start()
        work.join()
        assert verify(registry) == []
        assert beside.is_dir()
    assert names(registry) == ["v1", "v2"]
    assert not beside.exists()


@pytest.mark.parametrize(
    ("value", "ok", "reason"),
    [
        (0.2, True, "val_loss 0.2 is better than the 0.25 of champion v1"),
        (0.3, False, "val_loss 0.3 is not better than the 0.25 of champion v1"),
        (0.25, False, "not better"),
        (float("nan"), False, "val_loss is NaN, which is never better"),
    ],
)
def test_if_better(registry, source, value, ok, reason):
    promote(registry, "vit", source, alias="champion")
    verdict = if_better(registry, "vit", "champion", value, goal="minimize", metric="val_loss")
    assert verdict.ok is ok
    assert reason in verdict.reason


def test_if_better_with_nothing_to_beat(registry, source):
    assert if_better(registry, "vit", "champion", 9.0, goal="minimize", metric="x") == (True, "vit has no champion yet")
    version = promote(registry, "vit", replace(source, value=float("nan")), alias="champion")
    assert if_better(registry, "vit", "champion", 9.0, goal="minimize", metric="val_loss").ok
    shutil.rmtree(version.path)
    verdict = if_better(registry, "vit", "champion", 9.0, goal="minimize", metric="val_loss")
    assert verdict == (True, "champion was v1, which doesn't exist any more")


def test_if_better_refuses_to_compare_different_metrics(registry, source):
    promote(registry, "vit", source, alias="champion")
    verdict = if_better(registry, "vit", "champion", 0.9, goal="maximize", metric="val_acc")
    assert not verdict.ok
    assert "was chosen by val_loss (minimize), which can't be compared with val_acc (maximize)" in verdict.reason


@pytest.mark.parametrize(
    ("value", "goal", "minimum", "ok", "reason"),
    [
        (0.9, "maximize", 0.8, True, "acc 0.9 reaches promote.min_metric (at least 0.8)"),
        (0.7, "maximize", 0.8, False, "acc 0.7 misses promote.min_metric (at least 0.8)"),
        (0.8, "minimize", 0.8, True, "acc 0.8 reaches promote.min_metric (at most 0.8)"),
        (0.9, "minimize", 0.8, False, "acc 0.9 misses promote.min_metric (at most 0.8)"),
        (float("nan"), "minimize", 0.8, False, "acc nan misses"),
        (0.9, "minimize", None, True, "no min_metric is set"),
    ],
)
def test_minimum_gives_its_reason(value, goal, minimum, ok, reason):
    verdict = meets_minimum("acc", value, goal, minimum)
    assert verdict.ok is ok
    assert reason in verdict.reason
