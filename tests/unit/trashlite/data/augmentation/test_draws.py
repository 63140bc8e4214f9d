"""Keyed draws: a good generator, and an image's own whatever the batch and the resolution."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from scipy.stats import kstest
from torch import Tensor

from trashlite.data.augmentation import BatchAugmentation, ColourJitter, Mixing, RandomErasing, RandomGeometry
from trashlite.data.augmentation.draws import (
    draw_chance,
    draw_integers,
    draw_unit,
    draws_for,
    image_keys,
    keyed_draws,
    random_bits,
)

CONF = Path(__file__).parents[5] / "conf"
POLICIES = sorted(path.stem for path in (CONF / "augmentation").glob("*.yaml"))
GEOMETRY = {
    "hflip": 0.5,
    "vflip": 0.5,
    "min_crop_area": 0.4,
    "max_crop_ratio": 1.3,
    "rotate": 25,
    "translate": 0.15,
    "scale": 0.2,
    "shear": 8,
}


def build(name: str, *overrides: str) -> BatchAugmentation:
    with initialize_config_dir(str(CONF), version_base=None):
        return instantiate(compose(overrides=[f"+augmentation={name}", *overrides]).augmentation)


def keys_of(rows: Tensor, view: int = 3, seed: int = 42) -> Tensor:
    return image_keys(seed, torch.full_like(rows, view), rows)


def show(augmentation: BatchAugmentation, images: Tensor, keys: Tensor) -> Tensor:
    with keyed_draws(keys):
        return augmentation(images)


def smooth_images(n: int, height: int, width: int) -> Tensor:
    """Waves of at most two periods over the image, sampled at the pixels' centres."""
    y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
    waves = [torch.sin(6 * x + number) * torch.cos(5 * y - number) for number in range(3 * n)]
    return 0.5 + 0.4 * torch.stack(waves).view(n, 3, height, width)


@pytest.mark.parametrize(
    ("seed", "first"),
    [  # from the public-domain C code at https://prng.di.unimi.it/splitmix64.c
        (1234567, [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]),
        (0, [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]),
    ],
)
def test_bits_are_those_of_splitmix64(seed: int, first: list[int]) -> None:
    bits = random_bits(torch.tensor([seed]), torch.arange(len(first)))
    assert [value % 2**64 for value in bits.tolist()] == first


def test_numbers_are_uniform_and_independent() -> None:
    views, rows, draws = 20, 100, 30
    keys = image_keys(0, torch.arange(views).repeat_interleave(rows), torch.arange(rows).repeat(views))
    assert len(keys.unique()) == views * rows
    with keyed_draws(keys):
        numbers = torch.stack([draw_unit(keys) for _ in range(draws)], 1).double()
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert kstest(numbers.flatten().numpy(), "uniform").pvalue > 0.01
    assert numbers.mean() == pytest.approx(0.5, abs=4 * np.sqrt(1 / 12 / numbers.numel()))
    assert numbers.var() == pytest.approx(1 / 12, abs=0.001)
    centred = (numbers - 0.5).view(views, rows, draws) * np.sqrt(12)
    for one, other in (
        (centred[..., 1:], centred[..., :-1]),  # draws of an image
        (centred[:, 1:], centred[:, :-1]),  # images of a view
        (centred[1:], centred[:-1]),  # views of an image
    ):
        assert (one * other).mean().abs() < 4 / np.sqrt(one.numel())


def test_numbers_do_not_depend_on_how_many_are_drawn_at_a_time() -> None:
    keys = keys_of(torch.arange(5))
    with keyed_draws(keys):
        whole = draw_unit(keys, 150)
    with keyed_draws(keys):
        parts = [draw_unit(keys, count) for count in (1, 20, 12, 30, 2, 85)]
    assert torch.equal(torch.cat(parts, 1), whole)
    assert all(len(numbers.unique()) == 150 for numbers in whole)


def test_seed_view_and_row_each_give_another_key() -> None:
    row, view = torch.arange(50), torch.zeros(50, dtype=torch.int64)
    keys = torch.cat([image_keys(seed, view + number, row) for seed in (0, 1) for number in (0, 1)])
    assert len(keys.unique()) == 200
    assert torch.equal(image_keys(1, view, row), keys[100:150])


def test_integers_and_chances_have_their_shares() -> None:
    keys = keys_of(torch.arange(3000))
    with keyed_draws(keys):
        integers, chance = draw_integers(keys, 14, 2), draw_chance(keys, 0.2)
    counts = integers.flatten().bincount(minlength=14)
    assert len(counts) == 14
    assert counts.min() > 0.8 * 6000 / 14
    assert chance.float().mean() == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("name", POLICIES)
def test_an_image_is_the_same_in_any_batch(name: str) -> None:
    augmentation = build(name, "augmentation.colour.hue=0.1")
    images, rows = torch.rand(24, 3, 20, 28), torch.arange(24)
    whole = show(augmentation, images, keys_of(rows))
    for some in (torch.tensor([5]), torch.arange(23, 3, -2)):
        torch.testing.assert_close(show(augmentation, images[some], keys_of(rows[some])), whole[some])
    other = show(augmentation, images, keys_of(rows, view=4))
    changed = (other - whole).abs().amax((1, 2, 3)) > 0.01
    assert changed.sum() > 15


def test_what_follows_does_not_depend_on_who_was_chosen() -> None:
    keys = keys_of(torch.arange(6))
    later, inside = [], []
    for chosen in (torch.tensor([], dtype=torch.int64), torch.tensor([1, 4]), torch.tensor([4])):
        with keyed_draws(keys):
            draw_unit(keys)
            with draws_for(chosen):
                inside.append([draw_unit(chosen) for _ in range(3)])
            later.append(draw_unit(keys))
    assert torch.equal(later[0], later[1])
    assert torch.equal(later[0], later[2])
    assert all(torch.equal(two[1:], one) for two, one in zip(inside[1], inside[2], strict=True))


def test_the_global_generator_is_left_alone_and_comes_back() -> None:
    augmentation = build("mixup_cutmix", "augmentation.erasing.probability=0.5")
    images, rows = torch.rand(8, 3, 16, 16), torch.arange(8)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = show(augmentation, images, keys_of(rows))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(show(augmentation, images, keys_of(rows)), first)
    assert not torch.equal(augmentation(images), first)


def test_a_view_shows_the_same_at_any_resolution() -> None:
    keys = keys_of(torch.arange(40))
    augmentation = BatchAugmentation(
        geometry=RandomGeometry(**GEOMETRY), colour=ColourJitter(0.2, 0.2, 0.2, hue=0.1), erasing=RandomErasing(0.5)
    )
    small = show(augmentation, smooth_images(40, 24, 32), keys)
    large = F.avg_pool2d(show(augmentation, smooth_images(40, 96, 128), keys), 4)
    difference = (small - large).abs()
    # The rectangle's edge may be a pixel of the small image off.
    assert difference.median() < 0.005
    assert difference.flatten(1).quantile(0.9, dim=1).max() < 0.05
    apart = (small - large.roll(1, 0)).abs()
    assert apart.flatten(1).quantile(0.9, dim=1).min() > 0.1


def test_geometry_is_the_same_at_any_resolution() -> None:
    keys = keys_of(torch.arange(40))
    augmentation = BatchAugmentation(geometry=RandomGeometry(**GEOMETRY))
    small = show(augmentation, smooth_images(40, 24, 32), keys)
    large = F.avg_pool2d(show(augmentation, smooth_images(40, 96, 128), keys), 4)
    torch.testing.assert_close(small, large, atol=0.03, rtol=0)


def test_mixing_is_the_same_at_any_resolution() -> None:
    keys = keys_of(torch.arange(30))
    labels = []
    for size in (16, 64):
        with keyed_draws(keys):
            mixed = Mixing(mixup=0.5, cutmix=1.0)(torch.rand(30, 3, size, size))[1]
        labels.append(mixed)
    torch.testing.assert_close(labels[0], labels[1], atol=0.07, rtol=0)  # the same partners; a row of 16 pixels
    assert (labels[0].amax(1) < 1).sum() > 20
