"""Geometric augmentation against exact flips, turns and shifts, and torchvision's affine."""

import math

import pytest
import torch
import torchvision.transforms.v2.functional as TF
from torch import Tensor

from trashlite.data.augmentation.geometry import (
    RandomGeometry,
    resample,
    rotation,
    scaling,
    shearing,
    translation,
)
from trashlite.errors import UserError


@pytest.fixture
def images() -> Tensor:
    return torch.rand(5, 3, 16, 24, generator=torch.Generator().manual_seed(0))


def repeat(value: float, n: int = 5) -> Tensor:
    return torch.full((n,), value)


def smooth_images(height: int, width: int) -> Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 4, width), indexing="ij")
    return torch.stack([x.sin(), y.cos(), (x * y).sin()]).abs().expand(5, 3, height, width).clone()


def test_settings_off_change_nothing(images: Tensor) -> None:
    assert torch.equal(RandomGeometry()(images.clone()), images)


@pytest.mark.parametrize(
    ("flips", "dims"), [({"hflip": 1}, [3]), ({"vflip": 1}, [2]), ({"hflip": 1, "vflip": 1}, [2, 3])]
)
def test_certain_flip_is_exact(images: Tensor, flips: dict, dims: list[int]) -> None:
    assert torch.equal(RandomGeometry(**flips)(images.clone()), images.flip(dims))


def test_each_image_draws_its_own_flip(images: Tensor) -> None:
    torch.manual_seed(0)
    many = images[:1].repeat(200, 1, 1, 1)
    flipped = (RandomGeometry(hflip=0.5)(many.clone()) == many.flip(3)).flatten(1).all(1)
    assert 70 < flipped.sum() < 130


def test_flip_joins_a_warp(images: Tensor) -> None:
    shift = translation(repeat(2), repeat(0))
    mirror = scaling(repeat(-1), repeat(1))
    torch.testing.assert_close(resample(images.clone(), shift @ mirror), resample(images, shift).flip(3))


def test_quarter_turn_equals_rot90() -> None:
    square = torch.rand(5, 3, 16, 16)
    turned = resample(square.clone(), rotation(repeat(math.pi / 2)))
    torch.testing.assert_close(turned, square.rot90(1, (2, 3)), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("x", "y"), [(3, 0), (0, -2), (-5, 4)])
def test_integer_translation_equals_shift(images: Tensor, x: int, y: int) -> None:
    moved = resample(images.clone(), translation(repeat(x), repeat(y)))
    rows, columns = slice(max(y, 0), 16 + min(y, 0)), slice(max(x, 0), 24 + min(x, 0))
    expected = images.roll((y, x), (2, 3))
    torch.testing.assert_close(moved[..., rows, columns], expected[..., rows, columns], atol=1e-5, rtol=0)


def test_outside_is_the_reflection(images: Tensor) -> None:
    moved = resample(images.clone(), translation(repeat(3), repeat(0)))
    torch.testing.assert_close(moved[..., :3], images[..., :3].flip(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(32, 32), (46, 64)])
def test_rotation_and_shear_equal_torchvision_inside(size: tuple[int, int]) -> None:
    images = smooth_images(*size)
    inside = (..., slice(12, size[0] - 12), slice(12, size[1] - 12))
    turned = resample(images.clone(), rotation(repeat(math.radians(20))))
    expected = TF.rotate(images, 20, interpolation=TF.InterpolationMode.BILINEAR)
    torch.testing.assert_close(turned[inside], expected[inside], atol=1e-4, rtol=0)
    sheared = resample(images.clone(), shearing(repeat(math.tan(math.radians(15))), repeat(0)))
    expected = TF.affine(images, 0, [0, 0], 1, [15, 0], interpolation=TF.InterpolationMode.BILINEAR)
    torch.testing.assert_close(sheared[inside], expected[inside], atol=1e-4, rtol=0)


def test_half_window_equals_upsampled_centre(images: Tensor) -> None:
    zoomed = resample(images.clone(), scaling(repeat(0.5), repeat(0.5)))
    centre = TF.resize(images[..., 4:12, 6:18], [16, 24], antialias=False)
    # A resize repeats the crop's edge where the window sees beyond it.
    torch.testing.assert_close(zoomed[..., 1:-1, 1:-1], centre[..., 1:-1, 1:-1], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("area", "ratio"), [(0.25, 1.0), (0.5, 4.0), (0.3, 10.0)])
def test_crop_shows_the_area_drawn_and_stays_inside(area: float, ratio: float) -> None:
    torch.manual_seed(1)
    images = torch.zeros(200, 3, 20, 30)
    crops = RandomGeometry(min_crop_area=area, max_crop_ratio=ratio)._draw_crop(images)
    width, height = crops[:, 0, 0], crops[:, 1, 1]
    shares = width * height
    assert shares.min() >= area - 1e-6
    assert shares.min() < area + 0.1
    assert shares.max() > 0.9
    change = torch.maximum(width / height, height / width)
    assert change.max() <= ratio + 1e-5
    assert change.max() > 0.8 * min(ratio, 1 / area)  # beyond it no rectangle of the area would fit
    assert (crops[:, 0, 2].abs() <= (1 - width) * 15 + 1e-5).all()
    assert (crops[:, 1, 2].abs() <= (1 - height) * 10 + 1e-5).all()


def draw(**settings: float) -> Tensor:
    torch.manual_seed(0)
    return RandomGeometry(**settings)._draw(torch.zeros(2000, 3, 20, 40))


def assert_uniform(values: Tensor, low: float, high: float) -> None:
    room = (high - low) / 100
    assert low - 1e-4 <= values.min() < low + room
    assert high - room < values.max() <= high + 1e-4
    assert values.mean().item() == pytest.approx((low + high) / 2, abs=5 * room)


def test_each_warp_is_uniform_up_to_its_strength() -> None:
    turn = draw(rotate=25)
    assert_uniform(torch.atan2(turn[:, 1, 0], turn[:, 0, 0]).rad2deg(), -25, 25)
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(2000))
    window = draw(scale=0.5)
    assert torch.equal(window[:, 0, 0], window[:, 1, 1])
    assert_uniform(1 / window[:, 0, 0], 0.5, 1.5)
    shift = draw(translate=0.25)
    assert_uniform(shift[:, 0, 2], -10, 10)  # of 40 columns
    assert_uniform(shift[:, 1, 2], -5, 5)  # of 20 rows
    shear = draw(shear=30)[:, [0, 1], [1, 0]].atan().rad2deg()
    assert_uniform(shear[:, 0], -30, 30)
    assert_uniform(shear[:, 1], -30, 30)
    assert abs(torch.corrcoef(shear.T)[0, 1]) < 0.1


def test_probability_is_the_share_of_images_warped(images: Tensor) -> None:
    torch.manual_seed(0)
    many = images[:1].repeat(200, 1, 1, 1)
    changed = (RandomGeometry(probability=0.25, rotate=30)(many.clone()) != many).flatten(1).any(1)
    assert 30 < changed.sum() < 70


def test_each_image_draws_its_own_warp(images: Tensor) -> None:
    torch.manual_seed(0)
    warped = RandomGeometry(rotate=20, translate=0.1, scale=0.1, shear=5)(images[:1].repeat(4, 1, 1, 1))
    assert all(not torch.equal(warped[i], warped[j]) for i in range(4) for j in range(i))


@pytest.mark.parametrize(
    "setting",
    [
        {"hflip": 1.5},
        {"vflip": -0.1},
        {"probability": float("nan")},
        {"min_crop_area": 0.0},
        {"max_crop_ratio": 0.5},
        {"rotate": -10},
        {"translate": 2},
        {"scale": 1.0},
        {"shear": "strong"},
    ],
)
def test_silly_setting_is_named(setting: dict) -> None:
    with pytest.raises(UserError, match=rf"augmentation\.geometry\.{next(iter(setting))} .*choose a number"):
        RandomGeometry(**setting)
