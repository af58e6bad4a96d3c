"""Models: their shapes, their options, and what is told when sizes don't fit."""

import pytest
import torch

from sweep.errors import TrainingError
from sweep.training import models


@pytest.mark.parametrize(
    ("name", "channels", "size", "options"),
    [
        ("simplenet", 1, 28, {}),
        ("simplenet", 3, 8, {"hidden": 7, "dropout": 0.5}),
        ("vit_tiny", 1, 8, {}),
        ("vit_tiny", 3, 12, {"patch_size": 3, "dim": 12, "depth": 1, "heads": 3, "mlp_ratio": 0.5, "dropout": 0.1}),
        ("resnet18", 3, 32, {}),
        ("resnet18", 1, 8, {}),
        ("resnet18", 1, 8, {"small_stem": True, "dropout": 0.2}),
        ("vit_b_32", 3, 32, {}),
        ("vit_b_32", 1, 64, {"dropout": 0.1}),
    ],
)
def test_logits_of_every_class(name, channels, size, options):
    with torch.device("meta"):  # shapes need no numbers
        model = models.build(name, 5, channels, size, **options)
        assert model(torch.zeros(2, channels, size, size)).shape == (2, 5)


def test_simplenet_is_784_512_10():
    model = models.build("simplenet", num_classes=10, in_channels=1, image_size=28)
    shapes = [tuple(parameter.shape) for parameter in model.parameters()]
    assert shapes == [(512, 784), (512,), (10, 512), (10,)]


def test_vit_tiny_has_sixteen_tokens_unless_told():
    assert models.build("vit_tiny", 10, 1, 8).positions.shape == (1, 16, 64)
    assert models.build("vit_tiny", 10, 1, 8, patch_size=4).positions.shape == (1, 4, 64)


def test_vit_tiny_sees_where_patches_are():
    torch.manual_seed(0)
    model = models.build("vit_tiny", 10, 1, 8).eval()
    image = torch.rand(1, 1, 8, 8)
    with torch.no_grad():
        difference = (model(image) - model(image.roll(2, -1))).abs().max()
    assert difference > 1e-3


@pytest.mark.parametrize("name", ["simplenet", "vit_tiny"])
def test_dropout_reaches_the_model(name):
    torch.manual_seed(0)
    model = models.build(name, 10, 1, 8, dropout=0.5).train()
    images = torch.rand(2, 1, 8, 8)
    assert not torch.equal(model(images), model(images))


def test_dropout_of_a_resnet_is_before_its_last_layer():
    with torch.device("meta"):
        model = models.build("resnet18", 10, 1, 8, dropout=0.5)
    assert model.fc[0].p == 0.5


def test_a_small_stem_keeps_all_pixels():
    with torch.device("meta"):
        small, usual = (models.build("resnet18", 10, 1, 8, small_stem=small) for small in (True, False))
        sizes = [model.maxpool(model.conv1(torch.zeros(1, 1, 8, 8))).shape[-1] for model in (small, usual)]
    assert sizes == [8, 2]


def test_fresh_weights_follow_the_seed():
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(models.build("vit_tiny", 10, 1, 8).head.weight)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("vit_tinny", {}, "'vit_tinny' is unknown. Did you mean vit_tiny?"),
        ("resnet19", {}, "'resnet19' is unknown. Did you mean resnet"),
        ("simplenet", {"depth": 2}, "simplenet has no option 'depth'. Its options: hidden, dropout"),
        ("vit_tiny", {"head": 2}, "vit_tiny has no option 'head'. Did you mean heads?"),
        ("resnet18", {"hidden": 2}, "resnet18 has no option 'hidden'"),
        ("vit_b_32", {"small_stem": True}, "vit_b_32 has no option 'small_stem'"),
        ("vit_tiny", {"patch_size": 3}, "patch_size 3 doesn't divide the image's 8 pixels"),
        ("vit_tiny", {"dim": 64, "heads": 3}, "heads 3 doesn't divide dim 64. Choose values of dim"),
        ("vit_b_32", {}, "8 pixels are no multiple of its patches' 32. Set image_size, or use vit_tiny"),
    ],
)
def test_what_does_not_fit_is_told(name, options, words):
    with pytest.raises(TrainingError, match=words):
        models.build(name, 10, 1, 8, **options)


def test_torchvisions_families_are_known():
    assert {"simplenet", "vit_tiny", "resnet18", "resnet50", "vit_b_16"} <= set(models.names())
