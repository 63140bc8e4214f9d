"""Robustness: the F1 lost when a camera or a program makes other pixels of the same images."""

import io
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter
from torch.nn import functional as F

from trashlite.data.decode import decode_settings, read_rgb, resize
from trashlite.deployment.predictor import Predictor
from trashlite.deployment.spec import LabelledImages
from trashlite.metrics import macro_f1

Pixels = NDArray[np.uint8]
AS_TRAINED = "as decode makes them"
KERNELS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bilinear without antialias": None,
    "box (area)": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "Lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}
MISTAKE = "BGR (a mistake, not a condition)"


@dataclass(frozen=True)
class Row:
    """Macro F1 in 0..1 under one condition, and what it is more than on the pixels of training."""

    condition: str
    f1: float
    change: float


def measure_robustness(predictor: Predictor, images: LabelledImages) -> list[Row]:
    """Macro F1 of a classifier under each condition, first as trained.

    Each image is read once in full, without the JPEG decoder's shrinking, as a camera's frame comes.
    """
    conditions = make_conditions(predictor.preprocessing)

    def pixels_of(path: Any) -> list[Pixels]:
        image = read_rgb(path)
        return [make(image) for make in conditions.values()]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = [np.stack(pixels) for pixels in zip(*pool.map(pixels_of, images.files), strict=True)]
    figures = {
        name: _f1(predictor, pixels, images.targets)
        for name, pixels in zip([AS_TRAINED, *conditions], [images.pixels, *made], strict=True)
    }
    return [Row(name, f1, f1 - figures[AS_TRAINED]) for name, f1 in figures.items()]


def worst_kernel(rows: list[Row]) -> Row:
    """The kernel under which the network is worst.

    Raises:
        ValueError: no kernels were measured, as for `letterbox`.
    """
    return min((row for row in rows if row.condition in KERNELS), key=lambda row: row.f1)


def make_conditions(preprocessing: Mapping[str, Any]) -> dict[str, Callable[[Image.Image], Pixels]]:
    """The network's pixels uint8 (H, W, 3) under each condition, from an upright RGB image of full size."""
    settings = decode_settings(preprocessing)
    turned = settings["resize_mode"] == "landscape"

    def own(image: Image.Image) -> Pixels:
        return resize(image, **settings)

    def by(kernel: Image.Resampling | None) -> Callable[[Image.Image], Pixels]:
        return lambda image: _stretch(_turn(image) if turned else image, settings["image_size"], kernel)

    conditions: dict[str, Callable[[Image.Image], Pixels]] = {"full frame, as from a camera": own}
    if settings["resize_mode"] != "letterbox":  # its frame is no matter of a kernel
        conditions |= {name: by(kernel) for name, kernel in KERNELS.items()}
    conditions |= {f"JPEG quality {quality}": _then(own, _jpeg, quality) for quality in (70, 50, 30)}
    conditions |= {
        "blur (1 % of the longer side)": _then(own, _blur, 0.01),
        "noise (10 % of full scale)": _then(own, _noise, 25.5),
        "brightness × 0.6": _then(own, _brighten, 0.6),
        "brightness × 1.5": _then(own, _brighten, 1.5),
    }
    if turned:
        conditions["portrait not turned"] = lambda image: resize(image, **{**settings, "resize_mode": "stretch"})
    return {**conditions, MISTAKE: lambda image: own(image)[..., ::-1]}


def markdown_table(rows: list[Row]) -> str:
    """Conditions, F1 and the change in points of F1, in columns of a terminal."""
    width = max(len(row.condition) for row in rows)
    lines = [f"| {'pixels':{width}} | F1     | points |", f"| {'-' * width} | -----: | -----: |"]
    lines += [f"| {row.condition:{width}} | {row.f1:.4f} | {100 * row.change:+6.1f} |" for row in rows]
    return "\n".join(lines)


def _f1(predictor: Predictor, pixels: Pixels, targets: NDArray[np.int64]) -> float:
    return macro_f1(targets, predictor.logits(pixels).argmax(axis=1), len(predictor.class_names))


def _turn(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.ROTATE_90) if image.height > image.width else image


def _stretch(image: Image.Image, size: tuple[int, int], kernel: Image.Resampling | None) -> Pixels:
    if kernel is not None:
        return np.asarray(image.resize(size[::-1], kernel))
    # As OpenCV's INTER_LINEAR and a browser's canvas: of each result the four nearest pixels alone.
    planes = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    small = F.interpolate(planes, size, mode="bilinear", antialias=False, align_corners=False)
    return small[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()


def _then(
    own: Callable[[Image.Image], Pixels], change: Callable[[Image.Image, Any], Image.Image], value: float
) -> Callable[[Image.Image], Pixels]:
    return lambda image: own(change(image, value))


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def _blur(image: Image.Image, share: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(share * max(image.size)))


def _noise(image: Image.Image, spread: float) -> Image.Image:
    noise = np.random.default_rng(image.width * image.height).normal(0, spread, (image.height, image.width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def _brighten(image: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(factor)
