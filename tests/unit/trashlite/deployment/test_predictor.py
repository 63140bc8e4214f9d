"""The predictor beside what training and `make submit` compute."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trashlite.calibration import Calibration, write_calibration
from trashlite.data.decode import BadImageError, decode, decode_settings
from trashlite.data.preprocess import preprocess
from trashlite.deployment.predictor import Predictor, find_device
from trashlite.errors import UserError
from trashlite.network import load_network, read_checkpoint


@pytest.fixture(scope="module")
def predictor(tiny_checkpoint: Path) -> Predictor:
    return Predictor.from_checkpoint(tiny_checkpoint)


@pytest.fixture(scope="module")
def files(tiny_root: Path) -> list[Path]:
    return sorted(tiny_root.rglob("*.jpg"))


def test_probabilities_are_the_softmax_of_the_checkpoints_network(
    predictor: Predictor, files: list[Path], tiny_checkpoint: Path
) -> None:
    """The network as trained, BatchNorm not folded, one image at a time."""
    network = load_network(read_checkpoint(tiny_checkpoint))
    for file in files[:8]:
        pixels = torch.from_numpy(decode(file, **decode_settings(predictor.preprocessing)).copy())
        with torch.inference_mode():
            expected = network(preprocess(pixels[None], predictor.preprocessing)).softmax(1)[0]
        answer = predictor(file)
        np.testing.assert_allclose(list(answer.probabilities.values()), expected, atol=1e-5)
        assert answer.label == predictor.class_names[int(expected.argmax())]
        assert answer.probability == pytest.approx(expected.max().item(), abs=1e-5)


def test_paths_pillow_images_and_arrays_alone_and_in_a_list(predictor: Predictor, files: list[Path]) -> None:
    """Files too small for the JPEG reader to skip detail: all forms give the same pixels."""
    array = np.asarray(Image.open(files[0]))
    alone = [predictor(image) for image in (files[0], str(files[0]), Image.open(files[0]), array)]
    assert len({answer.label for answer in alone}) == 1
    for answer in [*alone, *predictor([files[0], Image.open(files[0]), array])]:
        assert answer.probabilities == pytest.approx(alone[0].probabilities, abs=1e-5)
    assert [answer.label for answer in predictor(list(files))] == [predictor(file).label for file in files]
    assert predictor([]) == []


def test_what_is_no_image_is_told(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(BadImageError, match="not an image in a known format"):
        predictor(tmp_path / "broken.jpg")
    for wrong in (np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(TypeError, match=r"uint8 \(H, W, 3\) in RGB, not"):
            predictor(wrong)
    with pytest.raises(TypeError, match="not bytes"):
        predictor(b"")


@pytest.mark.parametrize("name", ["toaster", "meta", "mps"])  # the second exists, and gives no answers
def test_no_such_device(name: str) -> None:
    with pytest.raises(UserError, match=f"There is no device '{name}' here") as caught:
        find_device(name)
    assert len(str(caught.value)) < 300  # torch names all that it could have been built with


def test_a_calibration_beside_the_checkpoint_is_used(
    predictor: Predictor, tiny_checkpoint: Path, files: list[Path], tmp_path: Path
) -> None:
    copy = tmp_path / "best.ckpt"
    copy.write_bytes(tiny_checkpoint.read_bytes())
    write_calibration(copy, Calibration(temperature=3.0, threshold=0.999))
    calibrated = Predictor.from_checkpoint(copy)
    logits = torch.from_numpy(predictor.logits(predictor.pixels(files[0])[None]))
    answer = calibrated(files[0])
    np.testing.assert_allclose(list(answer.probabilities.values()), (logits / 3).softmax(1)[0], atol=1e-6)
    assert answer.label == "unknown"


@pytest.mark.parametrize("kernel", ["bilinear", "box"])
def test_other_kernels_and_sizes(
    fit_checkpoint: Callable, tiny_root: Path, files: list[Path], tmp_path: Path, kernel: str
) -> None:
    predictor = Predictor.from_checkpoint(
        fit_checkpoint(tmp_path / "c.ckpt", tiny_root, steps=1, kernel=kernel, image_size=[20, 20])
    )
    assert predictor.pixels(files[0]).shape == (20, 20, 3)
    np.testing.assert_array_equal(predictor.pixels(files[0]), decode(files[0], (20, 20), "landscape", kernel))
