"""Random erasing and cutout (Zhong et al., arXiv:1708.04896; DeVries and Taylor, arXiv:1708.04552)."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from trashlite.data.augmentation.checks import check_between
from trashlite.data.augmentation.draws import (
    draw_chance,
    draw_ratio,
    draw_rectangle_mask,
    draw_uniform,
    draw_unit,
    draws_for,
)
from trashlite.errors import UserError

Fill = Literal["random", "mean"]


class RandomErasing(nn.Module):
    """Paints one rectangle over a share of the images.

    Args:
        probability: share of the images.
        min_area, max_area: bounds of the rectangle's share of the area.
        max_ratio: aspect ratio relative to the image's, log-uniform in [1/max, max].
        fill: `random`, a uniform colour for each image, or `mean`, the image's own mean colour (as cutout's
            zeros, the mean after normalisation). Noise for each pixel would cost more than all the rest.

    Raises:
        UserError: a setting out of its range.
    """

    def __init__(
        self,
        probability: float = 0.0,
        min_area: float = 0.02,
        max_area: float = 0.33,
        max_ratio: float = 3.3,
        fill: Fill = "random",
    ) -> None:
        super().__init__()
        self.probability = check_between("erasing.probability", probability, 0, 1)
        self.min_area = check_between("erasing.min_area", min_area, 0, 1)
        self.max_area = check_between("erasing.max_area", max_area, min_area, 1)
        self.max_ratio = check_between("erasing.max_ratio", max_ratio, 1, 10)
        if fill not in get_args(Fill):
            raise UserError(f"augmentation.erasing.fill is {fill!r}: choose from {', '.join(get_args(Fill))}.")
        self.fill = fill

    def forward(self, images: Tensor) -> Tensor:
        """Erase from images (N,3,H,W) in [0,1], in place."""
        chosen = draw_chance(images, self.probability).nonzero().squeeze(1)
        with draws_for(chosen):
            if len(chosen):
                images[chosen] = self._erase(images[chosen])
        return images

    def _erase(self, images: Tensor) -> Tensor:
        area = draw_uniform(images, self.min_area, self.max_area)
        inside = draw_rectangle_mask(images, area, draw_ratio(images, self.max_ratio))
        if self.fill == "random":
            colour = draw_unit(images, images.shape[1], 1, 1)
        else:
            colour = images.mean((2, 3), keepdim=True)
        return torch.where(inside, colour, images)
