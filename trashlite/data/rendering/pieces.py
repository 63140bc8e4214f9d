"""Stylised objects of the demo data set without a base: clothes, paper, bags, foam.

Colours and shapes are shared between classes on purpose (a white bag, a crumpled sheet and broken foam).
"""

import numpy as np

from trashlite.data.rendering.canvas import (
    Canvas,
    Point,
    X,
    Y,
    blob,
    box,
    ellipse,
    noise,
    polygon,
    stroke,
    strokes,
)
from trashlite.data.rendering.surfaces import (
    CARDBOARD,
    WHITE,
    Rng,
    band,
    bars,
    bead,
    brand_colour,
    crease,
    folds,
    one_of,
    print_text,
    varied,
)

GARMENTS: dict[str, list[Point]] = {  # left halves from the neck down; the sock is whole
    "shirt": [(0.40, 0.14), (0.26, 0.18), (0.06, 0.38), (0.17, 0.50), (0.28, 0.40), (0.27, 0.92)],
    "jumper": [(0.40, 0.12), (0.27, 0.16), (0.05, 0.76), (0.16, 0.82), (0.29, 0.46), (0.28, 0.88)],
    "trousers": [(0.29, 0.07), (0.22, 0.93), (0.42, 0.94), (0.50, 0.42)],
    "dress": [(0.40, 0.10), (0.33, 0.13), (0.31, 0.34), (0.37, 0.46), (0.16, 0.92)],
    "sock": [
        (0.30, 0.06),
        (0.56, 0.06),
        (0.58, 0.55),
        (0.86, 0.72),
        (0.84, 0.90),
        (0.60, 0.92),
        (0.31, 0.72),
    ],
}

CLOTH = (
    (0.20, 0.28, 0.52),
    (0.52, 0.14, 0.20),
    (0.45, 0.28, 0.55),
    (0.80, 0.48, 0.55),
    (0.25, 0.42, 0.38),
)
FILM = (WHITE, WHITE, (0.12, 0.12, 0.14), (0.92, 0.85, 0.30), (0.90, 0.60, 0.70))
ICE = (0.85, 0.87, 0.93)


def clothing(rng: Rng) -> Canvas:
    """A T-shirt, a jumper, trousers, a dress or a sock of patterned cloth with folds."""
    canvas = Canvas()
    garment = ("shirt", "jumper", "trousers", "dress", "sock")[rng.choice(5, p=[0.34, 0.2, 0.24, 0.1, 0.12])]
    outline = GARMENTS[garment]
    mirrored = outline + [(1 - x, y) for x, y in reversed(outline)] if garment != "sock" else outline
    mask = polygon(mirrored)
    cloth, second = one_of(rng, *CLOTH), one_of(rng, *CLOTH)
    canvas.paint(mask, cloth)
    pitch = rng.uniform(0.05, 0.14)
    match ("plain", "stripes", "checks", "dots", "print")[rng.integers(5)]:
        case "stripes":
            canvas.stain(bars(Y, pitch, 0.5), second)
        case "checks":
            canvas.stain(bars(Y, pitch, 0.4), second, 0.6)
            canvas.stain(bars(X, pitch, 0.4), second, 0.6)
        case "dots":
            canvas.stain(bars(Y, pitch, 0.45) * bars(X, pitch, 0.45), second)
        case "print":
            canvas.stain(ellipse(0.38, 0.36, 0.62, 0.58), second, 0.9)
    if garment in ("shirt", "jumper", "dress"):
        collar = [(0.40, 0.14), (0.5, 0.23), (0.60, 0.14)]
        canvas.stain(polygon(collar), np.multiply(cloth, 0.45))
        canvas.stain(stroke(collar, 0.025), np.multiply(second, 0.8))
    elif garment == "trousers":
        canvas.stain(strokes([[(0.3, 0.13), (0.7, 0.13)], [(0.5, 0.1), (0.5, 0.4)]], 0.014), np.multiply(cloth, 0.5))
    weave = 1 + 0.14 * (bars(X + Y, 0.03, 0.5) - 0.5) + 0.1 * (rng.random(X.shape, np.float32) - 0.5)
    canvas.shade(weave * (0.5 + 0.95 * folds(rng, 5)))
    canvas.warp(rng, rng.uniform(0.01, 0.05))
    return canvas


def paper(rng: Rng) -> Canvas:
    """A printed sheet, a newspaper, a crumpled ball or a piece of cardboard."""
    canvas = Canvas()
    kind = ("sheet", "news", "ball", "cardboard")[rng.choice(4, p=[0.34, 0.18, 0.26, 0.22])]
    base = varied(rng, {"news": (0.80, 0.78, 0.72), "cardboard": CARDBOARD}.get(kind, WHITE))
    if kind == "ball":
        canvas.paint(blob(rng, 0.25, (rng.uniform(0.32, 0.42), 0.4)), base)
        crease(canvas, rng, 26, 0.45)
        return canvas
    half = rng.uniform(0.24, 0.42)
    jitter = rng.uniform(-0.06, 0.06, (4, 2))
    corners = np.array([(0.5 - half, 0.1), (0.5 + half, 0.1), (0.5 + half, 0.9), (0.5 - half, 0.9)]) + jitter
    canvas.paint(polygon([(x, y) for x, y in corners.tolist()]), base)
    ink = (0.18, 0.18, 0.22)
    if kind == "cardboard":
        canvas.shade(1 - 0.18 * bars(X, 0.035, 0.5))
        canvas.stain(band(Y, rng.uniform(0.4, 0.6), 0.012), np.multiply(base, 0.55))
        if rng.random() < 0.5:
            canvas.stain(band(X, rng.uniform(0.4, 0.6), 0.05), (0.78, 0.68, 0.48), 0.9)
    elif kind == "news":
        for left in (0.5 - half * 0.85, 0.5 + half * 0.08):
            print_text(canvas, rng, (left, 0.3, left + half * 0.75, 0.85), ink, rows=13)
        canvas.stain(box(0.5 - half * 0.8, 0.17, 0.5 + half * 0.8, 0.24), ink)
        canvas.stain(box(0.5, 0.32, 0.5 + half * 0.8, 0.55), brand_colour(rng), 0.8)
    else:
        if rng.random() < 0.35:
            canvas.stain(box(0.5 - half * 0.7, 0.16, 0.5 + half * 0.7, 0.4), brand_colour(rng), 0.8)
        print_text(canvas, rng, (0.5 - half * 0.75, 0.2, 0.5 + half * 0.75, 0.82), ink, rows=int(rng.integers(6, 14)))
    if rng.random() < 0.6:
        crease(canvas, rng, int(rng.integers(3, 9)), 0.22)
    canvas.shade(0.85 + 0.25 * noise(rng, 3))
    canvas.warp(rng, rng.uniform(0.0, 0.05), 3)
    return canvas


def plasticbag(rng: Rng) -> Canvas:
    """A tied bag with a knot, a carrier bag with handles or a flat foil bag: thin, shiny, full of folds."""
    canvas = Canvas()
    film = one_of(rng, *FILM)
    opacity = rng.uniform(0.65, 0.95)
    match ("tied", "carrier", "flat")[rng.choice(3, p=[0.45, 0.35, 0.2])]:
        case "tied":
            canvas.paint(
                polygon([(0.5, 0.26), (0.3, 0.06), (0.44, 0.1), (0.5, 0.04), (0.58, 0.1), (0.7, 0.07)]),
                film,
                opacity,
            )
            canvas.paint(polygon([(0.44, 0.2), (0.56, 0.2), (0.74, 0.4), (0.26, 0.4)]), film, opacity)
            canvas.paint(np.roll(blob(rng, 0.15, (rng.uniform(0.32, 0.42), 0.34)), 16, axis=0), film, opacity)
            canvas.stain(ellipse(0.43, 0.18, 0.57, 0.28), np.multiply(film, 0.55))
            pull = np.arctan2(X - 0.5, Y - 0.2)
        case "carrier":
            canvas.paint(
                polygon(
                    [
                        (0.24, 0.32),
                        (0.76, 0.32),
                        (0.84, 0.92),
                        (0.66, 0.95),
                        (0.5, 0.92),
                        (0.3, 0.95),
                        (0.15, 0.9),
                    ]
                ),
                film,
                opacity,
            )
            for x in (0.24, 0.62):
                canvas.paint(
                    strokes(
                        [
                            [(x, 0.34), (x + 0.03, 0.08)],
                            [(x + 0.14, 0.34), (x + 0.11, 0.08)],
                            [(x + 0.03, 0.08), (x + 0.11, 0.08)],
                        ],
                        0.045,
                    ),
                    film,
                    opacity,
                )
            canvas.stain(ellipse(0.34, 0.5, 0.66, 0.74), brand_colour(rng), 0.75 if rng.random() < 0.5 else 0)
            pull = (X - 0.5) * 2
        case _:
            canvas.paint(box(0.2, 0.08, 0.8, 0.92), film, opacity)
            canvas.stain(box(0.2, 0.25, 0.8, 0.75), brand_colour(rng), 0.9 if rng.random() < 0.6 else 0)
            canvas.stain(bars(X, 0.02, 0.5) * ((Y < 0.14) | (Y > 0.86)), np.multiply(film, 0.6))
            pull = X + Y
    creases = np.abs(np.sin(pull * rng.uniform(5, 11) + 5 * noise(rng, 5)))
    canvas.shade(0.62 + 0.45 * creases * noise(rng, 7) + 0.25 * noise(rng, 3))
    canvas.stain((creases > 0.93) * noise(rng, 6) ** 2, (1, 1, 1), rng.uniform(0.5, 0.95))
    canvas.warp(rng, rng.uniform(0.03, 0.08), 6)
    return canvas


def styrofoam(rng: Rng) -> Canvas:
    """A block, a tray, a box or a broken piece of white foam, all of it beads."""
    canvas = Canvas()
    base = one_of(rng, WHITE, WHITE, WHITE, WHITE, ICE)
    match ("tray", "block", "box", "piece")[rng.choice(4, p=[0.25, 0.3, 0.2, 0.25])]:
        case "tray":
            half = rng.uniform(0.26, 0.4)
            canvas.paint(box(0.08, 0.5 - half, 0.92, 0.5 + half, 0.1), base)
            canvas.stain(box(0.15, 0.57 - half, 0.85, 0.43 + half, 0.07), np.multiply(base, 0.72))
            canvas.stain(box(0.18, 0.6 - half, 0.85, 0.43 + half, 0.06), np.multiply(base, 0.88))
        case "box":
            top = rng.uniform(0.25, 0.4)
            canvas.paint(polygon([(0.1, top), (0.9, top), (0.84, 0.9), (0.16, 0.9)]), np.multiply(base, 0.85))
            canvas.paint(box(0.07, top - 0.1, 0.93, top + 0.03, 0.02), base)
            canvas.stain(box(0.07, top + 0.03, 0.93, top + 0.05), np.multiply(base, 0.5))
        case "block":
            depth, high = rng.uniform(0.1, 0.25), rng.uniform(0.3, 0.6)
            front = [(0.08, 0.9 - high), (0.9 - depth, 0.9 - high), (0.9 - depth, 0.9), (0.08, 0.9)]
            roof = [
                (0.08, 0.9 - high),
                (0.08 + depth, 0.9 - high - depth),
                (0.9, 0.9 - high - depth),
                (0.9 - depth, 0.9 - high),
            ]
            canvas.paint(polygon(front), np.multiply(base, 0.86))
            canvas.paint(polygon(roof), base)
            canvas.paint(polygon([roof[3], roof[2], (0.9, 0.9 - depth), front[2]]), np.multiply(base, 0.64))
        case _:
            canvas.paint(blob(rng, 0.5, (0.44, rng.uniform(0.25, 0.42)), corners=int(rng.integers(7, 12))), base)
            canvas.shade(0.75 + 0.35 * noise(rng, 2))
    bead(canvas, rng)
    return canvas
