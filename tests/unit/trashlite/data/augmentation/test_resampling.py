"""Resampling matrices against Pillow and torch."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from trashlite.data.augmentation.resampling import KERNELS, resample, resize_matrix

SIZES = [((12, 18), (6, 9)), ((48, 64), (20, 28)), ((31, 17), (7, 5)), ((9, 8), (9, 8))]


def resized(image: np.ndarray, size: tuple[int, int], kernel: str) -> torch.Tensor:
    planes = torch.from_numpy(image)[None, None]
    return resample(planes, size, (kernel,), torch.zeros(1, dtype=torch.int64))[0, 0]


@pytest.mark.parametrize(("source", "target"), SIZES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_antialiased_kernels_are_pillows(kernel: str, source: tuple[int, int], target: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(source, dtype=np.float32)
    pillow = Image.fromarray(image).resize(target[::-1], Image.Resampling[kernel.upper()])
    torch.testing.assert_close(resized(image, target, kernel), torch.from_numpy(np.array(pillow)), atol=2e-5, rtol=0)


@pytest.mark.parametrize(("source", "target"), SIZES)
def test_kernels_without_antialiasing_are_torchs(source: tuple[int, int], target: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(source, dtype=np.float32)
    planes = torch.from_numpy(image)[None, None]
    point = F.interpolate(planes, target, mode="bilinear", align_corners=False)[0, 0]
    torch.testing.assert_close(resized(image, target, "point"), point)
    if source[0] % 2 and source[1] % 2:  # elsewhere a centre may lie between two pixels
        nearest = F.interpolate(planes, target, mode="nearest-exact")[0, 0]
        torch.testing.assert_close(resized(image, target, "nearest"), nearest)


@pytest.mark.parametrize("kernel", [*KERNELS, "soft", "point", "nearest"])
def test_a_flat_image_stays_flat(kernel: str) -> None:
    assert torch.allclose(resize_matrix(kernel, 50, 13).sum(1), torch.ones(13))


def test_the_soft_kernel_sees_more_pixels_than_the_bilinear() -> None:
    seen = [(resize_matrix(kernel, 40, 10)[5] > 0).sum().item() for kernel in ("bilinear", "soft")]
    assert seen == [8, 16]


def test_each_image_is_resized_by_its_own_kernel() -> None:
    images = torch.rand(3, 2, 8, 12)
    mixed = resample(images, (4, 6), ("box", "point"), torch.tensor([0, 1, 0]))
    torch.testing.assert_close(mixed[[0, 2]], F.avg_pool2d(images[[0, 2]], 2))
    torch.testing.assert_close(mixed[1:2], F.interpolate(images[1:2], (4, 6), mode="bilinear", align_corners=False))
