"""RandAugment over a batch: each image draws its own operations (Cubuk et al., 2020, arXiv:1909.13719)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torchvision.transforms.v2.functional as TF
from torch import Tensor, nn

from trashlite.data.augmentation.checks import check_between
from trashlite.data.augmentation.colour import adjust_colour
from trashlite.data.augmentation.draws import draw_integers
from trashlite.data.augmentation.geometry import rotation, shearing, translation
from trashlite.errors import UserError

# Changes at magnitude 10, as in timm's auto_augment.
MAX_ANGLE = 30.0  # degrees
MAX_SHEAR = 0.3  # tangent of the angle
MAX_SHIFT = 0.45  # share of the side
MAX_CHANGE = 0.9  # of a factor from 1


def _sharpness(images: Tensor, level: Tensor) -> Tensor:
    # torchvision's kernel, (ones + 4 at the centre) / 13, as sums: half the time of the convolution.
    inner = images[..., 1:-1, 1:-1]
    rows = images[..., :-2, :] + images[..., 1:-1, :] + images[..., 2:, :]
    box = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    inner.lerp_(box.add_(inner, alpha=4).div_(13), -MAX_CHANGE * level[:, None, None, None])
    return images.clamp_(0, 1)


GEOMETRIC = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
# Operations on images (N,3,H,W) with levels (N,) in [-1, 1]. All images of a call have the same |level|, so
# one scalar serves where the sign means nothing.
PIXEL: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": lambda images, level: adjust_colour(images, brightness=1 + MAX_CHANGE * level),
    "contrast": lambda images, level: adjust_colour(images, contrast=1 + MAX_CHANGE * level),
    "color": lambda images, level: adjust_colour(images, saturation=1 + MAX_CHANGE * level),
    "sharpness": _sharpness,
    "posterize": lambda images, level: TF.posterize(images, 8 - round(4 * level[0].abs().item())),
    "solarize": lambda images, level: TF.solarize(images, 1 - level[0].abs().item()),
    "autocontrast": lambda images, level: TF.autocontrast(images),
    "equalize": lambda images, level: TF.equalize(images),
    "invert": lambda images, level: TF.invert(images),
    "identity": lambda images, level: images,
}
DEFAULT = tuple(name for name in (*GEOMETRIC, *PIXEL) if name != "invert")


class Draw(NamedTuple):
    """Draws of each image: operation numbers and signed levels, (N,num_ops) each."""

    operation: Tensor
    level: Tensor


class RandAugment(nn.Module):
    """Gives each image `num_ops` operations, drawn uniformly, at one magnitude with a random sign.

    Geometric operations of all rounds add up to one matrix, to be resampled together with flips and crops;
    the others follow in the order drawn, each on just the images that drew it.

    Args:
        num_ops: operations an image; 0 switches the policy off.
        magnitude: from 0 (weakest) to 10 (strongest).
        ops: names of the operations to draw from; one that is there twice is drawn twice as often. All but `invert` if
            not given.

    Raises:
        UserError: a setting out of its range, or an unknown operation.
    """

    def __init__(self, num_ops: int = 0, magnitude: float = 9.0, ops: Sequence[str] = DEFAULT) -> None:
        super().__init__()
        self.num_ops = int(check_between("policy.num_ops", num_ops, 0, 10))
        self.level = check_between("policy.magnitude", magnitude, 0, 10) / 10
        self.ops = list(ops)
        unknown = [name for name in self.ops if name not in (*GEOMETRIC, *PIXEL)]
        if unknown or not self.ops:
            raise UserError(
                f"augmentation.policy.ops has {', '.join(map(repr, unknown)) or 'no operation'}: "
                f"choose from {', '.join((*GEOMETRIC, *PIXEL))}."
            )

    def draw(self, images: Tensor) -> Draw:
        """Draw operations and levels for images (N,3,H,W)."""
        operation = draw_integers(images, len(self.ops), self.num_ops)
        sign = 1 - 2 * draw_integers(images, 2, self.num_ops)
        return Draw(operation, sign * self.level)

    def warp(self, images: Tensor, drawn: Draw) -> Tensor:
        """Matrices (N,3,3) of the geometric operations drawn, in the sense of `geometry.resample`."""
        rotate, shear_x, shear_y, x, y = (self._amount(name, drawn) for name in GEOMETRIC)
        height, width = images.shape[-2:]
        return (
            rotation((MAX_ANGLE * rotate).deg2rad())
            @ shearing(MAX_SHEAR * shear_x, MAX_SHEAR * shear_y)
            @ translation(MAX_SHIFT * width * x, MAX_SHIFT * height * y)
        )

    def recolour(self, images: Tensor, drawn: Draw) -> Tensor:
        """Apply the other operations drawn to images (N,3,H,W) in [0,1], in place."""
        for operation, level in zip(drawn.operation.T, drawn.level.T, strict=True):
            for number, name in enumerate(self.ops):
                chosen = (operation == number).nonzero().squeeze(1)
                if name in PIXEL and len(chosen):
                    images[chosen] = PIXEL[name](images[chosen], level[chosen])
        return images

    def _amount(self, name: str, drawn: Draw) -> Tensor:
        """Sum (N,) of the levels at which each image drew the operation."""
        numbers = [number for number, each in enumerate(self.ops) if each == name]
        drew = torch.isin(drawn.operation, torch.tensor(numbers, dtype=torch.int64, device=drawn.operation.device))
        return (drawn.level * drew).sum(1)
