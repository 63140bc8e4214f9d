"""Random draws, one for each image, from torch's global generator of the images' device."""

import math

import torch
from torch import Tensor


def draw_uniform(images: Tensor, low: float, high: float) -> Tensor:
    """Numbers (N,) uniform in [low, high)."""
    return low + (high - low) * torch.rand(len(images), device=images.device)


def draw_around(images: Tensor, centre: float, strength: float) -> Tensor:
    """Numbers (N,) uniform in [centre - strength, centre + strength)."""
    return draw_uniform(images, centre - strength, centre + strength)


def draw_ratio(images: Tensor, largest: float) -> Tensor:
    """Aspect ratios (N,), log-uniform in [1 / largest, largest): narrow is as likely as wide."""
    return draw_around(images, 0, math.log(largest)).exp()


def draw_chance(images: Tensor, probability: float) -> Tensor:
    """Booleans (N,), true with `probability`."""
    return torch.rand(len(images), device=images.device) < probability


def rectangle_shares(area: Tensor, ratio: Tensor) -> tuple[Tensor, Tensor]:
    """Height and width (N,), as shares of the image's, of rectangles of this area share and aspect ratio.

    The ratio (width to height, relative to the image's own) gives way where the rectangle would not fit, the
    area never does.
    """
    ratio = ratio.clamp(min=area, max=1 / area.clamp(min=1e-6))
    return (area / ratio).sqrt(), (area * ratio).sqrt()


def draw_rectangle_mask(images: Tensor, area: Tensor, ratio: Tensor) -> Tensor:
    """Boolean (N,1,H,W), true inside one rectangle an image, placed uniformly, wholly inside the image."""
    height, width = images.shape[-2:]
    shares = rectangle_shares(area, ratio)
    rows, columns = (_draw_span(share, length) for share, length in zip(shares, (height, width), strict=True))
    return rows[:, None, :, None] & columns[:, None, None, :]


def _draw_span(share: Tensor, length: int) -> Tensor:
    """Boolean (N,length), true on a run of round(share * length) places that starts anywhere it fits."""
    size = (share * length).round()
    start = (torch.rand_like(share) * (length - size + 1)).floor()
    places = torch.arange(length, device=share.device)
    return (places >= start[:, None]) & (places < (start + size)[:, None])
