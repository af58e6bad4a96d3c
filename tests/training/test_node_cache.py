"""Decoded data on disk: the same bytes as decoding gives, made by one process, complete or absent."""

import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from PIL import Image

from sweep.errors import TrainingError
from sweep.store import paths
from sweep.training import data
from sweep.training.data import node_cache
from sweep.training.data.digits import digits
from sweep.training.data.folder import image_folder

DECODER = Path(__file__).with_name("decoder.py")
DAY_S = 24 * 3600


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and a process that remembers no dataset."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SWEEP_DATA_CACHE", str(folder))
    data._load.cache_clear()
    yield folder
    data._load.cache_clear()


@pytest.fixture
def images(tmp_path):
    """A folder of two classes of twenty images; as bitmaps all files have the same size."""
    folder = tmp_path / "images"
    for shade, name in enumerate(("ant", "bee")):
        (folder / name).mkdir(parents=True)
        for index in range(20):
            Image.new("RGB", (12, 10), (100 * shade, index, 7)).save(folder / name / f"{index:03}.bmp")
    return folder


def load(folder, **options):
    """What a new process would be given."""
    data._load.cache_clear()
    return data.load("image_folder", folder=folder, **{"image_size": 8, **options})


def stores(cache):
    return sorted(path.name for path in cache.iterdir() if not path.name.startswith("."))


def left_overs(cache):
    return sorted(path.name for path in cache.iterdir() if path.name.endswith(".building"))


def tensors(loaded):
    return [tensor for pair in (loaded.train, loaded.val, loaded.test) for tensor in pair]


def same(one, other):
    facts = ("name", "classes", "options", "fingerprint", "mean", "std", "description")
    return all(getattr(one, fact) == getattr(other, fact) for fact in facts) and all(
        map(torch.equal, tensors(one), tensors(other))
    )


@pytest.mark.parametrize("kept", [True, False], ids=["on disk", "in memory"])
def test_who_writes_into_the_data_changes_it_for_nobody_else(cache, images, monkeypatch, kept):
    if not kept:
        monkeypatch.setenv("SWEEP_DATA_CACHE", "")
    first = load(images)
    before = first.train.images.clone()
    first.train.images[0].fill_(77)
    again = data.load("image_folder", folder=images, image_size=8)
    assert torch.equal(again.train.images, before)
    assert torch.equal(load(images).train.images, before)


@pytest.mark.parametrize("read", [lambda folder: digits(image_size=5), lambda folder: image_folder(folder, grey=True)])
def test_mapped_data_is_what_decoding_gives(cache, images, read):
    decoded = read(images).in_memory()
    first, second = (node_cache.fetch("it", {}, (), lambda: read(images)) for _ in range(2))
    assert same(first, decoded)
    assert same(second, decoded)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux says what is mapped")
def test_images_are_not_copied_into_the_process(cache, images):
    address = load(images).train.images.data_ptr()
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    ends = [([int(end, 16) for end in line[0].split("-")], line[-1]) for line in lines]
    (file,) = [Path(name) for (start, end), name in ends if start <= address < end]
    assert file.name == "train-images.npy"
    assert file.is_relative_to(cache)


def test_what_is_there_is_not_decoded_again(cache, images):
    decoded = load(images)
    for image in images.glob("*/*"):  # as large and as old as before, and no image
        facts = image.stat()
        image.write_bytes(b"x" * facts.st_size)
        os.utime(image, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert same(load(images), decoded)


@pytest.mark.parametrize("change", ["pixels", "one more", "one less", "option", "decoder"])
def test_whatever_changes_the_images_makes_another_store(cache, images, change, monkeypatch):
    before = load(images)
    options = {}
    if change == "pixels":
        Image.new("RGB", (12, 10), (255, 255, 255)).save(images / "ant" / "003.bmp")
    elif change == "one more":
        Image.new("RGB", (12, 10), (255, 255, 255)).save(images / "ant" / "020.bmp")
    elif change == "one less":
        (images / "ant" / "003.bmp").unlink()
    elif change == "option":
        options["grey"] = True
    else:
        monkeypatch.setattr(node_cache, "version", lambda package: "another")
    after = load(images, **options)
    assert len(stores(cache)) == 2
    assert (after.fingerprint == before.fingerprint) == (change == "decoder")


def test_a_cache_that_may_only_be_read_is_as_good(cache, images, capsys):
    decoded = load(images)
    lock = cache / f".{stores(cache)[0]}.lock"
    lock.unlink()
    lock.mkdir()  # for root, too, a lock that can't be had
    capsys.readouterr()
    assert same(load(images), decoded)
    assert not capsys.readouterr().err


def test_of_many_at_once_one_decodes(cache, images):
    reads = []

    def read():
        reads.append(1)
        return image_folder(images, image_size=8)

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: node_cache.fetch("it", {}, (), read), range(6)))
    assert len(reads) == 1
    assert all(same(each, found[0]) for each in found)


@pytest.mark.parametrize("what", ["manifest.json", "train-images.npy", "val-labels.npy"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_store_is_made_again(cache, images, what, damage):
    decoded = load(images)
    file = cache / stores(cache)[0] / what
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        file.unlink()
    again = load(images)
    assert again.fingerprint == decoded.fingerprint
    assert file.is_file()
    assert same(load(images), again)


def test_a_loader_that_fails_leaves_nothing(cache, images):
    (images / "bee" / "007.bmp").write_bytes(b"no image")
    with pytest.raises(TrainingError, match=r"can't be read: .*bee/007\.bmp"):
        load(images)
    assert not stores(cache)
    assert not left_overs(cache)


# Where nothing can be kept.


def test_an_unwritable_cache_is_told_and_done_without(cache, images, capsys):
    cache.write_text("a file")
    decoded = load(images)
    assert decoded.fingerprint == image_folder(images, image_size=8).in_memory().fingerprint
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("data: image_folder can't be kept on disk, so this process decodes it for itself: [Errno ")
    assert line.endswith("See SWEEP_DATA_CACHE.")


def test_a_full_disk_is_told_and_leaves_nothing(cache, images, capsys):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # no file can be larger: write() fails as on a full disk
    try:
        decoded = load(images, image_size=64)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert decoded.image_size == 64
    assert "can't be kept on disk" in capsys.readouterr().err
    assert not stores(cache)
    assert not left_overs(cache)


def test_an_empty_variable_keeps_nothing(cache, images, monkeypatch, capsys):
    monkeypatch.setenv("SWEEP_DATA_CACHE", "")
    load(images)
    assert not cache.exists()
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SWEEP_DATA_CACHE": "/fast/disk"}, "/fast/disk"),
        ({"SWEEP_DATA_CACHE": "~/here"}, "/home/me/here"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/sweep/data"),
        ({}, "/home/me/.cache/sweep/data"),
    ],
)
def test_where_the_cache_is(monkeypatch, variables, expected):
    for name, value in {"SWEEP_DATA_CACHE": None, "XDG_CACHE_HOME": None, "HOME": "/home/me", **variables}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert paths.data_cache() == Path(expected)


# What is deleted.


def manifests(cache):
    """Image size to manifest of each store."""
    files = [cache / name / "manifest.json" for name in stores(cache)]
    return {json.loads(file.read_text())["options"]["image_size"]: file for file in files}


def test_what_nobody_opened_for_long_is_deleted(cache, images):
    old, recent = load(images, image_size=8), load(images, image_size=9)
    for size, days in ((8, 31), (9, 29)):
        os.utime(manifests(cache)[size], (time.time() - days * DAY_S,) * 2)
    dead = cache / ".another-dataset.1.building"  # of a builder that was killed, and that no other took up
    dead.mkdir()
    load(images, image_size=10)
    assert manifests(cache).keys() == {9, 10}
    assert not dead.exists()
    assert int(old.train.images.sum()) > 0  # who has it mapped keeps it
    assert same(load(images, image_size=9), recent)


def test_opening_counts_as_use(cache, images):
    load(images)
    stamp = cache / stores(cache)[0] / "manifest.json"
    os.utime(stamp, (0, 0))
    load(images)
    assert time.time() - stamp.stat().st_mtime < DAY_S


# Processes.


@pytest.mark.slow
def test_when_the_decoding_process_is_killed_one_of_those_that_wait_decodes(cache, images, tmp_path):
    def start(name, *stuck_at):
        opened = tmp_path / name
        command = [sys.executable, DECODER, images, opened, *stuck_at]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return process, opened

    first, _ = start("first", "3")
    others = []
    try:
        assert first.stdout.readline() == "stuck\n"
        assert len(left_overs(cache)) == 1
        others = [start(name) for name in ("second", "third")]
        for process, _ in others:
            assert process.stderr.readline().startswith("data: waiting for the process that decodes ")
        first.kill()
        said = [process.communicate() for process, _ in others]
    finally:
        for process, _ in [(first, None), *others]:
            process.kill()
            process.communicate()
    expected = hashlib.sha256()
    for tensor in tensors(image_folder(images, image_size=8).in_memory()):
        expected.update(tensor.numpy().tobytes())
    assert [out for out, _ in said] == [f"{expected.hexdigest()}\n"] * 2
    assert ["decoded once" in err for _, err in said].count(True) == 1
    assert sum(opened.stat().st_size if opened.exists() else 0 for _, opened in others) == 40
    assert len(stores(cache)) == 1
    assert not left_overs(cache)
