"""Any image file as a small RGB array."""

import errno
from contextlib import suppress
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

ResizeMode = Literal["stretch", "letterbox", "landscape"]

DECODER_VERSION = 1  # part of the cache's key: raise it when the pixels that `decode` returns change
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


def decode(path: Path, image_size: tuple[int, int], resize_mode: ResizeMode = "stretch") -> np.ndarray:
    """Read an image file as RGB, upright (EXIF), resized with antialiasing; of an animation the first frame.

    Args:
        path: the file; its content decides the format, not its name.
        image_size: (height, width) of the result in pixels.
        resize_mode: `stretch` ignores the aspect ratio; `letterbox` keeps it and pads with grey 114;
            `landscape` turns portrait images by 90 degrees, then stretches.

    Returns:
        uint8 array (height, width, 3). Transparency lies on white; 16-bit greys are scaled to 8 bits.

    Raises:
        BadImageError: not an image, broken, truncated, unreadable, or over PIL's limit of pixels.
        OSError, MemoryError: the machine failed (too many open files, input/output error), not the image.
    """
    height, width = image_size
    try:
        with Image.open(path, formats=FORMATS) as image:
            # PIL only warns between once and twice its limit.
            if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels are over the limit")
            # Lets the JPEG decoder skip detail; the result stays at least twice the wanted size.
            image.draft(None, (2 * max(image_size), 2 * max(image_size)))
            image.load()
            _turn_upright(image)
            rgb = _to_rgb(image)
        return np.asarray(_resize(rgb, (width, height), resize_mode))
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
    """Scale by the full range: 65535 for integers, 1 for floats, or the maximum where that is larger."""
    grey = np.nan_to_num(np.asarray(image, dtype=np.float32))
    full = 1.0 if image.mode == "F" else 65535.0
    grey = grey * (255.0 / max(full, float(grey.max())))
    return Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))


def _resize(image: Image.Image, size: tuple[int, int], resize_mode: ResizeMode) -> Image.Image:
    bilinear = Image.Resampling.BILINEAR
    match resize_mode:
        case "letterbox":
            scale = min(size[0] / image.width, size[1] / image.height)
            inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            padded = Image.new("RGB", size, PADDING)
            corner = ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2)
            padded.paste(image.resize(inner, bilinear, reducing_gap=2.0), corner)
            return padded
        case "landscape" if image.height > image.width:
            image = image.transpose(Image.Transpose.ROTATE_90)
    return image.resize(size, bilinear, reducing_gap=2.0)
