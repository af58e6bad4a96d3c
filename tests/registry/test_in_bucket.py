"""A registry in a bucket keeps a folder's promises, among machines: versions whole or absent, numbered, verifiable."""

import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from registry_files import new_checkpoint, new_source, new_state

from sweep.errors import RegistryError, VerificationError
from sweep.registry import (
    Aliases,
    check_writable,
    folder_of,
    if_better,
    in_bucket,
    list_models,
    list_versions,
    load_weights,
    open_registry,
    promote,
    resolve,
    verify,
)
from sweep.store.buckets import Bucket, BucketError
from sweep.store.paths import place


@pytest.fixture
def registry(bucket):
    return place(f"{bucket}/registry")


@pytest.fixture
def objects(registry):
    return Bucket(registry.url)


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """From now on this is another machine."""
    return lambda name="elsewhere": monkeypatch.setenv("SWEEP_BUCKET_CACHE", str(tmp_path / name))


def sources(tmp_path, number):
    made = [new_checkpoint(tmp_path / f"epoch-{seed}", new_state(seed)) for seed in range(number)]
    return [new_source(folder, trial=trial, value=1.0 / (trial + 1)) for trial, folder in enumerate(made)]


def test_a_version_holds_everything_and_is_read_from_another_machine(registry, source, objects, elsewhere):
    version = promote(registry, "vit", source, alias="champion")
    assert version.told == f"{registry.url}/vit/v1"
    keys = {entry.key for entry in objects.entries("vit/v1")}
    small = {"manifest.json", "card.md", "curve.json", "spec.yaml"}
    assert keys == {f"vit/v1/{name}" for name in (*small, *version.manifest.files)}
    elsewhere()
    assert list_models(registry) == ["vit"]
    found = resolve(registry, "vit@champion")
    assert found.number == 1
    assert "# vit v1" in found.card.read_text()
    assert not found.safetensors.exists(), "weights come when they are asked for"
    assert torch.equal(load_weights(found)["weight"], new_state()["model"]["weight"])
    assert verify(registry) == []


def test_the_manifest_comes_last_so_a_version_is_whole_or_absent(registry, source, objects, monkeypatch, elsewhere):
    create = Bucket.create

    def broken(self, key, data):
        if key == "manifest.json":
            raise BucketError("the line is cut")
        return create(self, key, data)

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "create", broken)
        with pytest.raises(BucketError, match="cut"):
            promote(registry, "vit", source, alias="champion")
    assert objects.entries("vit/v1")
    elsewhere()
    assert list_models(registry) == []
    assert promote(registry, "vit", source, alias="champion").number == 1, "and its number is used again"
    assert verify(registry) == []


def test_a_promotion_that_is_killed_leaves_nothing_that_counts(registry, source, objects):
    code = """
import pickle, os, signal, sys
from sweep.registry import promote
from sweep.store.buckets import Bucket
from sweep.store.paths import place
create = Bucket.create
def stand(self, key, data):
    done = create(self, key, data)
    if key.endswith("model.pth"):
        os.kill(os.getpid(), signal.SIGKILL)
    return done
Bucket.create = stand
promote(place(sys.argv[1]), "vit", pickle.load(sys.stdin.buffer), alias="champion")
"""
    command = [sys.executable, "-c", code, registry.url]
    died = subprocess.run(command, input=pickle.dumps(source), env=os.environ, check=False, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert objects.entries("vit/v1")
    with pytest.raises(RegistryError, match="no model 'vit'; this registry is empty"):
        resolve(registry, "vit")
    assert promote(registry, "vit", source, alias="champion").number == 1
    assert verify(registry) == []


def test_verify_removes_what_a_dead_promotion_left(registry, source, objects):
    promote(registry, "vit", source, alias=None)
    objects.put("vit/v2/model.pth", b"half")
    assert verify(registry) == []
    assert objects.entries("vit/v2") == []


def test_a_living_promotion_is_left_alone(registry, source, objects):
    promote(registry, "vit", source, alias=None)
    with in_bucket.model_in(registry, "vit").claiming():
        objects.put("vit/v2/model.pth", b"half")
        os.environ["SWEEP_BUCKET_CACHE"] += "-of-another"
        verify(registry)
    assert len(objects.entries("vit/v2")) == 1


def test_a_living_promotion_of_this_machine_is_left_alone_too(registry, source, objects):
    promote(registry, "vit", source, alias=None)
    with in_bucket.model_in(registry, "vit").claiming():
        objects.put("vit/v2/model.pth", b"half")
        verify(registry)
    assert len(objects.entries("vit/v2")) == 1


def test_a_promoter_that_was_taken_for_dead_finishes_no_version(registry, source, objects, monkeypatch):
    first = Bucket.first

    def overtaken(self, key, data):
        if key == "model.pth":
            objects.put("vit/writer/00000002.json", b"{}")
        return first(self, key, data)

    monkeypatch.setattr(Bucket, "first", overtaken)
    with pytest.raises(RegistryError, match="another promoter took this one for dead"):
        promote(registry, "vit", source, alias="champion")
    assert list_models(registry) == []


def test_a_rollback_whose_answer_never_came_goes_back_once(registry, tmp_path, monkeypatch):
    for source in sources(tmp_path, 3):
        promote(registry, "vit", source, alias="champion")
    create = Bucket.create
    monkeypatch.setattr(Bucket, "create", lambda self, key, data: create(self, key, data) and False)
    aliases = Aliases(folder_of(registry, "vit"))
    assert aliases.rollback("champion", "test").version == "v2"
    assert resolve(registry, "vit@champion").number == 2


@pytest.mark.slow
def test_promoters_on_many_machines_get_numbers_without_a_gap(registry, tmp_path):
    """Each in a process with copies of its own."""
    code = """
import pickle, sys
from sweep.registry import promote
from sweep.store.paths import place
for source in pickle.load(sys.stdin.buffer):
    promote(place(sys.argv[1]), "vit", source, alias="champion")
"""
    made = sources(tmp_path, 6)
    processes = []
    for number in range(3):
        env = {**os.environ, "SWEEP_BUCKET_CACHE": str(tmp_path / f"machine-{number}")}
        one = subprocess.Popen([sys.executable, "-c", code, registry.url], stdin=subprocess.PIPE, env=env)
        # Two have one in common: the same checkpoint becomes a version once.
        one.stdin.write(pickle.dumps([*made[2 * number : 2 * number + 2], made[0]]))
        one.stdin.close()
        processes.append(one)
    assert [one.wait(timeout=120) for one in processes] == [0, 0, 0]
    versions = list_versions(registry, "vit")
    assert [version.number for version in versions] == [1, 2, 3, 4, 5, 6]
    assert sorted(version.manifest.lineage.trial for version in versions) == list(range(6))
    history = Aliases(folder_of(registry, "vit")).history("champion")
    assert [move.was for move in history[1:]] == [move.version for move in history[:-1]]
    assert verify(registry) == []


def test_the_same_checkpoint_is_a_version_once_wherever_it_is_promoted(registry, source, elsewhere):
    promote(registry, "vit", source, alias="champion")
    elsewhere()
    assert promote(registry, "vit", source, alias="champion").number == 1
    assert len(Aliases(folder_of(registry, "vit")).history()) == 1


def test_one_flipped_bit_is_found_in_every_object(registry, source, objects, elsewhere):
    promote(registry, "vit", source, alias="champion")
    for entry in objects.entries("vit"):
        if entry.key.startswith("vit/writer/"):
            continue
        data = objects.get(entry.key)
        objects.put(entry.key, bytes([data[0] ^ 1]) + data[1:])
        assert verify(registry), entry.key
        elsewhere(entry.key.replace("/", "-"))
        assert verify(registry), entry.key
        objects.put(entry.key, data)
    elsewhere("last")
    assert verify(registry) == []


def test_missing_and_extra_objects_are_found(registry, source, objects):
    promote(registry, "vit", source, alias=None)
    objects.delete(["vit/v1/model.pth"])
    objects.put("vit/v1/more", b"")
    objects.put("vit/v1/exports/model.onnx", b"")
    objects.put("vit/notes.txt", b"")
    found = {(problem.version, problem.file, problem.what) for problem in verify(registry, "vit")}
    assert found == {
        ("v1", "model.pth", "missing"),
        ("v1", "more", "extra: not in the manifest"),
        (None, "notes.txt", "nothing that the registry wrote"),
    }


def test_changed_weights_are_not_loaded(registry, source, objects, elsewhere):
    promote(registry, "vit", source, alias=None)
    data = objects.get("vit/v1/model.safetensors")
    objects.put("vit/v1/model.safetensors", data[:-1] + bytes([data[-1] ^ 1]))
    elsewhere()
    with pytest.raises(VerificationError, match=r"s3://.*vit/v1/model\.safetensors: changed since it was written"):
        load_weights(resolve(registry, "vit"))


def test_a_version_that_took_the_place_of_a_removed_one_is_not_confused_with_it(registry, tmp_path, objects):
    first, second = sources(tmp_path, 2)
    promote(registry, "vit", first, alias=None)
    objects.delete(entry.key for entry in objects.entries("vit"))
    assert list_models(registry) == [] if objects.folders() else True
    promote(registry, "vit", second, alias=None)
    assert resolve(registry, "vit@v1").manifest.lineage.trial == 1


def test_aliases_move_and_roll_back_with_their_history(registry, tmp_path, elsewhere):
    for source in sources(tmp_path, 3):
        promote(registry, "vit", source, alias="champion", by="ann")
    elsewhere()
    aliases = Aliases(folder_of(registry, "vit"))
    assert aliases.current() == {"champion": "v3"}
    assert aliases.rollback("champion", "ben").version == "v2"
    assert aliases.rollback("champion", "ben").version == "v1"
    with pytest.raises(RegistryError, match="no earlier version to go back to"):
        aliases.rollback("champion", "ben")
    elsewhere("third")
    moves = Aliases(folder_of(registry, "vit")).history("champion")
    assert [(move.version, move.by) for move in moves[-2:]] == [("v2", "ben"), ("v1", "ben")]
    with pytest.raises(RegistryError, match="has no version v9"):
        aliases.point("champion", 9, "ann")


def test_no_move_of_an_alias_is_lost_between_machines(registry, tmp_path, monkeypatch):
    for source in sources(tmp_path, 2):
        promote(registry, "vit", source, alias=None)
    folders = [in_bucket.BucketModel(tmp_path / f"m{number}" / "vit", registry=registry) for number in range(4)]
    for folder in folders:
        folder.refresh()
    together = threading.Barrier(len(folders))

    def move(number, folder):
        together.wait()
        Aliases(folder).point(f"a{number}", 1, "ann")
        Aliases(folder).point(f"a{number}", 2, "ann")

    with ThreadPoolExecutor(len(folders)) as pool:
        list(pool.map(move, range(len(folders)), folders))
    history = Aliases(folder_of(registry, "vit")).history()
    assert len(history) == 2 * len(folders)
    assert Aliases(folder_of(registry, "vit")).current() == {f"a{number}": "v2" for number in range(len(folders))}


def test_if_better_asks_the_bucket(registry, source, elsewhere):
    assert if_better(registry, "vit", "champion", 0.3, goal="minimize", metric="val_loss").ok
    promote(registry, "vit", source, alias="champion")
    elsewhere()
    assert not if_better(registry, "vit", "champion", 0.3, goal="minimize", metric="val_loss").ok
    assert if_better(registry, "vit", "champion", 0.2, goal="minimize", metric="val_loss").ok


def test_unknown_names_are_told_with_the_nearest(registry, source):
    with pytest.raises(RegistryError, match=r"no registry here. A promotion makes it"):
        list_models(registry)
    promote(registry, "vit", source, alias="champion")
    with pytest.raises(RegistryError, match=r"no model 'vti'. Did you mean vit"):
        resolve(registry, "vti")
    with pytest.raises(RegistryError, match=r"no version v2. Did you mean v1"):
        resolve(registry, "vit@v2")
    with pytest.raises(RegistryError, match="can't be a model's name"):
        resolve(registry, "a/b")


def test_whether_a_promotion_can_write_is_seen_before(registry, objects):
    check_writable(registry, "vit")
    assert objects.entries() == []
    with pytest.raises(RegistryError, match="the registry can't be used: s3://sweep-none/x: there is no such bucket"):
        check_writable(place("s3://sweep-none/x"), "vit")


def test_a_folder_is_still_a_folder(tmp_path, source):
    promote(tmp_path / "registry", "vit", source, alias="champion")
    assert open_registry(tmp_path / "registry", create=False).is_dir()
