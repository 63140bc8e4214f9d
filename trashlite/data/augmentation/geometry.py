"""Flips, crops and affine warps of a batch, all in one resampling.

Matrices (N,3,3) take homogeneous pixel coordinates (x, y, 1) of the output, counted from the image's centre,
to those of the input. In pixels, unlike in `grid_sample`'s units, a rotation of a non-square image stays one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trashlite.data.augmentation.checks import check_between
from trashlite.data.augmentation.draws import (
    draw_around,
    draw_chance,
    draw_ratio,
    draw_uniform,
    rectangle_shares,
)


class RandomGeometry(nn.Module):
    """Flips each image, and crops and warps a share of the images, with one bilinear resampling.

    Args:
        hflip: probability of a horizontal flip.
        vflip: probability of a vertical flip.
        probability: share of the images that are cropped and warped by what follows.
        min_crop_area: the crop keeps a share of the area uniform in [min_crop_area, 1]; 1 keeps all.
        max_crop_ratio: aspect ratio of the crop relative to the image's, log-uniform in [1/max, max].
        rotate: largest angle, degrees, either way.
        translate: largest shift, share of the side, either way. Integer shifts of a padded image ("pad and
            crop") are this one.
        scale: content is scaled by a factor uniform in [1 - scale, 1 + scale].
        shear: largest shear angle along x and along y, degrees, either way.

    Raises:
        UserError: a setting out of its range.
    """

    def __init__(
        self,
        *,
        hflip: float = 0.0,
        vflip: float = 0.0,
        probability: float = 1.0,
        min_crop_area: float = 1.0,
        max_crop_ratio: float = 1.0,
        rotate: float = 0.0,
        translate: float = 0.0,
        scale: float = 0.0,
        shear: float = 0.0,
    ) -> None:
        super().__init__()
        self.hflip = check_between("geometry.hflip", hflip, 0, 1)
        self.vflip = check_between("geometry.vflip", vflip, 0, 1)
        self.probability = check_between("geometry.probability", probability, 0, 1)
        self.min_crop_area = check_between("geometry.min_crop_area", min_crop_area, 0.01, 1)
        self.max_crop_ratio = check_between("geometry.max_crop_ratio", max_crop_ratio, 1, 10)
        self.rotate = check_between("geometry.rotate", rotate, 0, 180)
        self.translate = check_between("geometry.translate", translate, 0, 1)
        self.scale = check_between("geometry.scale", scale, 0, 0.9)
        self.shear = check_between("geometry.shear", shear, 0, 40)  # at 45 it would collapse

    def forward(self, images: Tensor, warp: Tensor | None = None) -> Tensor:
        """Transform images (N,3,H,W), and by a policy's matrices `warp` (N,3,3) in the same resampling."""
        matrix = self._draw(images)
        return resample(images, matrix if warp is None else matrix @ warp)

    def _draw(self, images: Tensor) -> Tensor:
        mirror = [1 - 2 * draw_chance(images, p).float() for p in (self.hflip, self.vflip)]
        affine = (
            translation(*self._draw_shift(images, self.translate))
            @ rotation(draw_around(images, 0, self.rotate).deg2rad())
            @ shearing(*(draw_around(images, 0, self.shear).deg2rad().tan() for _ in "xy"))
            @ scaling(*[draw_around(images, 1, self.scale).reciprocal()] * 2)
        )
        warp = self._draw_crop(images) @ affine
        chosen = draw_chance(images, self.probability)[:, None, None]
        return torch.where(chosen, warp, torch.eye(3, device=images.device)) @ scaling(*mirror)

    def _draw_crop(self, images: Tensor) -> Tensor:
        area = draw_uniform(images, self.min_crop_area, 1)
        height, width = rectangle_shares(area, draw_ratio(images, self.max_crop_ratio))
        room = ((1 - width) * images.shape[-1], (1 - height) * images.shape[-2])
        return translation(*(draw_around(images, 0, 0.5) * each for each in room)) @ scaling(width, height)

    @staticmethod
    def _draw_shift(images: Tensor, share: float) -> tuple[Tensor, Tensor]:
        height, width = images.shape[-2:]
        return draw_around(images, 0, share * width), draw_around(images, 0, share * height)


def rotation(angle: Tensor) -> Tensor:
    """Matrices that turn the content counter-clockwise by `angle` (N,), radians."""
    sin, cos = angle.sin(), angle.cos()
    return _matrix(angle, {(0, 0): cos, (0, 1): -sin, (1, 0): sin, (1, 1): cos})


def translation(x: Tensor, y: Tensor) -> Tensor:
    """Matrices that move the content right by `x` and down by `y` pixels, (N,) each."""
    return _matrix(x, {(0, 2): -x, (1, 2): -y})


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """Matrices that show a window `x` times as wide and `y` times as high as the image; -1 mirrors."""
    return _matrix(x, {(0, 0): x, (1, 1): y})


def shearing(x: Tensor, y: Tensor) -> Tensor:
    """Matrices that sample `x` pixels further right for each pixel down, `y` further down for each right."""
    return _matrix(x, {(0, 1): x, (1, 0): y})


def _matrix(like: Tensor, entries: dict[tuple[int, int], Tensor]) -> Tensor:
    """Identities (N,3,3) but for the entries given, (N,) each."""
    matrix = torch.eye(3, device=like.device).repeat(len(like), 1, 1)
    for (row, column), value in entries.items():
        matrix[:, row, column] = value
    return matrix


def resample(images: Tensor, matrix: Tensor) -> Tensor:
    """Images (N,C,H,W) seen through matrices (N,3,3), in place where that saves a copy.

    What lies outside is filled by reflection: black corners would be a cue that no test image has. Images
    whose matrix is the identity or a flip are copied exactly and cheaply, the others interpolated bilinearly.
    """
    eye = torch.eye(3, device=matrix.device)
    warped = (matrix.abs() != eye).flatten(1).any(1)
    if warped.all():
        return _interpolate(images, matrix)
    for row, dim in ((0, -1), (1, -2)):
        flipped = (~warped & (matrix[:, row, row] < 0)).nonzero().squeeze(1)
        images[flipped] = images[flipped].flip(dim)
    chosen = warped.nonzero().squeeze(1)
    if len(chosen):
        images[chosen] = _interpolate(images[chosen], matrix[chosen])
    return images


def _interpolate(images: Tensor, matrix: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    # A product with (3, H*W) takes a third of the time of F.affine_grid's with (H*W, 3).
    y, x = torch.meshgrid(
        torch.arange(height, device=images.device) + 0.5 - height / 2,
        torch.arange(width, device=images.device) + 0.5 - width / 2,
        indexing="ij",
    )
    pixels = torch.stack([x.flatten(), y.flatten(), torch.ones_like(x).flatten()])
    to_unit = torch.tensor([[2 / width], [2 / height]], device=images.device)
    grid = ((matrix[:, :2] * to_unit) @ pixels).mT.unflatten(1, (height, width))
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
