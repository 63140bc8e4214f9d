"""Whole policies: every configuration file, reproducibility, memory formats, ranges."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from torch import Tensor

from trashlite.data.augmentation import BatchAugmentation
from trashlite.data.augmentation.policy import DEFAULT
from trashlite.errors import UserError

CONF = Path(__file__).parents[5] / "conf"
POLICIES = sorted(path.stem for path in (CONF / "augmentation").glob("*.yaml"))


def build(name: str, *overrides: str) -> BatchAugmentation:
    with initialize_config_dir(str(CONF), version_base=None):
        return instantiate(compose(overrides=[f"+augmentation={name}", *overrides]).augmentation)


def make_batch(n: int = 8, height: int = 64, width: int = 64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (n, height, width, 3), dtype=torch.uint8, generator=generator)
    return pixels.permute(0, 3, 1, 2).float() / 255


def run(augmentation: BatchAugmentation, images: Tensor, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return augmentation(images)


def test_the_policies_of_the_documentation_are_there() -> None:
    expected = {"none", "default", "flip_affine", "randaugment", "cutout", "mixup_cutmix"}
    assert expected <= set(POLICIES)


@pytest.mark.parametrize("shape", [(8, 64, 64), (8, 46, 64), (1, 32, 48)])
@pytest.mark.parametrize("name", POLICIES)
def test_policy_keeps_shape_range_and_format(name: str, shape: tuple[int, int, int]) -> None:
    images = make_batch(*shape)
    before = images.clone()
    changed = run(build(name), images)
    assert torch.equal(images, before), "the batch given was written to"
    assert changed.shape == images.shape
    assert changed.dtype == torch.float32
    assert changed.is_contiguous()
    assert changed.min() >= 0
    assert changed.max() <= 1


@pytest.mark.parametrize("name", POLICIES)
def test_policy_changes_each_image_in_its_own_way(name: str) -> None:
    images = make_batch(1)
    changed = run(build(name), images.repeat(8, 1, 1, 1))
    distinct = len(changed.flatten(1).unique(dim=0))
    assert distinct == 1 if name == "none" else distinct >= 7


def test_none_changes_nothing() -> None:
    images = make_batch()
    assert torch.equal(run(build("none"), images), images)


def test_settings_left_out_are_off() -> None:
    images = make_batch()
    assert torch.equal(run(BatchAugmentation(), images), images)


@pytest.mark.parametrize("name", POLICIES)
def test_seed_decides_and_memory_format_does_not(name: str) -> None:
    augmentation = build(name, "augmentation.colour.hue=0.1")
    images = make_batch()
    first = run(augmentation, images)
    planes = run(augmentation, images.contiguous())
    assert planes.is_contiguous()
    assert torch.equal(planes, first)
    assert not torch.equal(run(augmentation, images, seed=1), first)


def test_strength_is_reachable_from_the_shell() -> None:
    augmentation = build(
        "none",
        "augmentation.geometry.hflip=1",
        "augmentation.mixing.mixup=0.2",
        "augmentation.policy.num_ops=3",
    )
    assert augmentation.geometry.hflip == 1
    assert augmentation.mixing.mixup == 0.2
    assert augmentation.policy.num_ops == 3


def test_configured_operations_are_the_default_ones() -> None:
    assert set(build("none").policy.ops) == set(DEFAULT)


def test_bad_setting_in_the_configuration_is_a_user_error() -> None:
    with pytest.raises(InstantiationException) as error:
        build("default", "augmentation.policy.ops=[rotate,twirl]")
    assert isinstance(error.value.__cause__, UserError)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", POLICIES)
def test_policy_runs_on_the_device_of_the_batch(name: str) -> None:
    images = make_batch().cuda()
    changed = run(build(name, "augmentation.colour.hue=0.1"), images)
    assert changed.device == images.device
    assert 0 <= changed.min() <= changed.max() <= 1
