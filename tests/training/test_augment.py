"""Augmentation: what each does to a whole batch, and that generator and images alone decide it."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sweep.training.augment import augmented, crop, cutmix, cutout, flip, mixup
from sweep.training.batches import epoch_generator

CPU = torch.device("cpu")
SEEDS = st.integers(0, 2**31 - 1)
SHAPES = st.tuples(st.integers(1, 6), st.sampled_from([1, 3]), st.integers(1, 12), st.integers(1, 12))
ALPHAS = st.floats(0.05, 5)

EACH = {
    "crop": partial(crop, most=3),
    "flip": flip,
    "cutout": partial(cutout, part=0.4),
    "mixup": partial(mixup, labels=torch.arange(16), alpha=0.4),
    "cutmix": partial(cutmix, labels=torch.arange(16), alpha=0.4),
}


def generator(seed):
    return epoch_generator(seed, 1, CPU)


def results(augment, images, seed):
    found = augment(images, generator=generator(seed))
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize("name", EACH)
def test_the_generator_alone_decides(name):
    images = torch.rand(16, 3, 16, 16)
    before = images.clone()
    first = results(EACH[name], images, 3)
    torch.rand(5)  # what the process draws besides doesn't matter
    again, other = results(EACH[name], images, 3), results(EACH[name], images, 4)
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[0], other[0])
    assert first[0].shape == images.shape
    assert torch.equal(images, before)  # nothing is written into what may be mapped


@pytest.mark.parametrize("shape", [(64, 1, 8, 8), (64, 3, 32, 32)])
def test_a_crop_moves_the_whole_image_and_fills_with_black(shape):
    images = torch.zeros(shape, dtype=torch.uint8)
    size, most = shape[-1], shape[-1] // 8
    images[:, :, size // 2, size // 2] = torch.arange(1, shape[1] + 1, dtype=torch.uint8)
    moved = augmented(images, "crop", generator(0))
    assert moved.shape == images.shape
    assert torch.equal(moved.sum(dim=(2, 3)), images.sum(dim=(2, 3)))  # each channel kept its one pixel
    _, rows, columns = (moved[:, 0] == 1).nonzero().unbind(1)
    assert len(rows) == shape[0]
    assert (rows != columns).any()  # drawn apart
    for places in (rows, columns):
        assert {int(place) - size // 2 for place in places} == set(range(-most, most + 1))


def test_a_flip_mirrors_about_half():
    images = torch.zeros(400, 1, 8, 8, dtype=torch.uint8)
    images[..., 0] = 1  # after a move by at most one pixel still on its side
    images[..., 1] = 1
    flipped = augmented(images, "crop_flip", generator(0))
    right = (flipped[:, 0, 4, 5:].sum(dim=1) > 0).float().mean().item()
    assert 0.4 < right < 0.6


def test_no_augmentation_is_none():
    images = torch.zeros(2, 1, 8, 8)
    assert augmented(images, "none", generator(0)) is images


@given(shape=SHAPES, part=st.floats(0.01, 1), seed=SEEDS)
def test_a_cutout_hides_one_square_and_nothing_else(shape, part, seed):
    images = torch.randint(1, 256, shape, dtype=torch.uint8)
    hidden = cutout(images, part, generator(seed)) != images
    assert torch.equal(hidden.all(dim=1), hidden.any(dim=1))  # all channels alike
    sides = [max(1, round(part * size)) for size in shape[2:]]
    for image in hidden[:, 0]:
        rows, columns = image.any(dim=1).nonzero().flatten(), image.any(dim=0).nonzero().flatten()
        assert image.sum() == len(rows) * len(columns)  # a rectangle
        for places, side, size in zip((rows, columns), sides, shape[2:], strict=True):
            assert len(places) == places[-1] - places[0] + 1  # without gaps
            reaches_over = places[0] == 0 or places[-1] == size - 1
            assert len(places) == side or (reaches_over and (side + 1) // 2 <= len(places) < side)


def test_a_cutout_falls_anywhere():
    hidden = cutout(torch.ones(400, 1, 8, 8), 0.25, generator(0)) == 0
    assert hidden.any(dim=0).all()
    assert not hidden.all(dim=0).any()


@given(shape=SHAPES, alpha=ALPHAS, seed=SEEDS)
def test_mixup_lies_between_its_two_images(shape, alpha, seed):
    images, labels = torch.randn(shape), torch.arange(shape[0])
    mixed, mine, others, weight = mixup(images, labels, alpha, generator(seed))
    assert 0 <= weight <= 1
    assert weight.ndim == 0
    assert torch.equal(mine, labels)
    assert sorted(others.tolist()) == labels.tolist()  # each is somebody's partner once
    assert torch.allclose(mixed, weight * images + (1 - weight) * images[others], atol=1e-6)


@given(shape=SHAPES, alpha=ALPHAS, seed=SEEDS)
def test_cutmix_weighs_by_the_pixels_it_keeps(shape, alpha, seed):
    labels = torch.arange(shape[0])
    images = labels.float().view(-1, 1, 1, 1).expand(shape)  # each is filled with its number
    mixed, mine, others, weight = cutmix(images, labels, alpha, generator(seed))
    assert torch.equal(mine, labels)
    for image, label, other, kept in zip(mixed, labels, others, weight, strict=True):
        assert set(image.unique().tolist()) <= {float(label), float(other)}
        if label != other:
            assert (image == label).float().mean().item() == pytest.approx(kept.item(), abs=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_weight_is_from_a_beta_distribution(alpha):
    draw = generator(0)
    weights = torch.stack([mixup(torch.zeros(1, 1, 1, 1), torch.zeros(1), alpha, draw)[-1] for _ in range(3000)])
    assert weights.mean().item() == pytest.approx(0.5, abs=0.03)
    assert weights.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_mixup_keeps_the_type_of_its_images():
    assert mixup(torch.zeros(2, 1, 4, 4, dtype=torch.bfloat16), torch.arange(2), 1.0, generator(0))[0].dtype == (
        torch.bfloat16
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: that nothing waits for it can't be seen")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("name", EACH)
def test_on_cuda_nothing_waits_for_the_device(name):
    images, labels = torch.rand(16, 3, 16, 16, device="cuda"), torch.arange(16, device="cuda")
    draw = torch.Generator("cuda").manual_seed(0)
    more = {"labels": labels} if name in ("mixup", "cutmix") else {}
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = EACH[name](images, generator=draw, **more)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert (found[0] if more else found).device.type == "cuda"
