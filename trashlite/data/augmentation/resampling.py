"""Resampling by matrices: the kernels of Pillow, and those without antialiasing."""

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor


def _box(x: Tensor) -> Tensor:
    return ((x > -0.5) & (x <= 0.5)).double()


def _triangle(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp(min=0)


def _hamming(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 1, torch.sinc(x) * (0.54 + 0.46 * (math.pi * x).cos()), 0.0)


def _cubic(x: Tensor, a: float = -0.5) -> Tensor:
    x = x.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


def _lanczos(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), 0.0)


KERNELS: dict[str, Callable[[Tensor], Tensor]] = {
    "box": _box,
    "bilinear": _triangle,
    "hamming": _hamming,
    "bicubic": _cubic,
    "lanczos": _lanczos,
}
SHARP = {"point": "bilinear", "nearest": "box"}
"""Kernels without antialiasing, which look at the nearest source pixels only: name -> kernel."""


@cache
def resize_matrix(kernel: str, source: int, target: int) -> Tensor:
    """Weights float32 (target, source) that resample one axis, each row summing to 1.

    With antialiasing as in Pillow's `Image.resize`: the kernel is stretched by source / target where that shrinks.
    "soft" is the bilinear kernel stretched twice as far: an image out of focus. The sharp ones are not stretched.
    """
    scale = source / target
    stretch = 1.0 if kernel in SHARP else max(scale, 1.0)
    if kernel == "soft":
        kernel, stretch = "bilinear", 2 * stretch
    function = KERNELS[SHARP.get(kernel, kernel)]
    centres = (torch.arange(target, dtype=torch.float64)[:, None] + 0.5) * scale
    places = torch.arange(source, dtype=torch.float64)[None] + 0.5
    if stretch == 1.0:  # beyond the border the outermost pixels go on, as in OpenCV and torch
        padded = torch.arange(-3, source + 3, dtype=torch.float64)[None] + 0.5
        weights = function(padded - centres)
        inside = weights[:, 3:-3].clone()
        inside[:, 0] += weights[:, :3].sum(1)
        inside[:, -1] += weights[:, -3:].sum(1)
        weights = inside
    else:
        weights = function((places - centres) / stretch)
    return (weights / weights.sum(1, keepdim=True)).float()


def resample(images: Tensor, size: tuple[int, int], kernels: tuple[str, ...], choice: Tensor) -> Tensor:
    """Images (N, C, H, W) at another size (height, width), each by its own kernel.

    Args:
        choice: int64 (N,), positions in `kernels`.
    """
    rows, columns = (
        torch.stack([resize_matrix(kernel, source, target) for kernel in kernels]).to(images)[choice]
        for source, target in zip(images.shape[-2:], size, strict=True)
    )
    return rows[:, None] @ images @ columns[:, None].mT
