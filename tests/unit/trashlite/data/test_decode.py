import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trashlite.data.decode import BadImageError, decode, decode_settings, draft_side

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def halves(width: int = 40, height: int = 20, left: tuple = RED, right: tuple = BLUE) -> Image.Image:
    """An image whose left half has one colour and whose right half another."""
    image = Image.new("RGB", (width, height), left)
    image.paste(right, (width // 2, 0, width, height))
    return image


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def near(pixel: np.ndarray, colour: tuple, tolerance: int = 6) -> bool:
    return bool(np.abs(pixel.astype(int) - np.array(colour)).max() <= tolerance)


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.bmp", "x.gif", "x.webp", "x.tif", "png-inside.jpg"])
def test_formats_give_the_same_pixels(tmp_path: Path, name: str) -> None:
    kind = {"format": "PNG"} if name.startswith("png") else {}
    pixels = decode(saved(tmp_path / name, halves(), **kind), (8, 16))
    assert pixels.shape == (8, 16, 3)
    assert pixels.dtype == np.uint8
    assert near(pixels[4, 2], RED, 12)
    assert near(pixels[4, 13], BLUE, 12)


def test_palette(tmp_path: Path) -> None:
    pixels = decode(saved(tmp_path / "x.png", halves().quantize(4)), (4, 4))
    assert near(pixels[0, 0], RED)
    assert near(pixels[0, 3], BLUE)


def test_transparent_pixels_lie_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (20, 20), (*RED, 255))
    image.paste((0, 0, 0, 0), (10, 0, 20, 20))
    rgba = decode(saved(tmp_path / "rgba.png", image), (2, 2))
    assert near(rgba[0, 0], RED, 40)
    assert near(rgba[0, 1], WHITE, 40)
    half = decode(saved(tmp_path / "half.png", Image.new("LA", (5, 5), (0, 128))), (2, 2))
    assert near(half[0, 0], (127, 127, 127), 1)
    palette = Image.new("P", (5, 5), 0)
    palette.putpalette([9, 9, 9])
    assert near(decode(saved(tmp_path / "p.png", palette, transparency=0), (1, 1))[0, 0], WHITE)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    pixels = decode(saved(tmp_path / "x.jpg", halves().convert("CMYK"), quality=95), (4, 4))
    assert near(pixels[0, 0], RED, 12)
    assert near(pixels[0, 3], BLUE, 12)


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_16_bit_is_scaled_to_8(tmp_path: Path, name: str) -> None:
    grey = np.full((6, 6), 32896, dtype=np.uint16)  # 32896 / 65535 * 255 = 128
    assert near(decode(saved(tmp_path / name, Image.fromarray(grey)), (2, 2))[0, 0], (128, 128, 128), 0)


@pytest.mark.parametrize(("value", "expected"), [(4095, 255), (2056, 128), (0, 0), (4096, 16)])
def test_12_bits_in_a_file_of_16_are_not_black(tmp_path: Path, value: int, expected: int) -> None:
    grey = np.full((6, 6), value, dtype=np.uint16)
    assert decode(saved(tmp_path / "x.png", Image.fromarray(grey)), (1, 1)).ravel().tolist() == [expected] * 3


def test_32_bit_and_float_tiffs(tmp_path: Path) -> None:
    integers = Image.fromarray(np.full((4, 4), 32896, dtype=np.int32))
    floats = Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32))
    assert decode(saved(tmp_path / "i.tif", integers), (1, 1)).ravel().tolist() == [128, 128, 128]
    assert decode(saved(tmp_path / "f.tif", floats), (1, 1)).ravel().tolist() == [128, 128, 128]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 100, 200]], np.float32), [0, 128, 255]),  # beyond 1: by the largest
        (np.array([[np.nan, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 100_000, 200_000]], np.int32), [0, 128, 255]),
    ],
)
def test_greys_of_any_range(tmp_path: Path, values: np.ndarray, expected: list[int]) -> None:
    pixels = decode(saved(tmp_path / "x.tif", Image.fromarray(values)), (1, 3), kernel="nearest")
    assert pixels[0, :, 0].tolist() == expected


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_and_black_and_white(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (9, 9), 255)
    assert decode(saved(tmp_path / "x.png", image), (1, 1)).ravel().tolist() == [255, 255, 255]


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (GREEN, RED)]
    path = saved(tmp_path / "x.gif", frames[0], save_all=True, append_images=frames[1:])
    assert near(decode(path, (2, 2))[0, 0], GREEN)


@pytest.mark.parametrize(
    ("orientation", "first", "last"),
    # The stored image is red on the left and blue on the right; where they are once upright.
    [(1, "left", "right"), (3, "right", "left"), (6, "top", "bottom"), (8, "bottom", "top")],
)
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, first: str, last: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(saved(tmp_path / "x.jpg", halves(), exif=exif, quality=95), (8, 8))
    at = {"left": (4, 1), "right": (4, 6), "top": (1, 4), "bottom": (6, 4)}
    assert near(pixels[at[first]], RED, 20)
    assert near(pixels[at[last]], BLUE, 20)


def test_multi_picture_jpeg_of_a_phone_gives_its_first(tmp_path: Path) -> None:
    options = {"format": "MPO", "save_all": True, "append_images": [Image.new("RGB", (40, 20), GREEN)]}
    assert near(decode(saved(tmp_path / "x.jpg", halves(), **options), (4, 4))[0, 0], RED, 12)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_broken_exif_does_not_lose_the_image(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.jpg", halves(), exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xffjunk")
    assert decode(path, (4, 4)).shape == (4, 4, 3)


def test_jpeg_draft_mode_stays_near_the_full_decode(tmp_path: Path) -> None:
    y, x = np.mgrid[0:600, 0:800]
    smooth = np.stack([x * 255 / 800, y * 255 / 600, (x + y) * 255 / 1400], axis=2).astype(np.uint8)
    image = Image.fromarray(smooth)
    fast = decode(saved(tmp_path / "x.jpg", image, quality=95), (32, 32)).astype(int)
    exact = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(fast - exact).max() <= 4


def test_downscaling_is_antialiased(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    pixels = decode(saved(tmp_path / "x.png", Image.fromarray(stripes)), (8, 8))
    assert np.abs(pixels.astype(int) - 127).max() <= 20  # picking single pixels would give 0 or 255


@pytest.mark.parametrize("mode", ["stretch", "letterbox", "landscape"])
@pytest.mark.parametrize("size", [(1, 1), (10000, 1), (1, 10000)])
def test_extreme_sizes(tmp_path: Path, size: tuple[int, int], mode: str) -> None:
    pixels = decode(saved(tmp_path / "x.png", Image.new("RGB", size, GREEN)), (46, 64), mode)
    assert pixels.shape == (46, 64, 3)
    assert near(pixels[23, 32], GREEN) or mode == "letterbox"
    assert (pixels == np.array(GREEN)).all(axis=2).any()


def test_letterbox_keeps_the_aspect_and_pads_with_grey(tmp_path: Path) -> None:
    pixels = decode(saved(tmp_path / "x.png", halves(40, 20)), (16, 16), "letterbox")
    assert (pixels[:4] == 114).all()
    assert (pixels[12:] == 114).all()
    assert near(pixels[4, 0], RED)
    assert near(pixels[11, 15], BLUE)
    odd = decode(saved(tmp_path / "x.png", halves(40, 20)), (11, 16), "letterbox")
    assert (odd == 114).all(axis=(1, 2)).tolist() == [True] + [False] * 8 + [True] * 2


def test_landscape_turns_portraits_only(tmp_path: Path) -> None:
    wide, tall = halves(40, 20), halves(40, 20).transpose(Image.Transpose.ROTATE_270)
    same = decode(saved(tmp_path / "wide.png", wide), (8, 16), "landscape")
    turned = decode(saved(tmp_path / "tall.png", tall), (8, 16), "landscape")
    np.testing.assert_array_equal(same, turned)
    assert near(turned[4, 0], RED)
    assert near(turned[4, 15], BLUE)
    square = decode(saved(tmp_path / "square.png", halves(20, 20)), (8, 16), "landscape")
    assert near(square[4, 0], RED)
    assert near(square[4, 15], BLUE)


def test_truncated_jpeg(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    path = saved(tmp_path / "x.jpg", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadImageError, match=r"x\.jpg.*truncated"):
        decode(path, (8, 8))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"just some text", "not an image"),
        (b"\xff\xd8\xff\xe0", "JPEG|truncated|not an image"),
        (b"%!PS-Adobe-3.0 EPSF", "not"),
    ],
)
def test_files_that_are_no_images(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    with pytest.raises(BadImageError, match=why) as caught:
        decode(path, (8, 8))
    assert caught.value.path == path


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match="No such file"):
        decode(tmp_path / "x.jpg", (8, 8))


@pytest.mark.parametrize("limit", [150, 60])  # PIL warns of 200 pixels at the first limit, refuses at the second
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bomb(tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "x.png", Image.new("RGB", (20, 10)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(BadImageError, match="limit"):
        decode(path, (8, 8))


def test_faults_of_the_machine_do_not_blame_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(OSError, match="Too many open files"):
        decode(tmp_path / "x.jpg", (8, 8))


def test_a_machine_without_memory_does_not_blame_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "x.png", halves())

    def fail(_: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", fail)
    with pytest.raises(MemoryError):
        decode(path, (8, 8))


def test_a_jpeg_keeps_twice_the_longer_side() -> None:
    assert draft_side((8, 12), "bilinear") == draft_side((12, 8), "bilinear") == 24
    assert draft_side((8, 12), "box") is None


def test_box_is_the_average_of_all_pixels_of_the_full_image(tmp_path: Path) -> None:
    """A JPEG large enough for the decoder's own shrinking, which `bilinear` uses and `box` must not."""
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    path = saved(tmp_path / "x.jpg", Image.fromarray(noise), quality=95)
    full = np.asarray(Image.open(path)).astype(float)
    average = full.reshape(6, 20, 8, 20, 3).mean(axis=(1, 3))
    pixels = decode(path, (6, 8), kernel="box")
    assert np.abs(pixels - average).max() <= 1  # Pillow rounds after the rows and after the columns
    assert np.abs(decode(path, (6, 8)) - average).max() > 1


def test_nearest_picks_pixels_of_the_full_image(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    path = saved(tmp_path / "x.jpg", Image.fromarray(noise), quality=95)
    full = np.asarray(Image.open(path))
    np.testing.assert_array_equal(decode(path, (6, 8), kernel="nearest"), full[10::20, 10::20])


@pytest.mark.parametrize("mode", ["letterbox", "landscape"])
def test_box_keeps_to_the_resize_mode(tmp_path: Path, mode: str) -> None:
    path = saved(tmp_path / "x.png", halves(20, 40, RED, BLUE))
    pixels = decode(path, (8, 16), mode, "box")
    if mode == "landscape":
        assert near(pixels[0, 0], BLUE)
        assert near(pixels[7, 0], RED)
    else:
        assert near(pixels[0, 0], (114, 114, 114))
        assert near(pixels[4, 6], RED)


def test_settings_of_a_checkpoint_that_names_no_kernel() -> None:
    old = {"image_size": [8, 12], "resize_mode": "landscape", "mean": [0.5] * 3, "std": [0.5] * 3}
    assert decode_settings(old) == {"image_size": (8, 12), "resize_mode": "landscape", "kernel": "bilinear"}
    assert decode_settings({**old, "kernel": "box"})["kernel"] == "box"
