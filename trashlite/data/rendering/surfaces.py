"""Colours, patterns and shading that the objects of the demo data set share."""

import numpy as np

from trashlite.data.rendering.canvas import Canvas, Field, Point, X, Y, noise, strokes

Rng = np.random.Generator
Colour = np.ndarray

BRAND = (
    (0.80, 0.12, 0.12),
    (0.10, 0.30, 0.70),
    (0.10, 0.55, 0.25),
    (0.95, 0.75, 0.10),
    (0.90, 0.45, 0.10),
    (0.45, 0.15, 0.50),
    (0.10, 0.55, 0.65),
    (0.12, 0.12, 0.14),
)
WHITE = (0.93, 0.93, 0.92)
STEEL = (0.72, 0.73, 0.75)
CARDBOARD = (0.72, 0.56, 0.38)


def varied(rng: Rng, colour: tuple[float, ...]) -> Colour:
    return np.clip(np.array(colour) + rng.normal(0, 0.035, 3) + rng.normal(0, 0.04), 0.02, 0.98)


def brand_colour(rng: Rng) -> Colour:
    return one_of(rng, *BRAND)


def one_of(rng: Rng, *colours: tuple[float, ...]) -> Colour:
    """One of the colours, a little off; those named twice come twice as often."""
    return varied(rng, colours[rng.integers(len(colours))])


def bars(axis: Field, pitch: float, share: float) -> Field:
    return (np.mod(axis / pitch, 1) < share).astype(np.float32)


def band(axis: Field, centre: float, half: float) -> Field:
    return (np.abs(axis - centre) < half).astype(np.float32)


def roundness(rng: Rng, across: Field, gloss: float) -> Field:
    """Brightness across a matt or glossy cylinder lit from one side."""
    light = rng.uniform(-0.5, 0.5)
    glint = np.exp(-(((across - light) / 0.16) ** 2))
    return 0.45 + 0.6 * np.cos((across - light) * 1.1) + gloss * 0.7 * glint


def sheen(rng: Rng, across: Field) -> Field:
    """Brightness across polished metal: several sharp reflections."""
    phase = rng.uniform(0, 6)
    waves = 0.5 * np.sin(across * 7 + phase) + 0.3 * np.sin(across * 15 + 2 * phase)
    return (0.95 + 0.5 * waves) * (1 - 0.5 * across**4)


def folds(rng: Rng, cells: int) -> Field:
    return 0.6 * noise(rng, cells, cells + 3) + 0.4 * np.abs(2 * noise(rng, cells, 3) - 1)


def crease(canvas: Canvas, rng: Rng, count: int, depth: float) -> None:
    """Creases: each half plane of a random line is a little lighter or darker than the other."""
    factor = np.ones_like(X)
    for angle, offset, step in zip(
        rng.uniform(0, 2 * np.pi, count),
        rng.uniform(-0.35, 0.35, count),
        rng.uniform(0.3, 1, count),
        strict=True,
    ):
        distance = (X - 0.5) * np.float32(np.cos(angle)) + (Y - 0.5) * np.float32(np.sin(angle)) - np.float32(offset)
        factor *= 1 + np.float32(depth * step) * np.where(
            distance > 0, np.exp(-distance * 9), -np.exp(distance * 9) * 0.8
        )
    canvas.shade(factor.clip(0.4, 1.4))


def bead(canvas: Canvas, rng: Rng) -> None:
    """Foam texture: a jittered honeycomb of round beads with dark gaps."""
    pitch = rng.uniform(0.025, 0.05)
    row = np.floor(Y / pitch)
    u, v = np.mod(X / pitch + 0.5 * np.mod(row, 2) + 0.3 * noise(rng, 9), 1) - 0.5, np.mod(Y / pitch, 1) - 0.5
    canvas.shade(1.04 - 0.75 * (u * u + v * v) + 0.1 * (rng.random(X.shape, np.float32) - 0.5))


def print_text(
    canvas: Canvas, rng: Rng, area: tuple[float, float, float, float], ink: tuple[float, ...], rows: int = 4
) -> None:
    """Lines of make-believe text: words of random lengths on `rows` lines of the area."""
    left, top, right, bottom = area
    words: list[list[Point]] = []
    for y in np.linspace(top, bottom, rows).tolist():
        x = left
        while x < right - 0.02:
            end = min(x + rng.uniform(0.03, 0.14), right)
            words.append([(x, y), (end, y)])
            x = end + 0.02
    canvas.stain(strokes(words, min(0.022, (bottom - top) / rows * 0.4)), ink, 0.85)
