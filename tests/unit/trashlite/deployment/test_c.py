"""The C exports compiled and compared with torch and Pillow."""

import itertools
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.unit.trashlite.deployment.plain import SIZES, every_operator, make_spec
from trashlite.data.decode import decode_settings, resize
from trashlite.data.preprocess import preprocess
from trashlite.deployment import c, c_int8
from trashlite.deployment.c_build import Library, size_of
from trashlite.deployment.spec import ExportSpec
from trashlite.errors import UserError

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here")
ARM = [
    pytest.param(
        f"{triple}-gcc",
        emulator,
        id=emulator,
        marks=pytest.mark.skipif(
            shutil.which(emulator) is None or shutil.which(f"{triple}-gcc") is None,
            reason=f"gcc-{triple} and qemu-user are not installed",
        ),
    )
    for triple, emulator in (("aarch64-linux-gnu", "qemu-aarch64"), ("arm-linux-gnueabihf", "qemu-arm"))
]
"""Compilers and emulators of 64 and of 32 bits."""


def noise(height: int, width: int) -> np.ndarray:
    """Pixels with detail at all scales, so that no two kernels agree on them."""
    rng = np.random.default_rng(height * 10_000 + width)
    coarse = Image.fromarray(rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)).resize((width, height))
    fine = rng.integers(-60, 61, (height, width, 3))
    return np.clip(np.asarray(coarse).astype(int) + fine, 0, 255).astype(np.uint8)


def expected(rgb: np.ndarray, spec: ExportSpec) -> tuple[np.ndarray, np.ndarray]:
    """Pixels by Pillow, logits by torch."""
    pixels = resize(Image.fromarray(rgb), **decode_settings(spec.preprocessing))
    batch = preprocess(torch.from_numpy(pixels.copy())[None], spec.preprocessing)
    return pixels, every_operator()(batch)[0].numpy()


def compile_example(folder: Path, compiler: str, *flags: str) -> Path:
    program = folder / "classify"
    sources = [folder / "main.c", folder / "trashlite.c"]
    subprocess.run(
        [compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", *flags, "-o", program, *sources, "-lm"], check=True
    )
    return program


def run_example(command: list[str], rgb: np.ndarray, folder: Path) -> tuple[str, list[float]]:
    """First line and probabilities that the example prints of an image."""
    Image.fromarray(rgb).save(folder / "image.ppm")
    output = subprocess.run([*command, str(folder / "image.ppm")], check=True, capture_output=True, text=True).stdout
    first, *lines = output.splitlines()
    return first, [float(line.split()[0]) for line in lines]


@needs_compiler
def test_example_tells_its_usage_for_other_arguments(tmp_path: Path) -> None:
    c.export(every_operator(), make_spec(), tmp_path)
    program = compile_example(tmp_path, "cc")
    Image.fromarray(noise(5, 4)).save(tmp_path / "image.ppm")
    for arguments in ([], ["image.ppm", "0"], ["image.ppm", "many"], ["image.ppm", "1", "other.ppm"]):
        done = subprocess.run([program, *arguments], check=False, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (1, ""), arguments
        assert "usage" in done.stderr


@needs_compiler
@pytest.mark.parametrize(
    ("mode", "kernel"),
    [
        ("landscape", "bilinear"),
        *(
            pytest.param(mode, kernel, marks=pytest.mark.slow)
            for mode, kernel in itertools.product(["stretch", "letterbox", "landscape"], ["bilinear", "box"])
            if (mode, kernel) != ("landscape", "bilinear")
        ),
    ],
)
def test_raw_frames_give_pillows_pixels_and_torchs_logits(tmp_path: Path, mode: str, kernel: str) -> None:
    spec = make_spec(resize_mode=mode, kernel=kernel)
    c.export(every_operator(), spec, tmp_path)
    library = Library(tmp_path, spec)
    for size in SIZES:
        rgb = noise(*size)
        pixels, logits = expected(rgb, spec)
        np.testing.assert_array_equal(library.resize(rgb), pixels, err_msg=str(size))
        np.testing.assert_allclose(library.logits(pixels), logits, rtol=0, atol=1e-4)
        probabilities = torch.softmax(torch.from_numpy(logits) / spec.temperature, 0)
        answer, got = library.classify(rgb)
        np.testing.assert_allclose(got, probabilities, rtol=0, atol=1e-4)
        assert answer == (-1 if probabilities.max() < spec.threshold else int(logits.argmax()))


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("export", [c.export, c_int8.export], ids=["float", "int8"])
def test_the_example_is_clean_c_without_undefined_behaviour(tmp_path: Path, export: object) -> None:
    spec = make_spec(train=16)
    export(every_operator(), spec, tmp_path)  # type: ignore[operator]
    library = Library(tmp_path, spec)
    program = compile_example(
        tmp_path, "cc", "-O1", "-pedantic", "-fsanitize=address,undefined", "-fno-sanitize-recover"
    )
    for size in SIZES:
        answer, probabilities = library.classify(noise(*size))
        first, printed = run_example([str(program)], noise(*size), tmp_path)
        np.testing.assert_allclose(printed, probabilities, rtol=0, atol=1e-5)
        assert first == ("unknown" if answer < 0 else spec.class_names[answer])


@pytest.mark.slow
@needs_compiler
def test_the_example_refuses_what_is_no_image(tmp_path: Path) -> None:
    c.export(every_operator(), make_spec(), tmp_path)
    program = compile_example(tmp_path, "cc", "-O1", "-fsanitize=address,undefined")
    for content in (
        b"",
        b"P6",
        b"P6 4 4 255\n123",
        b"P6 -1 4 255\n",
        b"P6 99999999 99999999 255\n",
        b"P3 1 1 255\n0 0 0",
    ):
        (tmp_path / "image.ppm").write_bytes(content)
        result = subprocess.run([program, tmp_path / "image.ppm"], capture_output=True, text=True, check=False)
        assert result.returncode == 1
        assert "cannot be read" in result.stderr


@needs_compiler
def test_int8_is_near_the_network(tmp_path: Path) -> None:
    spec = make_spec(train=64)
    made = c_int8.export(every_operator(), spec, tmp_path)
    library = Library(tmp_path, spec)
    images = preprocess(torch.from_numpy(spec.train.pixels), spec.preprocessing)
    reference = every_operator()(images).numpy()
    logits = np.stack([library.logits(pixels) for pixels in spec.train.pixels])
    error, spread = np.abs(logits - reference).mean(), np.abs(reference - reference.mean(0)).mean()
    assert error < 0.15 * spread
    np.testing.assert_allclose(logits.mean(0), reference.mean(0), rtol=0, atol=0.2 * spread)
    assert made.flash_kb is not None
    assert made.flash_kb < 20


@needs_compiler
def test_int8_heeds_padding_in_the_last_layer(tmp_path: Path) -> None:
    """Of the kernel only the middle lies on the one pixel."""
    spec = make_spec(train=16)
    layers = [nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 5, 3, padding=1), nn.Flatten()]
    torch.manual_seed(0)
    network = nn.Sequential(*layers).eval().requires_grad_(False)
    c_int8.export(network, spec, tmp_path)
    library = Library(tmp_path, spec)
    logits = np.stack([library.logits(pixels) for pixels in spec.train.pixels])
    expected = network(preprocess(torch.from_numpy(spec.train.pixels), spec.preprocessing))
    np.testing.assert_allclose(logits, expected, rtol=0, atol=0.02)


def test_int8_wants_a_linear_layer_without_a_bound_at_the_end(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, (11, 16)), nn.Flatten(), nn.ReLU()).eval().requires_grad_(False)
    with pytest.raises(UserError, match="wants a linear layer at the end"):
        c_int8.export(network, make_spec(train=4), tmp_path)


@pytest.mark.slow
@needs_compiler
def test_a_refused_image_changes_nothing(tmp_path: Path) -> None:
    c.export(every_operator(), make_spec(), tmp_path)
    answer, probabilities = Library(tmp_path, make_spec()).classify(np.zeros((0, 5, 3), np.uint8))
    assert answer == -2
    assert not probabilities.any()


def test_int8_wants_images_to_calibrate_with(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="calibrate"):
        c_int8.export(every_operator(), make_spec(), tmp_path)


@pytest.mark.slow
@needs_compiler
def test_ram_is_arena_pixels_and_rows_alone(tmp_path: Path) -> None:
    c.export(every_operator(), make_spec(), tmp_path)
    header = (tmp_path / "trashlite.h").read_text()
    arena = int(header.split("TRASHLITE_ARENA_BYTES ")[1].split()[0])
    flash, ram = size_of(tmp_path / "trashlite.c")
    assert arena <= ram <= arena + 6000
    weights = 4 * sum(parameter.numel() for parameter in every_operator().parameters())
    assert weights <= flash <= weights + 12_000


@pytest.mark.slow
@pytest.mark.parametrize(("compiler", "emulator"), ARM)
@pytest.mark.parametrize("export", [c.export, c_int8.export], ids=["float", "int8"])
def test_arm_code_says_the_same(tmp_path: Path, export: object, compiler: str, emulator: str) -> None:
    spec = make_spec(train=16)
    export(every_operator(), spec, tmp_path)  # type: ignore[operator]
    library = Library(tmp_path, spec)
    program = compile_example(tmp_path, compiler, "-O2", "-static")
    for size in SIZES:
        _, probabilities = library.classify(noise(*size))
        _, printed = run_example([emulator, str(program)], noise(*size), tmp_path)
        np.testing.assert_allclose(printed, probabilities, rtol=0, atol=1e-5)
    (tmp_path / "image.ppm").write_bytes(b"P6 65536 65536 255\n")  # 3 * 2^32 bytes, which 32 bits take for none
    result = subprocess.run([emulator, program, tmp_path / "image.ppm"], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "cannot be read" in result.stderr
