import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from trashlite.data.audit import duplicates
from trashlite.data.audit.duplicates import TURNS, Duplicate, duplicate_groups, find_duplicates, group_members, turned


def scene(seed: int, size: tuple[int, int] = (200, 150)) -> Image.Image:
    """Soft blobs with fine detail upon them."""
    rng = np.random.default_rng(seed)
    blobs = Image.fromarray(rng.integers(0, 255, (5, 7, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    detail = Image.fromarray(rng.integers(0, 255, (40, 50, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    return Image.blend(blobs, detail, 0.3)


def search(images: list[Image.Image], digests: list[str] | None = None) -> tuple[list[Duplicate], int]:
    thumbnails = np.stack([np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)) for image in images])
    return find_duplicates(
        thumbnails,
        digests or [str(number) for number in range(len(images))],
        lambda at: np.asarray(images[at].resize((96, 96), Image.Resampling.BILINEAR)),
    )


@pytest.mark.parametrize("turn", TURNS)
def test_every_turn_is_found_and_named(turn: str) -> None:
    others = [scene(seed) for seed in range(1, 9)]
    original = scene(0)
    pixels = np.asarray(original)[None]
    # The copy is turned so that turning it by `turn` gives the original back.
    undo = {"turned by 90°": "turned by 270°", "turned by 270°": "turned by 90°"}.get(turn, turn)
    copy = Image.fromarray(np.ascontiguousarray(turned(pixels, undo)[0]))
    np.testing.assert_array_equal(turned(np.asarray(copy)[None], turn), pixels)
    pairs, _ = search([original, *others, copy])
    assert [(pair.first, pair.second, pair.turn) for pair in pairs] == [(0, 9, turn)]
    assert pairs[0].detail > 0.95


def test_a_copy_saved_anew_smaller_and_brighter_is_one() -> None:
    buffer = io.BytesIO()
    scene(0).resize((120, 90)).point(lambda value: min(255, value + 8)).save(buffer, "JPEG", quality=60)
    pairs, _ = search([scene(0), scene(1), Image.open(buffer).convert("RGB")])
    assert [(pair.first, pair.second, pair.turn, pair.exact) for pair in pairs] == [(0, 2, "", False)]


def test_what_only_looks_alike_is_proposed_and_refused() -> None:
    """Batteries of one shape on white, each with another label: what a perceptual hash calls copies."""
    things = []
    for body, label, top in (
        ("seagreen", "black", 30),
        ("teal", "white", 50),
        ("olive", "navy", 70),
        ("green", "gold", 90),
    ):
        image = Image.new("RGB", (200, 150), "white")
        draw = ImageDraw.Draw(image)
        draw.rounded_rectangle((85, 25, 115, 125), 8, fill=body)
        draw.rectangle((88, top, 112, top + 30), fill=label)
        things.append(image)
    pairs, proposed = search(things)
    assert pairs == []
    assert proposed >= 3


def test_equal_bytes_are_exact_and_compared_once() -> None:
    pairs, _ = search([scene(0), scene(1), scene(0), scene(0)], ["a", "b", "a", "a"])
    assert [(pair.first, pair.second, pair.exact) for pair in pairs] == [(0, 2, True), (0, 3, True)]
    groups = duplicate_groups(pairs, 4)
    assert groups.tolist() == [0, 1, 0, 0]
    assert group_members(groups) == [[0, 2, 3]]


def test_many_images_of_one_colour_are_not_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "ROWS", 64)
    images = [Image.new("RGB", (40, 40), (0, 0, number % 3)) for number in range(300)]
    pairs, _ = search(images)
    assert len(pairs) <= 300 * len(TURNS) * duplicates.NEAREST
    assert len(np.unique(duplicate_groups(pairs, 300))) < 10


def test_none_and_one() -> None:
    assert search([scene(0)]) == ([], 0)
