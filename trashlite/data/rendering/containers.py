"""Stylised objects of the demo data set that stand on a base: batteries, bottles, cans, cartons.

Colours and shapes are shared between classes on purpose (a glass and a PET bottle, a tin and a cup),
so that a classifier needs more than the mean colour or the outline.
"""

import numpy as np

from trashlite.data.rendering.canvas import Canvas, X, Y, box, ellipse, lathe, noise, polygon, stroke, strokes
from trashlite.data.rendering.surfaces import (
    CARDBOARD,
    STEEL,
    WHITE,
    Rng,
    band,
    bars,
    brand_colour,
    crease,
    folds,
    one_of,
    print_text,
    roundness,
    sheen,
    varied,
)

BLACK = (0.10, 0.10, 0.12)
COPPER = (0.80, 0.50, 0.24)
GOLD = (0.86, 0.70, 0.28)
BOTTLE_GREEN = (0.10, 0.36, 0.16)
BOTTLE_BROWN = (0.38, 0.20, 0.07)
CLEAR = (0.80, 0.87, 0.88)
PET_BLUE = (0.45, 0.75, 0.95)
PET_GREEN = (0.40, 0.72, 0.45)
CARTON = ((0.12, 0.60, 0.25), (0.15, 0.35, 0.80), (0.95, 0.50, 0.10))
DETERGENT = ((0.95, 0.80, 0.15), (0.85, 0.15, 0.20), (0.10, 0.60, 0.75))


def battery(rng: Rng) -> Canvas:
    """A round cell with a terminal cap and a two-coloured sleeve, or a 9-volt block."""
    canvas = Canvas()
    sleeve = varied(rng, BLACK) if rng.random() < 0.75 else brand_colour(rng)
    top = one_of(rng, COPPER, COPPER, GOLD)
    if rng.random() < 0.2:
        left, right, split = 0.26, 0.74, rng.uniform(0.3, 0.45)
        for x in (0.33, 0.54):
            canvas.paint(box(x, 0.06, x + 0.13, 0.16, 0.02), STEEL)
        canvas.paint(box(left, 0.14, right, 0.94, 0.02), sleeve)
        canvas.stain(box(left, 0.14, right, split), top)
        canvas.shade(0.85 + 0.3 * X)
        print_text(canvas, rng, (0.33, split + 0.1, 0.67, 0.85), WHITE)
        return canvas
    half = rng.uniform(0.11, 0.22)
    cap, _ = lathe([(0.05, half * 0.35), (0.13, half * 0.4)])
    body, across = lathe([(0.11, half * 0.9), (0.14, half), (0.93, half), (0.96, half * 0.9)])
    split = rng.uniform(0.26, 0.46)
    canvas.paint(cap, STEEL)
    canvas.paint(body, sleeve)
    canvas.stain(box(0, 0.1, 1, split), top)
    canvas.stain(box(0, split, 1, split + 0.02), WHITE)
    for edge in (0.11, 0.925):
        canvas.stain(box(0, edge, 1, edge + 0.03), STEEL)
    print_text(canvas, rng, (0.5 - half * 0.5, split + 0.1, 0.5 + half * 0.5, 0.85), WHITE)
    plus = [[(0.47, 0.21), (0.53, 0.21)], [(0.5, 0.18), (0.5, 0.24)]]
    canvas.stain(strokes(plus, 0.018), (0.1, 0.1, 0.1))
    canvas.shade(roundness(rng, across, gloss=0.9))
    return canvas


def glass(rng: Rng) -> Canvas:
    """A bottle or a jar of green, brown or clear glass: see-through, dark edges, hard highlights."""
    canvas = Canvas()
    tint = one_of(rng, BOTTLE_GREEN, BOTTLE_GREEN, BOTTLE_BROWN, BOTTLE_BROWN, CLEAR)
    jar = rng.random() < 0.3
    half = rng.uniform(0.22, 0.30) if jar else rng.uniform(0.13, 0.19)
    if jar:
        profile = [(0.14, half * 0.8), (0.22, half * 0.8), (0.28, half), (0.9, half), (0.95, half * 0.9)]
    else:
        neck, shoulder = half * rng.uniform(0.3, 0.42), rng.uniform(0.36, 0.5)
        profile = [(0.05, neck), (0.27, neck), (shoulder, half), (0.92, half), (0.95, half * 0.9)]
    mask, across = lathe(profile)
    canvas.paint(mask, tint, rng.uniform(0.6, 0.85))
    canvas.stain(np.abs(across) ** 6, np.multiply(tint, 0.3), 0.9)
    if rng.random() < 0.45:
        top = rng.uniform(0.5, 0.6)
        label = box(0.5 - half, top, 0.5 + half, top + rng.uniform(0.15, 0.3))
        canvas.stain(label, varied(rng, WHITE) if rng.random() < 0.5 else brand_colour(rng))
        print_text(canvas, rng, (0.5 - half * 0.6, top + 0.03, 0.5 + half * 0.6, top + 0.14), (0.2, 0.2, 0.2))
    for position, width in ((rng.uniform(-0.7, -0.4), 0.09), (rng.uniform(0.4, 0.75), 0.05)):
        glint = np.exp(-(((across - position) / width) ** 2)) * (Y > 0.12) * (Y < 0.9)
        canvas.stain(glint, (1, 1, 1), rng.uniform(0.55, 0.95))
    canvas.stain(band(Y, 0.93, 0.015), np.multiply(tint, 0.3), 0.8)
    if jar and rng.random() < 0.6:
        canvas.paint(box(0.5 - half * 0.88, 0.07, 0.5 + half * 0.88, 0.17, 0.015), brand_colour(rng))
    elif not jar and rng.random() < 0.5:
        canvas.paint(box(0.5 - neck * 1.2, 0.03, 0.5 + neck * 1.2, 0.075, 0.01), STEEL)
    return canvas


def metal(rng: Rng) -> Canvas:
    """A drinks can, a ribbed tin or a spray can with a metallic sheen, sometimes crushed."""
    canvas = Canvas()
    kind = ("can", "tin", "spray")[rng.choice(3, p=[0.5, 0.35, 0.15])]
    half = {"can": rng.uniform(0.2, 0.27), "tin": rng.uniform(0.26, 0.36), "spray": rng.uniform(0.13, 0.18)}[kind]
    top = 0.22 if kind == "spray" else rng.uniform(0.1, 0.22)
    neck = 0.98 if kind == "tin" else 0.8
    mask, across = lathe([(top, half * neck), (top + 0.08, half), (0.86, half), (0.93, half * neck)])
    canvas.paint(mask, varied(rng, STEEL))
    canvas.paint(ellipse(0.5 - half * neck, 0.88, 0.5 + half * neck, 0.97), np.multiply(STEEL, 0.75))
    if kind == "spray" or rng.random() < 0.45:
        ends = (top + 0.09, 0.85) if kind != "tin" else (top + 0.14, 0.78)
        canvas.stain(box(0, ends[0], 1, ends[1]), brand_colour(rng))
        if rng.random() < 0.6:
            canvas.stain(band(Y + 0.3 * (X - 0.5), rng.uniform(0.4, 0.7), 0.06), brand_colour(rng))
        print_text(canvas, rng, (0.5 - half * 0.6, 0.4, 0.5 + half * 0.6, 0.65), WHITE)
    if kind == "tin":
        canvas.shade(1 - 0.35 * bars(Y, 0.06, 0.5) * (top + 0.06 < Y) * (Y < 0.88))
    canvas.shade(sheen(rng, across))
    if kind == "spray":
        canvas.paint(box(0.5 - half * 0.5, 0.06, 0.5 + half * 0.5, 0.2, 0.03), brand_colour(rng))
    else:
        canvas.paint(ellipse(0.5 - half * neck, top - 0.07, 0.5 + half * neck, top + 0.07), np.multiply(STEEL, 1.15))
        canvas.paint(ellipse(0.5 - half * 0.7, top - 0.05, 0.5 + half * 0.7, top + 0.05), np.multiply(STEEL, 0.7))
        if kind == "can":
            canvas.paint(ellipse(0.46, top - 0.03, 0.56, top + 0.02), (0.2, 0.2, 0.2))
    if rng.random() < 0.25:
        canvas.shade(0.65 + 0.7 * folds(rng, 6))
        canvas.warp(rng, 0.09, 5)
    return canvas


def paperpack(rng: Rng) -> Canvas:
    """A gable-top milk carton, a drinks brick with a straw or a paper cup."""
    canvas = Canvas()
    kind = ("gable", "brick", "cup")[rng.choice(3, p=[0.5, 0.3, 0.2])]
    base = one_of(rng, WHITE, WHITE, WHITE, WHITE, CARDBOARD)
    brand = one_of(rng, *CARTON) if rng.random() < 0.8 else brand_colour(rng)
    second = brand_colour(rng)
    if kind == "cup":
        top, bottom = rng.uniform(0.24, 0.32), rng.uniform(0.16, 0.22)
        mask, across = lathe([(0.12, top), (0.92, bottom)])
        canvas.paint(mask, base)
        canvas.stain(band(Y, rng.uniform(0.45, 0.6), rng.uniform(0.08, 0.2)), brand)
        canvas.shade(roundness(rng, across, gloss=0.1))
        canvas.paint(ellipse(0.5 - top * 1.04, 0.06, 0.5 + top * 1.04, 0.18), np.multiply(base, 1.03))
        canvas.paint(ellipse(0.5 - top * 0.92, 0.08, 0.5 + top * 0.92, 0.17), np.multiply(base, 0.55))
        return canvas
    left, middle, right = 0.24, rng.uniform(0.54, 0.66), 0.78
    roof, lift = (0.34 if kind == "gable" else 0.16), 0.04
    front = [(left, roof), (middle, roof), (middle, 0.95), (left, 0.95)]
    side = [(middle, roof), (right, roof - lift), (right, 0.91), (middle, 0.95)]
    canvas.paint(polygon(front), base)
    canvas.paint(polygon(side), np.multiply(base, 0.74))
    faces = polygon(front) + polygon(side)
    cut = rng.uniform(0.55, 0.75)
    canvas.stain(faces * (Y + 0.07 * np.sin(X * rng.uniform(8, 30)) > cut), brand, 0.9)
    canvas.stain(ellipse(left + 0.06, roof + 0.06, middle - 0.06, roof + 0.24), second, 0.95)
    print_text(canvas, rng, (left + 0.04, cut - 0.12, middle - 0.04, cut + 0.02), (0.2, 0.2, 0.25), rows=3)
    if kind == "gable":
        ridge = [(left + 0.02, 0.17), (middle + 0.02, 0.17)]
        canvas.paint(polygon([(left, roof), (middle, roof), ridge[1], ridge[0]]), np.multiply(base, 0.88))
        canvas.paint(polygon([(middle, roof), (right, roof - lift), ridge[1]]), np.multiply(base, 0.6))
        canvas.paint(
            box(left + 0.02, 0.08, middle + 0.02, 0.18),
            np.multiply(brand if rng.random() < 0.5 else base, 0.95),
        )
        if rng.random() < 0.5:
            canvas.paint(ellipse(left + 0.1, 0.2, left + 0.22, 0.3), second)
    else:
        canvas.paint(
            polygon([(left, roof), (middle, roof), (right, roof - lift), (left + 0.2, roof - lift)]),
            np.multiply(base, 0.9),
        )
        if rng.random() < 0.7:
            canvas.paint(
                stroke([(0.42, roof), (0.46, 0.04), (0.6, 0.03)], 0.022),
                WHITE if rng.random() < 0.5 else brand,
            )
    canvas.shade(0.82 + 0.3 * noise(rng, 3))
    canvas.stain(stroke([(middle, roof), (middle, 0.95)], 0.01), np.multiply(base, 0.55), 0.7)
    if rng.random() < 0.3:
        crease(canvas, rng, 5, 0.3)
        canvas.warp(rng, 0.05, 4)
    return canvas


def plastic(rng: Rng) -> Canvas:
    """A PET bottle with cap and ribs, an opaque detergent bottle or a yoghurt tub."""
    canvas = Canvas()
    kind = ("pet", "detergent", "tub")[rng.choice(3, p=[0.55, 0.25, 0.2])]
    if kind == "tub":
        top, bottom = rng.uniform(0.3, 0.4), rng.uniform(0.2, 0.3)
        mask, across = lathe([(0.22, top), (0.88, bottom)])
        base = varied(rng, WHITE) if rng.random() < 0.5 else brand_colour(rng)
        canvas.paint(mask, base, rng.uniform(0.7, 1))
        canvas.stain(band(Y, 0.58, 0.16), brand_colour(rng))
        canvas.shade(roundness(rng, across, gloss=0.6) * (1 - 0.12 * bars(across, 0.18, 0.5)))
        canvas.paint(box(0.5 - top * 1.08, 0.17, 0.5 + top * 1.08, 0.23, 0.015), np.multiply(base, 0.9))
        return canvas
    half = rng.uniform(0.17, 0.24)
    neck = half * rng.uniform(0.32, 0.42)
    shoulder = rng.uniform(0.28, 0.36)
    mask, across = lathe(
        [(0.1, neck), (0.17, neck), (shoulder, half), (0.6, half * 0.95), (0.92, half), (0.95, half * 0.8)]
    )
    if kind == "detergent":
        canvas.paint(mask, one_of(rng, *DETERGENT) if rng.random() < 0.7 else varied(rng, WHITE))
        canvas.stain(box(0.5 - half * 0.75, 0.48, 0.5 + half * 0.75, 0.82, 0.03), varied(rng, WHITE))
        canvas.stain(ellipse(0.5 - half * 0.5, 0.52, 0.5 + half * 0.5, 0.7), brand_colour(rng))
        canvas.shade(roundness(rng, across, gloss=0.5))
    else:
        tint = one_of(rng, PET_BLUE, PET_BLUE, PET_BLUE, CLEAR, PET_GREEN)
        canvas.paint(mask, tint, rng.uniform(0.5, 0.75))
        ribs = bars(Y, rng.uniform(0.05, 0.08), 0.35) * ((Y > 0.65) | (rng.random() < 0.5)) * (shoulder < Y)
        canvas.stain(ribs, np.multiply(tint, 0.5), 0.55)
        canvas.stain(np.abs(across) ** 4, np.multiply(tint, 0.6), 0.6)
        canvas.stain(np.exp(-(((across + 0.4) / 0.2) ** 2)), (1, 1, 1), rng.uniform(0.25, 0.55))
        if rng.random() < 0.6:
            top = shoulder + 0.06
            canvas.stain(box(0, top, 1, top + rng.uniform(0.14, 0.24)), brand_colour(rng), 0.95)
            print_text(canvas, rng, (0.5 - half * 0.6, top + 0.02, 0.5 + half * 0.6, top + 0.13), WHITE, rows=2)
    canvas.paint(
        box(0.5 - neck * 1.35, 0.04, 0.5 + neck * 1.35, 0.12, 0.012),
        brand_colour(rng) if rng.random() < 0.7 else WHITE,
    )
    if rng.random() < 0.2:
        crease(canvas, rng, 5, 0.25)
        canvas.warp(rng, 0.08, 5)
    return canvas
