"""Random erasing: where, how much, with what."""

import pytest
import torch
from torch import Tensor

from trashlite.data.augmentation.draws import draw_rectangle_mask
from trashlite.data.augmentation.erasing import RandomErasing
from trashlite.errors import UserError


def bounding_box_area(mask: Tensor) -> int:
    rows, columns = mask.any(1).sum().item(), mask.any(0).sum().item()
    return int(rows * columns)


@pytest.mark.parametrize("size", [(64, 64), (46, 64)])
def test_erases_one_rectangle_of_the_area_wanted(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    images = torch.full((100, 3, *size), -1.0)  # no colour painted can be equal
    erased = RandomErasing(1.0, min_area=0.1, max_area=0.3, max_ratio=3.0)(images.clone())
    changed = (erased != images).all(1)
    assert torch.equal(changed, (erased != images).any(1))
    shares = changed.float().mean((1, 2))
    # Sides are rounded to whole pixels: at most half a pixel on each.
    assert 0.08 < shares.min() < 0.14
    assert 0.26 < shares.max() < 0.32
    assert all(mask.sum() == bounding_box_area(mask) for mask in changed)
    ratio = changed.any(1).float().mean(1) / changed.any(2).float().mean(1)
    assert 2 < ratio.max() < 3.4
    assert 2 < 1 / ratio.min() < 3.4


def test_fill_is_one_colour_an_image() -> None:
    torch.manual_seed(0)
    images = torch.full((10, 3, 16, 16), -1.0)
    erased = RandomErasing(1.0, 0.2, 0.2)(images.clone())
    colours = {tuple(image[:, image[0] >= 0].unique(dim=1).flatten().tolist()) for image in erased}
    assert len(colours) == 10
    assert all(len(colour) == 3 for colour in colours)


def test_mean_fill_is_the_images_own_colour() -> None:
    images = torch.rand(4, 3, 8, 8)
    erased = RandomErasing(1.0, 1.0, 1.0, fill="mean")(images.clone())
    torch.testing.assert_close(erased, images.mean((2, 3), keepdim=True).expand_as(images))


def test_probability_is_the_share_of_images() -> None:
    torch.manual_seed(0)
    images = torch.full((400, 3, 8, 8), -1.0)
    erased = (RandomErasing(0.25, 0.1, 0.3)(images.clone()) != images).flatten(1).any(1)
    assert 70 < erased.sum() < 130
    assert torch.equal(RandomErasing()(images.clone()), images)


def test_rectangle_has_the_area_and_ratio_drawn_and_reaches_every_place() -> None:
    torch.manual_seed(0)
    images = torch.zeros(2000, 3, 20, 40)
    mask = draw_rectangle_mask(images, torch.full((2000,), 0.04), torch.full((2000,), 4.0))[:, 0]
    # Height 0.1 of 20 rows, width 0.4 of 40 columns.
    assert (mask.any(2).sum(1) == 2).all()
    assert (mask.any(1).sum(1) == 16).all()
    assert mask.any(0).all()


def test_area_wins_over_a_ratio_that_does_not_fit() -> None:
    mask = draw_rectangle_mask(torch.zeros(1, 3, 10, 10), torch.tensor([0.5]), torch.tensor([10.0]))
    assert mask.sum() == 50


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ({"probability": 1.01}, "probability"),
        ({"min_area": -0.1}, "min_area"),
        ({"min_area": 0.5, "max_area": 0.2}, "max_area"),
        ({"max_ratio": 0.3}, "max_ratio"),
        ({"fill": "black"}, "fill .*random, mean"),
    ],
)
def test_silly_setting_is_named(setting: dict, name: str) -> None:
    with pytest.raises(UserError, match=rf"augmentation\.erasing\.{name}"):
        RandomErasing(**setting)
