"""The RandAugment policy, each operation against torchvision's on 8-bit values."""

import math
from collections.abc import Callable

import pytest
import torch
import torchvision.transforms.v2.functional as TF
from torch import Tensor

from trashlite.data.augmentation.geometry import resample, rotation
from trashlite.data.augmentation.policy import DEFAULT, GEOMETRIC, PIXEL, RandAugment
from trashlite.errors import UserError

BYTE = 1 / 255


@pytest.fixture
def raw() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    # A narrow range of values, different in each image, gives autocontrast and equalize something to do.
    return torch.stack([torch.randint(30 * i, 250 - 20 * i, (3, 12, 10), generator=generator) for i in range(1, 4)]).to(
        torch.uint8
    )


def apply(policy: RandAugment, images: Tensor) -> Tensor:
    return policy.recolour(images.clone(), policy.draw(images))


REFERENCES = [
    ("posterize", 5, lambda image: TF.posterize(image, 6)),
    ("posterize", 9, lambda image: TF.posterize(image, 4)),
    ("solarize", 5, lambda image: TF.solarize(image, 127.5)),
    ("autocontrast", 5, TF.autocontrast),
    ("equalize", 5, TF.equalize),
    ("invert", 5, TF.invert),
    ("identity", 5, lambda image: image),
]


@pytest.mark.parametrize(("name", "magnitude", "reference"), REFERENCES)
def test_unsigned_operation_equals_torchvision(raw: Tensor, name: str, magnitude: int, reference: Callable) -> None:
    actual = apply(RandAugment(1, magnitude, [name]), raw / 255)
    expected = torch.stack([reference(image) for image in raw]) / 255
    torch.testing.assert_close(actual, expected, atol=1.01 * BYTE, rtol=0)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("brightness", TF.adjust_brightness),
        ("contrast", TF.adjust_contrast),
        ("color", TF.adjust_saturation),
        ("sharpness", TF.adjust_sharpness),
    ],
)
def test_signed_operation_equals_torchvision(raw: Tensor, name: str, reference) -> None:
    levels = torch.tensor([0.5, -0.5, 1.0])  # the first and the last leave 0 to 1, to be clamped
    actual = PIXEL[name](raw / 255, levels)
    expected = torch.stack(
        [reference(image, 1 + 0.9 * level) for image, level in zip(raw / 255, levels.tolist(), strict=True)]
    )
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


def test_geometric_operations_of_all_rounds_add_up() -> None:
    images = torch.zeros(50, 3, 20, 40)
    policy = RandAugment(2, 10, ["rotate"])
    torch.manual_seed(0)
    drawn = policy.draw(images)
    turns = drawn.level.sum(1) * math.radians(30)
    assert set(turns.sign().tolist()) == {-1.0, 0.0, 1.0}
    torch.testing.assert_close(policy.warp(images, drawn), rotation(turns))


@pytest.mark.parametrize(
    ("name", "affine"),
    [
        ("rotate", lambda level: {"angle": -30 * level}),  # torchvision's affine turns clockwise
        ("shear_x", lambda level: {"shear": [math.degrees(math.atan(0.3 * level)), 0]}),
        ("shear_y", lambda level: {"shear": [0, math.degrees(math.atan(0.3 * level))]}),
        ("translate_x", lambda level: {"translate": [0.45 * 48 * level, 0]}),
        ("translate_y", lambda level: {"translate": [0, 0.45 * 36 * level]}),
    ],
)
def test_geometric_operation_equals_torchvision_inside(name: str, affine: Callable) -> None:
    y, x = torch.meshgrid(torch.linspace(0, 3, 36), torch.linspace(0, 4, 48), indexing="ij")
    images = torch.stack([x.sin(), y.cos(), (x * y).sin()]).abs().repeat(6, 1, 1, 1)
    policy = RandAugment(1, 10 / 3, [name])
    torch.manual_seed(0)
    drawn = policy.draw(images)
    levels = drawn.level[:, 0].tolist()
    assert {round(level, 4) for level in levels} == {-0.3333, 0.3333}
    still = {"angle": 0, "translate": [0, 0], "scale": 1, "shear": [0, 0]}
    expected = torch.stack(
        [TF.affine(image, **still | affine(level), interpolation=TF.InterpolationMode.BILINEAR)
         for image, level in zip(images, levels, strict=True)]
    )  # fmt: skip
    inside = (..., slice(10, -10), slice(10, -10))
    shown = resample(images, policy.warp(images, drawn))
    torch.testing.assert_close(shown[inside], expected[inside], atol=1e-4, rtol=0)


def test_an_operation_that_is_named_twice_is_done_as_often_as_it_is_drawn() -> None:
    images = torch.zeros(200, 3, 20, 40)
    policy = RandAugment(1, 10, ["rotate", "rotate", "identity"])
    torch.manual_seed(0)
    drawn = policy.draw(images)
    turned = (policy.warp(images, drawn) - torch.eye(3)).abs().amax((1, 2)) > 0
    assert torch.equal(turned, drawn.operation[:, 0] < 2)


def test_each_image_draws_its_own_operation_of_all() -> None:
    torch.manual_seed(0)
    drawn = RandAugment(2, 9).draw(torch.zeros(400, 3, 4, 4))
    counts = drawn.operation.flatten().bincount(minlength=len(DEFAULT))
    assert len(counts) == len(DEFAULT)
    assert counts.min() > 30
    assert (drawn.level.abs() == 0.9).all()


def test_operations_follow_in_the_order_drawn(raw: Tensor) -> None:
    images = (raw / 255).repeat(20, 1, 1, 1)
    policy = RandAugment(2, 5, ["identity", "invert", "rotate", "solarize"])
    torch.manual_seed(0)
    drawn = policy.draw(images)
    done = {1: TF.invert, 3: lambda image: TF.solarize(image, 0.5)}
    for image, operations, shown in zip(
        images, drawn.operation.tolist(), policy.recolour(images.clone(), drawn), strict=True
    ):
        expected = image
        for number in operations:
            expected = done[number](expected) if number in done else expected
        torch.testing.assert_close(shown, expected)


def test_images_that_drew_geometry_keep_their_colours(raw: Tensor) -> None:
    assert torch.equal(apply(RandAugment(3, 9, GEOMETRIC), raw / 255), raw / 255)


def test_off_changes_nothing(raw: Tensor) -> None:
    policy, images = RandAugment(), raw / 255
    drawn = policy.draw(images)
    assert torch.equal(policy.recolour(images.clone(), drawn), images)
    assert torch.equal(policy.warp(images, drawn), torch.eye(3).expand(3, 3, 3))


@pytest.mark.parametrize("setting", [{"num_ops": -1}, {"magnitude": 11}, {"magnitude": -1}])
def test_silly_setting_is_named(setting: dict) -> None:
    with pytest.raises(UserError, match=rf"augmentation\.policy\.{next(iter(setting))}"):
        RandAugment(**setting)


@pytest.mark.parametrize("ops", [["rotate", "twirl"], []])
def test_unknown_operation_names_the_choices(ops: list[str]) -> None:
    with pytest.raises(UserError, match=r"twirl|no operation") as error:
        RandAugment(2, 9, ops)
    assert "choose from rotate" in str(error.value)
    assert "posterize" in str(error.value)
