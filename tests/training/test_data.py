"""Datasets: each loader on a folder in its own format, splits that never change, batches that depend on seeds alone."""

import gzip
import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sweep.errors import TrainingError
from sweep.training import data as datasets
from sweep.training.batches import (
    Normalise,
    epoch_generator,
    place,
    steps_per_epoch,
    training_batches,
)
from sweep.training.data.images import TensorPair, hold_out

CPU = torch.device("cpu")
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def count(pair):
    return torch.bincount(pair.labels)


# digits


def test_digits_are_whole_and_stratified(digits):
    assert [len(pair.labels) for pair in (digits.train, digits.val, digits.test)] == [1197, 300, 300]
    assert digits.train.images.shape == (1197, 1, 8, 8)
    assert digits.train.images.dtype == torch.uint8
    assert digits.train.labels.dtype == torch.int64
    assert (digits.channels, digits.image_size, digits.classes) == (1, 8, tuple("0123456789"))
    assert count(digits.val).max() - count(digits.val).min() <= 2
    assert int(digits.train.images.max()) == 255


def test_the_parts_share_no_image(digits):
    parts = [{bytes(image.numpy().tobytes()) for image in pair.images} for pair in (digits.train, digits.val)]
    assert not parts[0] & parts[1]


def test_digits_never_change(digits):
    # Of scikit-learn's images and our split; another value would make results before and after incomparable.
    assert digits.fingerprint == "a3ae4a127c6a9568185bd8ab3a47c717db70bc05381da17f112e252717b3edb1"


def test_data_is_decoded_once(digits):
    assert datasets.load("digits", image_size=None) is digits


def test_images_are_scaled():
    data = datasets.load("digits", image_size=16)
    assert data.train.images.shape == (1197, 1, 16, 16)
    assert data.image_size == 16
    assert data.description["options"] == {"image_size": 16}


def test_mean_and_std_normalise(digits):
    images = Normalise(digits, CPU)(digits.train.images)
    assert abs(images.mean().item()) < 1e-4
    assert abs(images.std().item() - 1) < 1e-3


def test_a_description_loads_the_same_data_again():
    data = datasets.load("digits", image_size=10)
    told = data.description
    assert datasets.load(told["name"], **told["options"]).fingerprint == told["fingerprint"]


@pytest.mark.parametrize("what", ["image", "label", "class"])
def test_the_fingerprint_sees_every_change(digits, what):
    images, labels = digits.val.images.clone(), digits.val.labels.clone()
    classes = list(digits.classes)
    if what == "image":
        images[17, 0, 3, 3] ^= 1
    elif what == "label":
        labels[17] = (labels[17] + 1) % 10
    else:
        classes[0] = "zero"
    changed = datasets.ImageData("digits", digits.train, TensorPair(images, labels), digits.test, tuple(classes))
    assert changed.fingerprint != digits.fingerprint


# MNIST and Fashion-MNIST


def write_idx(file, array, *, packed=False):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    content = header + array.astype(np.uint8).tobytes()
    if packed:
        file.with_name(file.name + ".gz").write_bytes(gzip.compress(content))
    else:
        file.write_bytes(content)


def write_mnist(folder, *, packed=False):
    """120 train and 20 test images; image i is filled with i, its label is i % 10."""
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, number in (("train", 120), ("t10k", 20)):
        images = np.arange(number)[:, None, None] * np.ones((1, 28, 28))
        write_idx(folder / f"{prefix}-images-idx3-ubyte", images, packed=packed)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", np.arange(number) % 10, packed=packed)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("name", "sub"), [("mnist", ""), ("mnist", "MNIST/raw"), ("fashion_mnist", "FashionMNIST/raw")]
)
def test_idx_files(tmp_path, name, sub, packed):
    write_mnist(tmp_path / sub, packed=packed)
    data = datasets.load(name, folder=tmp_path)
    assert [len(pair.labels) for pair in (data.train, data.val, data.test)] == [110, 10, 20]
    for pair in (data.train, data.val, data.test):
        assert pair.images.shape[1:] == (1, 28, 28)
        assert torch.equal(pair.images[:, 0, 0, 0] % 10, pair.labels)
    assert data.classes[1] == ("1" if name == "mnist" else "Trouser")


def test_missing_idx_files_are_told(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(TrainingError, match=r"mnist needs t10k-labels-idx1-ubyte \(or t10k-labels-idx1-ubyte.gz\) in"):
        datasets.load("mnist", folder=tmp_path)


@pytest.mark.parametrize("content", [b"", b"\0\0\x08\x01\0\0\0\x14", b"\0\0\x08\x03" + b"\0" * 40])
def test_damaged_idx_files_are_told(tmp_path, content):
    write_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(TrainingError, match="is no complete idx file of 1 dimensions"):
        datasets.load("mnist", folder=tmp_path)


def test_images_without_labels_are_told(tmp_path):
    write_mnist(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.arange(19))
    with pytest.raises(TrainingError, match="has 20 t10k images and 19 labels"):
        datasets.load("mnist", folder=tmp_path)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason=f"Debian's dataset-fashion-mnist isn't installed ({DEBIAN})")
def test_debians_fashion_mnist():
    data = datasets.load("fashion_mnist", folder=DEBIAN)
    assert [len(pair.labels) for pair in (data.train, data.val, data.test)] == [55_000, 5_000, 10_000]
    assert count(data.val).tolist() == [500] * 10
    assert data.mean[0] == pytest.approx(0.286, abs=5e-3)  # as published, over all 60,000
    assert data.std[0] == pytest.approx(0.353, abs=5e-3)


# CIFAR


def write_cifar(folder, monkeypatch, kind):
    """CIFAR's pickles, of 20 images a file, with their digests where torchvision looks for the published ones."""
    import torchvision.datasets

    dataset = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}[kind]
    base = folder / dataset.base_folder
    base.mkdir(parents=True)
    classes = 10 if kind == "cifar10" else 2
    key = "labels" if kind == "cifar10" else "fine_labels"

    def write(name, content):
        raw = pickle.dumps(content)
        (base / name).write_bytes(raw)
        return name, hashlib.md5(raw).hexdigest()

    def batch(name):
        labels = np.arange(20) % classes
        # Red rows hold the label, green and blue nothing: the order of channels can be seen.
        pixels = np.zeros((20, 3, 1024), np.uint8)
        pixels[:, 0] = labels[:, None]
        return write(name, {"data": pixels.reshape(20, -1), key: labels.tolist()})

    for split in ("train_list", "test_list"):
        monkeypatch.setattr(dataset, split, [batch(name) for name, _ in getattr(dataset, split)])
    names = [f"class {index}" for index in range(classes)]
    meta_key = dataset.meta["key"]
    name, digest = write(dataset.meta["filename"], {meta_key: names})
    monkeypatch.setattr(dataset, "meta", {"filename": name, "key": meta_key, "md5": digest})
    return base


@pytest.mark.parametrize(("kind", "sizes"), [("cifar10", [90, 10, 20]), ("cifar100", [18, 2, 20])])
def test_cifar(tmp_path, monkeypatch, kind, sizes):
    write_cifar(tmp_path, monkeypatch, kind)
    data = datasets.load(kind, folder=tmp_path)
    assert [len(pair.labels) for pair in (data.train, data.val, data.test)] == sizes
    assert data.train.images.shape[1:] == (3, 32, 32)
    assert torch.equal(data.train.images[:, 0, 5, 5], data.train.labels)
    assert int(data.train.images[:, 1:].max()) == 0
    assert data.classes[1] == "class 1"


def test_cifar_files_that_are_not_the_published_ones_are_never_unpickled(tmp_path, monkeypatch):
    base = write_cifar(tmp_path, monkeypatch, "cifar10")

    class Evil:
        def __reduce__(self):
            return pytest.fail, ("unpickled",)

    (base / "data_batch_3").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(
        TrainingError, match=r"cifar10 isn't complete in .*cifar-10-python\.tar\.gz.*cifar-10-batches-py/"
    ):
        datasets.load("cifar10", folder=tmp_path)


# Folders of images


def write_images(folder, classes=("ant", "bee"), number=20, size=(12, 10)):
    for shade, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for index in range(number):
            Image.new("RGB", size, (100 * shade, index, 7)).save(folder / name / f"{index:03}.png")


def test_a_folder_is_split_by_class(tmp_path):
    write_images(tmp_path)
    data = datasets.load("image_folder", folder=tmp_path, image_size=8)
    assert [len(pair.labels) for pair in (data.train, data.val, data.test)] == [32, 4, 4]
    assert count(data.val).tolist() == count(data.test).tolist() == [2, 2]
    assert data.train.images.shape[1:] == (3, 8, 8)
    assert data.classes == ("ant", "bee")
    assert torch.equal(data.train.images[:, 0, 0, 0] // 100, data.train.labels)


def test_a_folder_with_its_own_splits_keeps_them(tmp_path):
    for name, number in (("train", 6), ("val", 3)):
        write_images(tmp_path / name, number=number)
    data = datasets.load("image_folder", folder=tmp_path, image_size=8, grey=True)
    assert (len(data.train.labels), len(data.val.labels), data.test) == (12, 6, None)
    assert data.train.images.shape[1:] == (1, 8, 8)
    assert data.description["options"] == {"folder": str(tmp_path), "grey": True, "image_size": 8}


def test_a_folder_with_train_and_test_holds_out_val(tmp_path):
    for name in ("train", "test"):
        write_images(tmp_path / name)
    data = datasets.load("image_folder", folder=tmp_path, image_size=8)
    assert [len(pair.labels) for pair in (data.train, data.val, data.test)] == [36, 4, 40]


def test_splits_of_different_classes_are_told(tmp_path):
    write_images(tmp_path / "train")
    write_images(tmp_path / "val", classes=("ant", "cow"))
    with pytest.raises(TrainingError, match="val and train have different classes: bee, cow"):
        datasets.load("image_folder", folder=tmp_path)


def test_a_broken_image_is_named(tmp_path):
    write_images(tmp_path)
    (tmp_path / "bee" / "007.png").write_bytes(b"not an image")
    with pytest.raises(TrainingError, match=r"can't be read: .*bee/007\.png"):
        datasets.load("image_folder", folder=tmp_path)


def test_a_class_too_small_to_split_is_told(tmp_path):
    write_images(tmp_path, number=1)
    with pytest.raises(TrainingError, match="can't be split into train and val"):
        datasets.load("image_folder", folder=tmp_path)


def test_an_empty_class_is_told(tmp_path):
    write_images(tmp_path)
    (tmp_path / "cow").mkdir()
    with pytest.raises(TrainingError, match=r"can't be read: .*cow"):
        datasets.load("image_folder", folder=tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("digit", {}, "'digit' is unknown. Did you mean digits?"),
        ("digits", {"folder": "/x"}, "digits has no option 'folder'. Its options: image_size"),
        ("mnist", {}, "mnist needs folder, e.g. data_dir: /data/mnist"),
        ("image_folder", {"folder": "/no/where"}, "there is no folder /no/where"),
        ("cifar10", {"folder": "/no/where"}, "cifar10 isn't complete in /no/where"),
    ],
)
def test_wrong_names_and_options_are_told(name, options, words):
    with pytest.raises(TrainingError, match=words):
        datasets.load(name, **options)


# Splits and batches


@given(sizes=st.lists(st.integers(5, 30), min_size=2, max_size=5), share=st.integers(1, 4))
def test_hold_out_parts_everything_once_and_always_alike(sizes, share):
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    images = torch.arange(len(labels)).view(-1, 1, 1, 1)
    held = share * len(sizes)
    first, second = hold_out(TensorPair(images, labels), held, "it")
    again, _ = hold_out(TensorPair(images, labels), held, "it")
    assert sorted([*first.images.flatten().tolist(), *second.images.flatten().tolist()]) == list(range(len(labels)))
    assert len(second.labels) == held
    fair = torch.tensor(sizes) * held / sum(sizes)
    assert (torch.bincount(second.labels, minlength=len(sizes)) - fair).abs().max() < 1
    assert torch.equal(first.images, again.images)


@given(
    number=st.integers(1, 40), batch_size=st.integers(1, 50), seed=st.integers(0, 2**31 - 1), epoch=st.integers(1, 9)
)
def test_an_epoch_shows_each_image_at_most_once_in_whole_batches(number, batch_size, seed, epoch):
    pair = TensorPair(torch.arange(number, dtype=torch.uint8).view(-1, 1, 1, 1), torch.arange(number))

    def batches():
        generator = epoch_generator(seed, epoch, CPU)
        return list(training_batches(pair, batch_size, augment="none", generator=generator))

    seen = batches()
    assert len(seen) == steps_per_epoch(number, batch_size)
    assert {len(labels) for _, labels in seen} == {min(number, batch_size)}
    shown = torch.cat([labels for _, labels in seen])
    assert len(shown.unique()) == len(shown)
    assert all(torch.equal(images.flatten().long(), labels) for images, labels in seen)
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(seen, batches(), strict=True))


def test_epochs_and_seeds_differ():
    draws = {
        tuple(torch.randperm(9, generator=epoch_generator(seed, epoch, CPU)).tolist())
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(draws) == 9


# Where the data lies


def test_on_the_cpu_nothing_is_copied(digits):
    assert place(digits.train, CPU) is digits.train


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: where data lies can't be seen")
def test_data_is_on_the_gpu_as_far_as_the_share_allows(digits):
    cuda = torch.device("cuda", 0)
    size = sum(tensor.nbytes for tensor in digits.train)
    total = torch.cuda.mem_get_info(cuda)[1]

    def batches(pair):
        cut = training_batches(pair, 64, augment="crop_flip", generator=epoch_generator(0, 1, cuda), cutout=0.3)
        return [tensor for batch in cut for tensor in batch]

    try:
        torch.cuda.set_per_process_memory_fraction(0.5)
        resident = place(digits.train, cuda)
        torch.cuda.set_per_process_memory_fraction(size / total)  # of which a quarter is too little
        mapped = place(digits.train, cuda)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert {tensor.device for tensor in resident} == {cuda}
    assert mapped is digits.train
    assert all(map(torch.equal, batches(resident), batches(mapped)))
