"""Pixels of other cameras: what is drawn, and what is left alone."""

import pytest
import torch
from torch.nn import functional as F

from trashlite.data.augmentation import BatchAugmentation, RandomCamera
from trashlite.data.augmentation.draws import keyed_draws
from trashlite.data.preprocess import augment
from trashlite.errors import UserError

SIZE = (6, 8)


def images(count: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, 2 * SIZE[0], 2 * SIZE[1])


def test_what_is_not_drawn_is_the_average() -> None:
    before = images()
    torch.testing.assert_close(RandomCamera()(before, SIZE), F.avg_pool2d(before, 2))
    assert not RandomCamera().is_on


def test_a_share_of_the_images_takes_another_kernel() -> None:
    torch.manual_seed(0)
    before = torch.rand(400, 3, 3 * SIZE[0], 3 * SIZE[1])  # of twice the size, two pixels' mean is bilinear too
    after = RandomCamera(kernels=0.5)(before, SIZE)
    others = (after - F.avg_pool2d(before, 3)).abs().amax((1, 2, 3)) > 1e-3
    assert 0.4 < others.float().mean() < 0.6
    always = (RandomCamera(kernels=1.0)(before, SIZE) - F.avg_pool2d(before, 3)).abs().amax((1, 2, 3))
    assert always.min() > 1e-3
    assert after.amin() >= 0  # lanczos overshoots
    assert after.amax() <= 1


def test_light_scales_each_channel_of_each_image() -> None:
    before = torch.full((64, 3, 12, 16), 0.5)
    after = RandomCamera(exposure=0.2, white_balance=0.1)(before, SIZE)
    gain = after[:, :, 0, 0] / 0.5
    torch.testing.assert_close(after, 0.5 * gain[:, :, None, None].expand_as(after))
    assert 0.8 * 0.9 <= gain.amin() < 0.95
    assert 1.05 < gain.amax() <= 1.2 * 1.1
    assert (gain.amax(1) / gain.amin(1)).max() > 1.05


def test_noise_is_as_strong_as_it_says() -> None:
    before = torch.full((256, 3, *SIZE), 0.5)
    spread = (RandomCamera(noise=0.1)(before, SIZE) - 0.5).std((1, 2, 3))
    assert 0.08 < spread.max() < 0.12
    assert spread.min() < 0.01
    assert spread.mean().item() == pytest.approx(0.05, abs=0.01)


def test_jpeg_changes_a_share_of_the_images_a_little() -> None:
    torch.manual_seed(0)
    smooth = F.interpolate(torch.rand(200, 3, 3, 3), (32, 48), mode="bilinear")
    error = (RandomCamera(jpeg=0.5)(smooth, (32, 48)) - smooth).abs().mean((1, 2, 3))
    assert 0.4 < (error > 1e-4).float().mean() < 0.6
    assert error.max() < 0.05


def test_jpeg_is_of_the_qualities_asked_for() -> None:
    torch.manual_seed(0)
    smooth = F.interpolate(torch.rand(40, 3, 3, 3), (32, 48), mode="bilinear")
    least, most = (RandomCamera(jpeg=1.0, min_quality=quality)(smooth, (32, 48)) - smooth for quality in (5, 95))
    assert most.abs().mean((1, 2, 3)).max() < 0.01
    assert least.abs().mean((1, 2, 3)).max() > 0.02
    assert most.mean().abs() < 0.001  # half a level would be 0.002


def test_draws_are_new_ones_where_a_view_is_fixed() -> None:
    before = (images(8).permute(0, 2, 3, 1) * 255).byte()
    preprocessing = {"image_size": SIZE, "mean": [0.0] * 3, "std": [1.0] * 3}
    camera, keys = RandomCamera(noise=0.2), torch.arange(8)
    first, second = (augment(before, BatchAugmentation(), keys, preprocessing, camera) for _ in range(2))
    assert not torch.equal(first, second)
    with keyed_draws(keys):
        clean = augment(before, BatchAugmentation(), keys, preprocessing)
    torch.testing.assert_close(clean, F.avg_pool2d(before.permute(0, 3, 1, 2) / 255, 2))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match=r"camera\.jpeg"):
        RandomCamera(jpeg=1.5)
    with pytest.raises(UserError, match=r"camera\.min_quality"):
        RandomCamera(min_quality=0)
