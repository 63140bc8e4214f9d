"""Images that are the same picture: equal files, and copies that were turned, mirrored, resized or saved anew.

A coarse look proposes pairs, colours and then fine detail decide: a look alone, such as a perceptual hash, calls every
battery on white a copy of the next.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter
from sklearn.decomposition import PCA

COARSE = 16  # pixels a side of the grey copies that propose pairs
COMPONENTS = 48
ALIKE = 0.95  # correlation from which a pair is proposed: distances in a projection never exceed the true ones
SAME, DIFFERENCE = 0.96, 14.0  # correlation and mean absolute difference (0 to 255) that colour pixels must keep
DETAIL = 0.8  # correlation of fine detail: of pairs of photographs looked at, same pictures had 0.84 and more
NOISE = 0.5  # levels: deviation up to which an image counts as one of a single colour
DETAIL_BLUR = 3  # pixels: what a blur of this radius takes away is detail
NEAREST = 8  # pairs proposed for an image and a turn, at most: a thousand black images are no million pairs
ROWS = 1024  # compared at a time: bounds the memory
TURNS = (
    "",
    "mirrored",
    "turned by 90°",
    "turned by 180°",
    "turned by 270°",
    "upside down",
    "mirrored, turned by 90°",
    "mirrored, turned by 270°",
)


@dataclass(frozen=True)
class Duplicate:
    """Two images, by position, the first one first; `exact` ones have the same bytes."""

    first: int
    second: int
    turn: str
    """Turn of the second against the first; empty: none."""
    difference: float
    """Mean absolute difference of the pixels, 0 to 255, after turning back."""
    detail: float
    """Correlation of what a blur takes away."""
    exact: bool = False


def turned(images: np.ndarray, turn: str) -> np.ndarray:
    """Square images (N, S, S, ...) under one of `TURNS`."""
    if turn == "upside down":
        return images[:, ::-1]
    mirrored = images[:, :, ::-1] if turn.startswith("mirrored") else images
    quarter = next((count for count, angle in ((1, "90°"), (2, "180°"), (3, "270°")) if turn.endswith(f" {angle}")), 0)
    return np.rot90(mirrored, quarter, axes=(1, 2))


def find_duplicates(
    thumbnails: np.ndarray, digests: Sequence[str], read: Callable[[int], np.ndarray]
) -> tuple[list[Duplicate], int]:
    """Pairs of the same picture, the most alike first.

    Of files with the same bytes only the first is compared with the others.

    Args:
        thumbnails: uint8 (N, S, S, 3), all stretched alike.
        digests: of the N files' bytes.
        read: image by position, uint8 (S, S, 3) of about 96 pixels, stretched as the thumbnails are.

    Returns:
        the pairs; and how many were proposed by the coarse look.
    """
    first_of: dict[str, int] = {}
    pairs = [
        Duplicate(first_of[digest], position, "", 0.0, 1.0, exact=True)
        for position, digest in enumerate(digests)
        if first_of.setdefault(digest, position) != position
    ]
    rows = np.array(list(first_of.values()), dtype=np.int64)

    @lru_cache(4096)
    def detail(position: int) -> np.ndarray:
        return _detail(read(position))

    proposed = 0
    best: dict[tuple[int, int], Duplicate] = {}
    for one, other, turn in _proposed(thumbnails[rows]):
        proposed += len(one)
        views = turned(thumbnails[rows[other]], turn)
        differences, correlations = _compare(thumbnails[rows[one]], views)
        for at in np.flatnonzero((differences <= DIFFERENCE) & (correlations >= SAME)):
            first, second = int(rows[one[at]]), int(rows[other[at]])
            kept = _agreement(detail(first), turned(detail(second)[None], turn)[0])
            if kept < DETAIL:
                continue
            found = Duplicate(first, second, turn, float(differences[at]), kept)
            known = best.get((first, second))
            if known is None or found.difference < known.difference:
                best[first, second] = found
    near = sorted(best.values(), key=lambda pair: (-pair.detail, pair.first, pair.second))
    return pairs + near, proposed


def duplicate_groups(pairs: Sequence[Duplicate], count: int) -> np.ndarray:
    """Group of each of `count` images, int64 (N,): images that pairs join share a number, that of the first."""
    group = np.arange(count)

    def root(position: int) -> int:
        while group[position] != position:
            group[position] = position = group[group[position]]
        return position

    for pair in pairs:
        one, other = sorted((root(pair.first), root(pair.second)))
        group[other] = one
    return np.array([root(position) for position in range(count)], dtype=np.int64)


def group_members(groups: np.ndarray) -> list[list[int]]:
    """Positions of each group of two or more."""
    members: dict[int, list[int]] = defaultdict(list)
    for position, group in enumerate(groups.tolist()):
        members[group].append(position)
    return [positions for positions in members.values() if len(positions) > 1]


def _proposed(thumbnails: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, str]]:
    """Rows of pairs that look alike, and the turn of the second, for some rows and one turn at a time."""
    count = len(thumbnails)
    if count < 2:
        return
    block = thumbnails.shape[1] // COARSE
    grey = thumbnails.mean(axis=3, dtype=np.float32)
    coarse = grey.reshape(count, COARSE, block, COARSE, block).mean(axis=(2, 4))
    flat = _normalised(coarse.reshape(count, -1))
    components = min(COMPONENTS, count, flat.shape[1])
    with np.errstate(invalid="ignore"):  # no variance at all, where each image is of one colour
        pca = PCA(components, svd_solver="randomized", random_state=0).fit(flat)
    known = pca.transform(flat)
    # A distance d between normalised images is a correlation of 1 - d²/2.
    limit = 2 * (1 - ALIKE)
    squares = (known**2).sum(axis=1)
    for turn in TURNS:
        seen = known if not turn else pca.transform(_normalised(turned(coarse, turn).reshape(count, -1)))
        lengths = (seen**2).sum(axis=1)
        for start in range(0, count, ROWS):
            stop = min(start + ROWS, count)
            distances = squares[start:stop, None] + lengths[None] - 2 * known[start:stop] @ seen.T
            distances[np.arange(count)[None] <= np.arange(start, stop)[:, None]] = np.inf  # each pair once
            if count > NEAREST:
                nearest = np.argpartition(distances, NEAREST, axis=1)[:, :NEAREST]
            else:
                nearest = np.broadcast_to(np.arange(count), distances.shape)
            close = np.take_along_axis(distances, nearest, axis=1) <= limit
            rows, columns = np.nonzero(close)
            if len(rows):
                yield rows + start, nearest[rows, columns], turn


def _normalised(vectors: np.ndarray) -> np.ndarray:
    """Vectors (N, D) without their mean, of length 1; those of a single colour become zeros."""
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > NOISE * vectors.shape[1] ** 0.5)


def _detail(image: np.ndarray) -> np.ndarray:
    """Detail that a blur takes away from the luma of an image (S, S, 3), normalised: float32 (S, S)."""
    grey = Image.fromarray(image).convert("L")
    blurred = grey.filter(ImageFilter.GaussianBlur(DETAIL_BLUR))
    high = np.asarray(grey, np.float32) - np.asarray(blurred, np.float32)
    return _normalised(high.reshape(1, -1)).reshape(high.shape)


def _agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two details; that of images without any is 1."""
    return float((one * other).sum()) if one.any() or other.any() else 1.0


def _compare(ones: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean absolute difference and correlation of pairs of images (N, S, S, 3), 1 for two of a single colour."""
    one, other = (images.reshape(len(images), -1).astype(np.float32) for images in (ones, others))
    differences = np.abs(one - other).mean(axis=1)
    one, other = _normalised(one), _normalised(other)
    flat = ~(one.any(axis=1) | other.any(axis=1))
    return differences, np.where(flat, 1.0, (one * other).sum(axis=1))
