"""Pixels as other cameras and programs make them: light, noise, compression, and the kernel of the resize."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from trashlite.data.augmentation.checks import check_between
from trashlite.data.augmentation.draws import draw_around, draw_chance, draw_integers, draw_uniform, draw_unit
from trashlite.data.augmentation.resampling import resample

AVERAGE = "box"  # of what is not drawn, as without this augmentation
OTHERS = ("bilinear", "hamming", "bicubic", "lanczos", "soft", "point", "point", "nearest")
"""Kernels that are drawn; half of them are sharp or blurred, the rest are what Pillow offers."""


class RandomCamera(nn.Module):
    """Brings oversampled images to the network's size as another camera and another program would.

    In this order: exposure, white balance, sensor noise, JPEG, resize. Draws are always new ones, also of an image
    whose other augmentation is fixed by a key: a teacher's kept answers do not depend on them.

    Args:
        kernels: share of the images whose resize takes another kernel than the average.
        aliased: share of the images that come from picked pixels of the file, not from averaged ones (`choose`): what
            lies between the pixels of a resize without antialiasing is lost before the kernels here could see it.
        exposure: factor of all channels, uniform in [1 - value, 1 + value].
        white_balance: factor of each channel, likewise.
        noise: standard deviation of the noise of a pixel, uniform in [0, value], of full scale 1.
        jpeg: share of the images that are compressed.
        min_quality: of JPEG; the quality is uniform from here to 95.

    Raises:
        UserError: a setting out of its range.
    """

    def __init__(
        self,
        kernels: float = 0.0,
        aliased: float = 0.0,
        exposure: float = 0.0,
        white_balance: float = 0.0,
        noise: float = 0.0,
        jpeg: float = 0.0,
        min_quality: int = 30,
    ) -> None:
        super().__init__()
        self.kernels = check_between("camera.kernels", kernels, 0, 1)
        self.aliased = check_between("camera.aliased", aliased, 0, 1)
        self.exposure = check_between("camera.exposure", exposure, 0, 1)
        self.white_balance = check_between("camera.white_balance", white_balance, 0, 1)
        self.noise = check_between("camera.noise", noise, 0, 1)
        self.jpeg = check_between("camera.jpeg", jpeg, 0, 1)
        self.min_quality = int(check_between("camera.min_quality", min_quality, 1, 95))

    @property
    def is_on(self) -> bool:
        return bool(self.kernels or self.aliased or self.exposure or self.white_balance or self.noise or self.jpeg)

    def choose(self, averaged: Tensor, picked: Tensor) -> Tensor:
        """Each image from the pixels of one of two resizes of the same file, uint8 (N, H, W, 3)."""
        return torch.where(draw_chance(averaged, self.aliased)[:, None, None, None], picked, averaged)

    @torch.no_grad()
    def forward(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        """Images (N, 3, H, W) in [0, 1], of a whole multiple of `size` (height, width): (N, 3, height, width)."""
        if self.exposure or self.white_balance:
            gain = draw_around(images, 1, self.exposure)[:, None] * (
                1 + self.white_balance * (2 * draw_unit(images, images.shape[1]) - 1)
            )
            images = (images * gain[:, :, None, None]).clamp_(0, 1)
        if self.noise:
            spread = draw_uniform(images, 0, self.noise)[:, None, None, None]
            images = torch.randn_like(images).mul_(spread).add_(images).clamp_(0, 1)
        if self.jpeg:
            images = self._compress(images)
        other = draw_chance(images, self.kernels)
        choice = torch.where(other, 1 + draw_integers(images, len(OTHERS), 1)[:, 0], 0)
        return resample(images, size, (AVERAGE, *OTHERS), choice).clamp_(0, 1)

    def _compress(self, images: Tensor) -> Tensor:
        chosen = draw_chance(images, self.jpeg).nonzero().squeeze(1)
        quality = draw_uniform(images, self.min_quality, 96)[chosen].int().tolist()
        images = images.clone()
        pixels = (images[chosen] * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        for position, image, each in zip(chosen.tolist(), pixels, quality, strict=True):
            file = io.BytesIO()
            Image.fromarray(image).save(file, "JPEG", quality=each)
            decoded = torch.from_numpy(np.array(Image.open(file)))
            images[position] = decoded.permute(2, 0, 1).to(images) / 255
        return images
