"""Mixup and CutMix: the target's shares are those of the pixels."""

import pytest
import torch
from torch import Tensor

from trashlite.data.augmentation.mixing import Mixing
from trashlite.errors import UserError

CLASSES = 7


def constant_images(n: int, height: int = 46, width: int = 64) -> tuple[Tensor, Tensor]:
    """Images whose grey level is their class, so that pixels tell how much of which class they hold."""
    target = torch.arange(n) % CLASSES
    return target.float().reshape(n, 1, 1, 1).expand(n, 3, height, width).clone(), target


def mix(mixing: Mixing, images: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    mixed, shares = mixing(images)
    return mixed, shares @ torch.eye(CLASSES)[target]


def expected_level(soft: Tensor) -> Tensor:
    return soft @ torch.arange(CLASSES, dtype=torch.float32)


@pytest.mark.parametrize("settings", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_target_has_the_shares_of_the_pixels(settings: dict) -> None:
    torch.manual_seed(0)
    images, target = constant_images(50)
    mixed, soft = mix(Mixing(**settings), images, target)
    assert soft.shape == (50, CLASSES)
    assert soft.dtype == torch.float32
    torch.testing.assert_close(soft.sum(1), torch.ones(50))
    torch.testing.assert_close(mixed.mean((1, 2, 3)), expected_level(soft), atol=1e-4, rtol=0)
    assert (soft > 0).sum(1).max() == 2


def test_mixup_is_the_same_everywhere_in_an_image_but_not_in_the_batch() -> None:
    torch.manual_seed(0)
    images, target = constant_images(50)
    mixed, soft = mix(Mixing(mixup=1.0), images, target)
    torch.testing.assert_close(mixed.amax((1, 2, 3)), mixed.amin((1, 2, 3)))
    assert len(soft.amax(1).unique()) > 30


def test_cutmix_share_is_exactly_the_area_pasted() -> None:
    torch.manual_seed(0)
    images, target = constant_images(50)
    mixed, soft = mix(Mixing(cutmix=1.0), images, target)
    assert torch.isin(mixed, torch.arange(CLASSES).float()).all()
    for number in range(CLASSES):
        pixels = (mixed[:, 0] == number).sum((1, 2))
        assert torch.equal((soft[:, number] * 46 * 64).round().long(), pixels)


def test_both_are_drawn_for_each_image() -> None:
    torch.manual_seed(0)
    images, target = constant_images(200)
    mixed, soft = mix(Mixing(mixup=1.0, cutmix=1.0), images, target)
    two = (soft > 0).sum(1) == 2
    flat = (mixed.amax((1, 2, 3)) - mixed.amin((1, 2, 3))) < 1e-5
    assert 50 < (two & flat).sum() < 120
    assert 50 < (two & ~flat).sum() < 120


def test_small_alpha_mixes_little() -> None:
    torch.manual_seed(0)
    images, target = constant_images(500, 8, 8)
    weak = mix(Mixing(mixup=0.1), images, target)[1].amax(1).mean()
    strong = mix(Mixing(mixup=10.0), images, target)[1].amax(1).mean()
    assert weak > 0.9
    assert strong < 0.75


def test_probability_is_the_share_of_images_mixed() -> None:
    torch.manual_seed(0)
    images, target = constant_images(400, 8, 8)
    soft = mix(Mixing(mixup=1.0, probability=0.25), images, target)[1]
    assert 50 < (soft.amax(1) < 1).sum() < 120


def test_off_changes_nothing() -> None:
    images, _ = constant_images(4)
    mixed, shares = Mixing()(images)
    assert not Mixing().is_on
    assert torch.equal(mixed, images)
    assert torch.equal(shares, torch.eye(4))


def test_batch_of_one_mixes_with_itself() -> None:
    images, target = torch.rand(1, 3, 8, 8), torch.tensor([2])
    mixed, soft = mix(Mixing(mixup=1.0, cutmix=1.0), images, target)
    torch.testing.assert_close(mixed, images)
    torch.testing.assert_close(soft, torch.eye(CLASSES)[target])


@pytest.mark.parametrize("setting", [{"mixup": -0.2}, {"cutmix": -1}, {"probability": 1.2}])
def test_silly_setting_is_named(setting: dict) -> None:
    with pytest.raises(UserError, match=rf"augmentation\.mixing\.{next(iter(setting))}"):
        Mixing(**setting)
