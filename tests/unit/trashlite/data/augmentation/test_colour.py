"""Colour augmentation against torchvision's functions, one factor an image."""

from collections.abc import Callable

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


def test_brightness_stays_within_its_strength() -> None:
    torch.manual_seed(0)
    levels = ColourJitter(brightness=0.3)(torch.full((300, 3, 2, 2), 0.5))[:, 0, 0, 0]
    assert 0.35 <= levels.min() < 0.37
    assert 0.63 < levels.max() <= 0.65


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
