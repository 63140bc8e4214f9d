"""The classes of the demo data set, each with the function that draws it."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from trashlite.data.rendering.canvas import Canvas
from trashlite.data.rendering.containers import battery, glass, metal, paperpack, plastic
from trashlite.data.rendering.pieces import clothing, paper, plasticbag, styrofoam

DRAW: dict[str, Callable[[np.random.Generator], Canvas]] = {
    "Battery": battery,
    "Clothing": clothing,
    "Glass": glass,
    "Metal": metal,
    "Paper": paper,
    "Paperpack": paperpack,
    "Plastic": plastic,
    "Plasticbag": plasticbag,
    "Styrofoam": styrofoam,
}


def draw_object(name: str, rng: np.random.Generator) -> Image.Image:
    """One object of the class `name` on a transparent ground, cut to its outline (mode RGBA)."""
    picture = DRAW[name](rng).image()
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turn = rng.uniform(0, 360) if rng.random() < 0.1 else rng.normal(0, 8)
    picture = picture.rotate(turn, Image.Resampling.BILINEAR, expand=True)
    return picture.crop(picture.getchannel("A").point(lambda alpha: 255 * (alpha > 16)).getbbox())
