"""Any image file as a small RGB array."""

import errno
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import ExifTags, Image, ImageOps

ResizeMode = Literal["stretch", "letterbox", "landscape"]
ResizeKernel = Literal["bilinear", "box"]  # of networks
Kernel = ResizeKernel | Literal["nearest"]

DECODER_VERSION = 2  # part of the cache's key: raise it when the pixels that `decode` returns change
PADDING = (114, 114, 114)
# Opening by content, but only these: PIL's other readers are old formats, or run programs (EPS).
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
# Faults of the machine and not of the file, which may read well the next time.
MACHINE_FAULTS = frozenset({errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM, errno.ESTALE})


class BadImageError(Exception):
    """A file that cannot be read as an image: `path`, and `why` in words."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(path, why)
        self.path = path
        self.why = why

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


def decode(
    path: Path, image_size: tuple[int, int], resize_mode: ResizeMode = "stretch", kernel: Kernel = "bilinear"
) -> np.ndarray:
    """Read an image file as RGB, upright (EXIF), resized with antialiasing; of an animation the first frame.

    Args:
        path: the file; its content decides the format, not its name.
        image_size: (height, width) of the result in pixels.
        resize_mode: `stretch` ignores the aspect ratio; `letterbox` keeps it and pads with grey 114;
            `landscape` turns portrait images by 90 degrees, then stretches.
        kernel: `bilinear` is fast: it lets the JPEG decoder and whole-numbered averages do part of the shrinking,
            which no other program repeats; `box` is Pillow's average of all pixels of the full image, `nearest` its
            choice of single ones.

    Returns:
        uint8 array (height, width, 3). Transparency lies on white; greys of 12 and 16 bits are scaled to 8.

    Raises:
        BadImageError: not an image, broken, truncated, unreadable, or over PIL's limit of pixels.
        OSError, MemoryError: the machine failed (too many open files, input/output error), not the image.
    """
    return resize(read_rgb(path, draft_side(image_size, kernel)), image_size, resize_mode, kernel)


def draft_side(image_size: tuple[int, int], kernel: Kernel) -> int | None:
    """Pixels a side that a JPEG must keep: the decoder may skip detail beyond twice the wanted size; None: nothing."""
    return 2 * max(image_size) if kernel == "bilinear" else None


def kernel_of(preprocessing: Mapping[str, Any]) -> ResizeKernel:
    """Kernel of a checkpoint's `preprocessing`, which does not name the one that was the first."""
    return preprocessing.get("kernel", "bilinear")


def decode_settings(preprocessing: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `decode` and `resize` from a checkpoint's `preprocessing`."""
    height, width = preprocessing["image_size"]
    return {
        "image_size": (height, width),
        "resize_mode": preprocessing["resize_mode"],
        "kernel": kernel_of(preprocessing),
    }


def read_rgb(path: Path, draft: int | None = None) -> Image.Image:
    """Read an image file as RGB, upright; a JPEG no smaller than `draft` pixels a side, where that is given.

    Raises: as `decode`.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            # PIL only warns between once and twice its limit.
            if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels are over the limit")
            if draft:
                image.draft(None, (draft, draft))
            image.load()
            return as_rgb(image)
    except Image.UnidentifiedImageError as error:
        why = "the file is empty" if path.stat().st_size == 0 else "not an image in a known format"
        raise BadImageError(path, why) from error
    except MemoryError:
        raise
    except Exception as error:  # PIL's readers raise nearly anything on broken data: SyntaxError, struct.error, ...
        if isinstance(error, OSError) and error.errno in MACHINE_FAULTS:
            raise
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadImageError(path, why or type(error).__name__) from error


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation of an opened image, 1 (upright) to 8; 1 where there is none that makes sense."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # broken EXIF beside sound pixels
        return 1
    return int(found) if found in range(1, 9) else 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an opened image, not yet decoded, as it will be shown."""
    # Pillow's reader of TIFF has turned the size already.
    lies = orientation_of(image) >= 5 and image.format != "TIFF"
    return (image.height, image.width) if lies else image.size


def as_rgb(image: Image.Image) -> Image.Image:
    """Any image of Pillow as RGB, upright by its EXIF; transparency on white, greys of 12 and 16 bits scaled."""
    _turn_upright(image)
    return _to_rgb(image)


def _turn_upright(image: Image.Image) -> None:
    # Broken EXIF beside sound pixels raises any error of the reader, and is no reason to lose the image.
    with suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _grey_to_8_bits(image).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _grey_to_8_bits(image: Image.Image) -> Image.Image:
    """Scale by the full range: 1 for floats, 4095 for integers up to that, else 65535; or the maximum beyond it.

    Industrial cameras write 12 bits into files of 16, which would come out black.
    """
    grey = np.nan_to_num(np.asarray(image, dtype=np.float32))
    largest = float(grey.max())
    full = 1.0 if image.mode == "F" else 4095.0 if largest <= 4095 else 65535.0
    grey = grey * (255.0 / max(full, largest))
    return Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))


def resize(
    image: Image.Image, image_size: tuple[int, int], resize_mode: ResizeMode = "stretch", kernel: Kernel = "bilinear"
) -> np.ndarray:
    """An RGB image as the network's pixels, uint8 (height, width, 3); arguments as of `decode`."""
    height, width = image_size
    match resize_mode:
        case "letterbox":
            scale = min(width / image.width, height / image.height)
            inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            padded = Image.new("RGB", (width, height), PADDING)
            corner = ((width - inner[0]) // 2, (height - inner[1]) // 2)
            padded.paste(_shrink(image, inner, kernel), corner)
            return np.asarray(padded)
        case "landscape" if image.height > image.width:
            image = image.transpose(Image.Transpose.ROTATE_90)
    return np.asarray(_shrink(image, (width, height), kernel))


def _shrink(image: Image.Image, size: tuple[int, int], kernel: Kernel) -> Image.Image:
    match kernel:
        case "box":
            return image.resize(size, Image.Resampling.BOX)
        case "nearest":
            return image.resize(size, Image.Resampling.NEAREST)
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
