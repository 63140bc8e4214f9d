"""Photographs for the demo data set: an object on a ground, half hidden, badly lit, noisy, blurred."""

import numpy as np
from PIL import Image, ImageFilter

from trashlite.data.rendering.canvas import Field, stretched_noise, to_bytes
from trashlite.data.rendering.objects import DRAW, draw_object

SHORTEST, LONGEST = 40, 240

Rng = np.random.Generator


def render_photograph(name: str, rng: Rng) -> Image.Image:
    """A crop of a photograph that shows one object of class `name`; sides of 40 to 240 pixels, mode RGB."""
    thing = draw_object(name, rng)
    scale = np.exp(rng.uniform(np.log(72), np.log(230))) / max(thing.size)
    stretch = rng.uniform(0.85, 1.15)
    thing = _resized(thing, scale * stretch, scale / stretch)
    width, height = (int(np.clip(side * rng.uniform(0.86, 1.16), SHORTEST, LONGEST)) for side in thing.size)
    photograph = Image.fromarray(to_bytes(_ground(rng, height, width)))
    left = round((width - thing.width) / 2 + rng.normal(0, 0.04) * thing.width)
    top = round((height - thing.height) / 2 + rng.normal(0, 0.04) * thing.height)
    _cast_shadow(photograph, thing, (left, top), rng)
    photograph.paste(thing, (left, top), thing)
    if rng.random() < 0.22:
        _hide(photograph, rng)
    if rng.random() < 0.25:
        photograph = photograph.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0) * max(width, height) / 110))
    return Image.fromarray(to_bytes(_expose(np.asarray(photograph, np.float32) / 255, rng)))


def _resized(thing: Image.Image, across: float, down: float) -> Image.Image:
    size = max(4, round(thing.width * across)), max(4, round(thing.height * down))
    return thing.resize(size, Image.Resampling.BILINEAR, reducing_gap=2)


def _ground(rng: Rng, height: int, width: int) -> Field:
    """Background of the object, (H, W, 3): a wall, concrete, wood, grass, tiles, a belt or rubbish."""
    shape = height, width
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / 100
    tone: Field = np.array(_TONES[rng.integers(len(_TONES))]) + rng.normal(0, 0.05, 3)
    grain = rng.random(shape, np.float32) - 0.5
    relief = 0.15 * (stretched_noise(rng, 4, 4, shape) - 0.5)
    match rng.choice(7, p=_HOW_OFTEN):
        case 0:
            relief += x * rng.normal(0, 0.2) + y * rng.normal(0, 0.2)
        case 1:
            relief += 0.25 * grain
        case 2:
            tone = np.array((0.55, 0.38, 0.22))
            relief += 0.08 * np.sin(x * rng.uniform(8, 20) + 6 * stretched_noise(rng, 2, 5, shape)) + 0.07 * grain
        case 3:
            tone = np.array((0.28, 0.40, 0.16))
            relief += 0.25 * (stretched_noise(rng, 30, 45, shape) - 0.5)
        case 4:
            pitch = rng.uniform(0.3, 0.6)
            relief += 0.07 * grain - 0.3 * ((np.mod(x, pitch) < 0.03) | (np.mod(y, pitch) < 0.03))
        case 5:
            tone = np.array((0.16, 0.17, 0.18))
            ridges = np.mod(x + rng.uniform(-0.5, 0.5) * y, rng.uniform(0.12, 0.3)) < 0.05
            relief += 0.12 * ridges + 0.1 * grain
        case _:
            cells = int(rng.integers(4, 9))
            colours = [stretched_noise(rng, cells, cells, shape) for _ in range(3)]
            tone = 0.4 * tone + 0.5 * np.stack(colours, axis=2)
    return tone.astype(np.float32) + relief[..., None]


_HOW_OFTEN = (0.25, 0.25, 0.07, 0.06, 0.15, 0.18, 0.04)  # each kind of ground, in its order above
_TONES = (
    (0.55, 0.55, 0.55),
    (0.75, 0.74, 0.70),
    (0.35, 0.36, 0.38),
    (0.55, 0.48, 0.42),
    (0.45, 0.50, 0.55),
    (0.20, 0.22, 0.25),
)


def _cast_shadow(photograph: Image.Image, thing: Image.Image, place: tuple[int, int], rng: Rng) -> None:
    reach = max(thing.size) * rng.uniform(0.02, 0.08)
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.65)
    alpha = thing.getchannel("A").point(lambda value: int(value * strength))
    shadow = Image.new("L", photograph.size)
    shadow.paste(alpha, (place[0] + round(reach * np.cos(angle)), place[1] + round(reach * np.sin(angle))))
    photograph.paste((0, 0, 0), (0, 0), shadow.filter(ImageFilter.BoxBlur(reach / 2)))


def _hide(photograph: Image.Image, rng: Rng) -> None:
    """Lay a piece of another object, of any class, over one edge of the photograph."""
    names = list(DRAW)
    piece = draw_object(names[rng.integers(len(names))], rng)
    factor = max(photograph.size) * rng.uniform(0.35, 0.7) / max(piece.size)
    piece = _resized(piece, factor, factor)
    along, depth = rng.uniform(0, 1), rng.uniform(0.08, 0.2)
    width, height = photograph.size
    x, y = round(along * width - piece.width / 2), round(along * height - piece.height / 2)
    match rng.integers(4):
        case 0:
            x = round(depth * width) - piece.width
        case 1:
            x = round((1 - depth) * width)
        case 2:
            y = round(depth * height) - piece.height
        case _:
            y = round((1 - depth) * height)
    photograph.paste(piece, (x, y), piece)


def _expose(picture: Field, rng: Rng) -> Field:
    """Uneven light, colour cast, contrast and sensor noise."""
    height, width, _ = picture.shape
    fall = np.linspace(-1, 1, width, dtype=np.float32) * rng.normal(0, 0.1)
    fall = fall + np.linspace(-1, 1, height, dtype=np.float32)[:, None] * rng.normal(0, 0.1)
    cast = (rng.normal(1, 0.04, 3) * np.exp(rng.normal(0, 0.14))).astype(np.float32)
    contrast = np.float32(np.exp(rng.normal(0, 0.12)))
    lit = ((picture - 0.5) * contrast + 0.5) * ((1 + fall)[..., None] * cast)
    grain = rng.random(picture.shape, np.float32) - np.float32(0.5)
    return lit + grain * np.float32(rng.uniform(0.0, 0.14))
