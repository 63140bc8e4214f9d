from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from trashlite.data.decode import decode, resize
from trashlite.deployment.predictor import Predictor
from trashlite.deployment.robustness import (
    AS_TRAINED,
    KERNELS,
    MISTAKE,
    Row,
    make_conditions,
    markdown_table,
    measure_robustness,
    worst_kernel,
)
from trashlite.deployment.spec import LabelledImages

PREPROCESSING = {"image_size": [8, 12], "resize_mode": "landscape", "mean": [0.0] * 3, "std": [1.0] * 3}


@pytest.fixture
def portrait() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 40, 3), dtype=np.uint8))


def test_kernels_equal_reference_resizes_of_the_turned_image(portrait: Image.Image) -> None:
    made = {name: make(portrait) for name, make in make_conditions(PREPROCESSING).items()}
    turned = portrait.transpose(Image.Transpose.ROTATE_90)
    planes = torch.from_numpy(np.array(turned)).permute(2, 0, 1)[None].float()
    for antialias, name in ((False, "bilinear without antialias"), (True, "bilinear")):
        expected = F.interpolate(planes, (8, 12), mode="bilinear", antialias=antialias)[0].permute(1, 2, 0).numpy()
        assert np.abs(made[name] - expected).max() <= 1
    average = np.asarray(turned, dtype=float).reshape(8, 5, 12, 5, 3).mean(axis=(1, 3))
    assert np.abs(made["box (area)"] - average).max() <= 1
    np.testing.assert_array_equal(made["nearest"], np.asarray(turned)[2::5, 2::5])
    assert all(pixels.shape == (8, 12, 3) and pixels.dtype == np.uint8 for pixels in made.values())


def test_portrait_images_are_not_turned_and_channels_are_swapped(portrait: Image.Image) -> None:
    conditions = make_conditions(PREPROCESSING)
    np.testing.assert_array_equal(conditions["portrait not turned"](portrait), resize(portrait, (8, 12), "stretch"))
    np.testing.assert_array_equal(conditions[MISTAKE](portrait), resize(portrait, (8, 12), "landscape")[..., [2, 1, 0]])
    assert "portrait not turned" not in make_conditions({**PREPROCESSING, "resize_mode": "stretch"})


def test_a_network_of_brightness_is_hurt_by_brightness_and_by_nothing_that_keeps_it(tmp_path: Path) -> None:
    """Two classes, mean grey 100 and 150, told apart at 125: at 0.6 all are dark, at 1.5 all are bright."""
    files = []
    for number, grey in enumerate((100, 150)):
        files.append(tmp_path / f"{number}.png")
        Image.new("RGB", (30, 20), (grey, grey, grey)).save(files[-1])
    pixels = np.stack([decode(file, (8, 12), "landscape") for file in files])

    class Brightness(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            mean = images.mean(dim=(1, 2, 3))
            return torch.stack([125 / 255 - mean, mean - 125 / 255], dim=1)

    predictor = Predictor(Brightness(), ["dark", "bright"], PREPROCESSING)
    rows = {
        row.condition: row for row in measure_robustness(predictor, LabelledImages(files, pixels, np.array([0, 1])))
    }
    assert rows[AS_TRAINED] == Row(AS_TRAINED, 1.0, 0.0)
    one_class_missed = 1 / 3  # F1 of 2/3 for the class that is always told, 0 for the other
    for name, row in rows.items():
        expected = one_class_missed if name.startswith("brightness") else 1.0
        assert row.f1 == pytest.approx(expected), name
        assert row.change == pytest.approx(expected - 1), name


def test_worst_kernel_and_table() -> None:
    rows = [Row(AS_TRAINED, 0.9, 0.0), Row("bicubic", 0.85, -0.05), Row("nearest", 0.7, -0.2), Row(MISTAKE, 0.1, -0.8)]
    assert worst_kernel(rows).condition == "nearest"
    lines = markdown_table(rows).splitlines()
    assert lines[-2] == "| nearest                          | 0.7000 |  -20.0 |"
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) < 80
    assert len(KERNELS) == 6
