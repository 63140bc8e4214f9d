"""A small RGBA canvas in numpy: smooth masks, layers, shading, warping."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIDE = 144
Y, X = np.meshgrid(*[(np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE] * 2, indexing="ij")

Field = NDArray[np.floating]
Point = tuple[float, float]


class Canvas:
    """A transparent square picture, painted layer by layer; coordinates are in [0, 1], y downwards.

    Masks and shading factors are (SIDE, SIDE) fields; colours are RGB in [0, 1].
    """

    def __init__(self) -> None:
        self.planes = np.zeros((4, SIDE, SIDE), np.float32)  # red, green, blue, alpha; premultiplied

    @property
    def alpha(self) -> Field:
        """Coverage of each pixel, (SIDE, SIDE)."""
        return self.planes[3]

    def paint(self, mask: Field, colour: Iterable[float], opacity: float = 1.0) -> None:
        """Lay a colour over what is there."""
        full = np.array([*colour, 1.0], np.float32)[:, None, None]
        self.planes += mask * np.float32(opacity) * (full - self.planes)

    def stain(self, mask: Field, colour: Iterable[float], opacity: float = 1.0) -> None:
        """Paint only where something is painted already."""
        self.paint(mask * self.alpha, colour, opacity)

    def shade(self, factor: Field) -> None:
        """Multiply the brightness by a factor field; above 1 it lightens, up to white."""
        self.planes[:3] = np.minimum(self.planes[:3] * factor, self.alpha)

    def warp(self, rng: np.random.Generator, amount: float, cells: int = 4) -> None:
        """Push the pixels about by a smooth random field, by at most `amount` of the side."""
        rows, columns = (
            (np.clip(axis + (noise(rng, cells) - 0.5) * 2 * amount, 0, 0.999) * SIDE).astype(np.intp) for axis in (Y, X)
        )
        self.planes = self.planes[:, rows, columns]

    def image(self) -> Image.Image:
        """The picture as a PIL image of mode RGBA."""
        straight = self.planes / np.maximum(self.alpha, 1e-3)
        straight[3] = self.alpha
        return Image.fromarray(to_bytes(np.moveaxis(straight, 0, 2)), "RGBA")


def to_bytes(picture: Field) -> NDArray[np.uint8]:
    """Brightness in [0, 1], clipped, as uint8."""
    return (picture.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def noise(rng: np.random.Generator, rows: int, columns: int | None = None) -> Field:
    """Smooth random field in [0, 1] with about `rows` x `columns` bumps."""
    return stretched_noise(rng, rows, columns or rows, (SIDE, SIDE))


def stretched_noise(rng: np.random.Generator, rows: int, columns: int, shape: tuple[int, int]) -> Field:
    """Smooth random field of any (H, W) shape in [0, 1] with about `rows` x `columns` bumps."""
    grid = rng.integers(0, 256, (rows + 1, columns + 1), dtype=np.uint8)
    enlarged = Image.fromarray(grid).resize(shape[::-1], Image.Resampling.BICUBIC)
    return np.asarray(enlarged, np.float32) / 255


def polygon(points: Sequence[Point]) -> Field:
    """Mask of a filled polygon."""
    layer, draw = _layer()
    draw.polygon(_pixels(points), fill=255)
    return _mask(layer)


def stroke(points: Sequence[Point], width: float) -> Field:
    """Mask of a line through the points."""
    layer, draw = _layer()
    draw.line(_pixels(points), fill=255, width=max(1, round(width * 2 * SIDE)), joint="curve")
    return _mask(layer)


def strokes(lines: Sequence[Sequence[Point]], width: float) -> Field:
    """Mask of many lines."""
    layer, draw = _layer()
    for points in lines:
        draw.line(_pixels(points), fill=255, width=max(1, round(width * 2 * SIDE)))
    return _mask(layer)


def box(left: float, top: float, right: float, bottom: float, radius: float = 0.0) -> Field:
    """Mask of a rectangle with rounded corners."""
    layer, draw = _layer()
    draw.rounded_rectangle(_pixels([(left, top), (right, bottom)]), radius * 2 * SIDE, fill=255)
    return _mask(layer)


def ellipse(left: float, top: float, right: float, bottom: float) -> Field:
    """Mask of an upright ellipse in its bounding box."""
    x, y = (X - (left + right) / 2) * 2 / (right - left), (Y - (top + bottom) / 2) * 2 / (bottom - top)
    distance = (1 - np.sqrt(x * x + y * y)) * (min(right - left, bottom - top) / 2 * SIDE)
    return np.clip(distance + 0.5, 0, 1)


def lathe(profile: Sequence[Point]) -> tuple[Field, Field]:
    """Silhouette of a turned body about x = 0.5, from (y, half width) points from top to bottom.

    Returns its mask, and the position across it: -1 at the left edge, 1 at the right.
    """
    heights, widths = zip(*profile, strict=True)
    half = np.interp(Y[:, 0], heights, widths).astype(np.float32)[:, None]
    inside = ((heights[0] <= Y) & (heights[-1] >= Y)).astype(np.float32)
    mask = np.clip((half - np.abs(X - 0.5)) * SIDE + 0.5, 0, 1) * inside
    return mask, ((X - 0.5) / np.maximum(half, 1e-3)).clip(-1, 1)


def blob(rng: np.random.Generator, roughness: float, radius: Point = (0.4, 0.4), corners: int = 28) -> Field:
    """Mask of a round outline with random dents; `roughness` is the depth of the dents as a share."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    reach = 1 - roughness * rng.random(corners)
    xs, ys = 0.5 + radius[0] * reach * np.cos(angle), 0.5 + radius[1] * reach * np.sin(angle)
    return polygon(list(zip(xs.tolist(), ys.tolist(), strict=True)))


def _layer() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    layer = Image.new("L", (2 * SIDE, 2 * SIDE))
    return layer, ImageDraw.Draw(layer)


def _mask(layer: Image.Image) -> Field:
    return np.asarray(layer.reduce(2), np.float32) / 255


def _pixels(points: Sequence[Point]) -> list[Point]:
    return [(x * 2 * SIDE, y * 2 * SIDE) for x, y in points]
