"""Colour augmentation against torchvision's functions, one factor an image."""

from collections.abc import Callable
from colorsys import rgb_to_hsv

import pytest
import torch
import torchvision.transforms.v2.functional as TF
from torch import Tensor

from trashlite.data.augmentation.colour import ColourJitter, adjust_colour, adjust_hue
from trashlite.errors import UserError


@pytest.fixture
def images() -> Tensor:
    return torch.rand(4, 3, 9, 11, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("brightness", TF.adjust_brightness),
        ("contrast", TF.adjust_contrast),
        ("saturation", TF.adjust_saturation),
    ],
)
def test_factors_equal_torchvision(images: Tensor, name: str, reference: Callable) -> None:
    factors = [0.0, 0.6, 1.0, 1.9]
    expected = torch.stack([reference(image, factor) for image, factor in zip(images, factors, strict=True)])
    actual = adjust_colour(images, **{name: torch.tensor(factors)})
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


def test_factors_together_equal_torchvision_in_turn(images: Tensor) -> None:
    dim = 0.3 + 0.3 * images  # far from 0 and 1, where torchvision clamps between the steps
    expected = TF.adjust_saturation(TF.adjust_contrast(TF.adjust_brightness(dim, 0.9), 1.2), 0.7)
    torch.testing.assert_close(adjust_colour(dim, 0.9, 1.2, 0.7), expected, atol=1e-5, rtol=0)


def test_hue_equals_torchvision(images: Tensor) -> None:
    images[0, :, 0, 0] = torch.tensor([0.5, 0.5, 0.5])
    images[0, :, 0, 1] = torch.tensor([0.0, 0.0, 0.0])
    images[0, :, 0, 2] = torch.tensor([0.7, 0.7, 0.1])
    shifts = [-0.5, -0.1, 0.0, 0.3]
    expected = torch.stack([TF.adjust_hue(image, shift) for image, shift in zip(images, shifts, strict=True)])
    torch.testing.assert_close(adjust_hue(images, torch.tensor(shifts)), expected, atol=1e-5, rtol=0)


def test_hue_turns_red_into_green() -> None:
    red = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
    green = adjust_hue(red, torch.tensor([1 / 3])).flatten()
    torch.testing.assert_close(green, torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=0)


def test_certain_grey_equals_torchvision(images: Tensor) -> None:
    expected = TF.rgb_to_grayscale(images, num_output_channels=3)
    torch.testing.assert_close(ColourJitter(grey=1.0)(images), expected, atol=1e-5, rtol=0)


def test_settings_off_change_nothing(images: Tensor) -> None:
    assert torch.equal(ColourJitter()(images.clone()), images)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_factors_are_uniform_up_to_their_strength(name: str) -> None:
    torch.manual_seed(0)
    image = torch.tensor([[[0.55, 0.45]], [[0.5, 0.4]], [[0.45, 0.35]]])  # two pixels that no factor brings to 0 or 1
    alone = ColourJitter(**{name: 0.3})(image.repeat(500, 1, 1, 1))
    factors = {
        "brightness": lambda images: images.mean((1, 2, 3)) / image.mean(),
        "contrast": lambda images: (images[:, 0, 0, 0] - images[:, 0, 0, 1]) / 0.1,
        "saturation": lambda images: (images[:, 0, 0, 0] - images[:, 2, 0, 0]) / 0.1,
    }[name](alone)
    assert 0.7 - 1e-4 <= factors.min() < 0.71
    assert 1.29 < factors.max() <= 1.3 + 1e-4
    assert factors.mean().item() == pytest.approx(1, abs=0.03)


def test_hue_turns_up_to_its_strength() -> None:
    torch.manual_seed(0)
    red = torch.tensor([0.8, 0.2, 0.2]).reshape(1, 3, 1, 1).repeat(500, 1, 1, 1)
    turned = ColourJitter(hue=0.1)(red).flatten(1).tolist()
    hues = torch.tensor([(rgb_to_hsv(*pixel)[0] + 0.5) % 1 - 0.5 for pixel in turned])
    assert -0.1 - 1e-4 <= hues.min() < -0.098
    assert 0.098 < hues.max() <= 0.1 + 1e-4


def test_each_image_draws_its_own_colours_within_range(images: Tensor) -> None:
    torch.manual_seed(0)
    jittered = ColourJitter(0.9, 0.9, 0.9, 0.5)(images[:1].repeat(4, 1, 1, 1))
    assert jittered.min() >= 0
    assert jittered.max() <= 1
    assert all(not torch.equal(jittered[i], jittered[j]) for i in range(4) for j in range(i))


@pytest.mark.parametrize("setting", [{"brightness": -0.1}, {"contrast": 1.1}, {"hue": 0.6}, {"grey": 2}])
def test_silly_setting_is_named(setting: dict) -> None:
    with pytest.raises(UserError, match=rf"augmentation\.colour\.{next(iter(setting))}"):
        ColourJitter(**setting)
