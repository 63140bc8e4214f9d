"""Random draws, one for each image: from torch's global generator of the images' device, or from keys."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

# SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2714064.2660195) in wrapping int64 arithmetic.
STEP = 0x9E3779B97F4A7C15 - 2**64
FACTORS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)
DRAWN_AHEAD = 32  # numbers of each image, as one tensor: one by one takes three times as long


class _Keys:
    """Keys int64 (N,) of the images, and how many numbers each has given."""

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self.used = 0
        self.ahead = values.new_empty(len(values), 0)

    def draw(self, count: int) -> Tensor:
        """The next random int64 (N,count)."""
        start, self.used = self.used, self.used + count
        if self.used > self.ahead.shape[1]:
            numbers = torch.arange(self.used + DRAWN_AHEAD, device=self.values.device)
            self.ahead = random_bits(self.values[:, None], numbers)
        return self.ahead[:, start : self.used]


_keys: ContextVar[_Keys | None] = ContextVar("keys", default=None)


@contextmanager
def keyed_draws(keys: Tensor) -> Iterator[None]:
    """Inside it, what an image draws depends on its key, int64 (N,), alone: neither on the batch nor on its size."""
    token = _keys.set(_Keys(keys))
    try:
        yield
    finally:
        _keys.reset(token)


@contextmanager
def draws_for(chosen: Tensor) -> Iterator[None]:
    """Draw for the images at positions `chosen` (M,) only; what follows does not depend on who was chosen."""
    keys = _keys.get()
    if keys is None:
        yield
    else:
        with keyed_draws(keys.draw(1)[chosen, 0]):
            yield


@contextmanager
def draws_for_batch(images: Tensor) -> Iterator[None]:
    """Let torch's own samplers draw for the batch as a whole; with keys, the same for the same batch."""
    keys = _keys.get()
    if keys is None:
        yield
    else:
        with torch.random.fork_rng([images.device] if images.is_cuda else []):
            torch.manual_seed(int(keys.draw(1).sum()))
            yield


def image_keys(seed: int, view: Tensor, image: Tensor) -> Tensor:
    """Keys (N,) of the views, int64 (N,), of images, int64 (N,) numbers that stay theirs."""
    return random_bits(random_bits(torch.full_like(image, seed), view), image)


def new_keys(images: Tensor) -> Tensor:
    """Keys (N,) from torch's global generator: for several sizes of the same images, each time others."""
    return torch.randint(2**63 - 1, (len(images),), device=images.device)


def random_bits(keys: Tensor, numbers: Tensor) -> Tensor:
    """Output of SplitMix64 seeded with `keys` at the places `numbers`, from 0; int64, any shapes that fit."""
    bits = keys + STEP * (numbers + 1)
    for shift, factor in zip((30, 27), FACTORS, strict=True):
        bits = (bits ^ _shifted(bits, shift)) * factor
    return bits ^ _shifted(bits, 31)


def _shifted(bits: Tensor, places: int) -> Tensor:
    """Shift right with zeros coming in, where torch repeats the sign."""
    return (bits >> places) & ((1 << (64 - places)) - 1)


def draw_unit(images: Tensor, *shape: int) -> Tensor:
    """Numbers (N, *shape) uniform in [0, 1)."""
    keys = _keys.get()
    if keys is None:
        return torch.rand(len(images), *shape, device=images.device)
    bits = keys.draw(math.prod(shape))
    return (_shifted(bits, 40) * 2.0**-24).reshape(-1, *shape)  # float32 holds 24 bits


def draw_integers(images: Tensor, high: int, count: int) -> Tensor:
    """Integers (N,count) uniform in [0, high)."""
    keys = _keys.get()
    if keys is None:
        return torch.randint(high, (len(images), count), device=images.device)
    return _shifted(keys.draw(count), 1) % high


def draw_uniform(images: Tensor, low: float, high: float) -> Tensor:
    """Numbers (N,) uniform in [low, high)."""
    return low + (high - low) * draw_unit(images)


def draw_around(images: Tensor, centre: float, strength: float) -> Tensor:
    """Numbers (N,) uniform in [centre - strength, centre + strength)."""
    return draw_uniform(images, centre - strength, centre + strength)


def draw_ratio(images: Tensor, largest: float) -> Tensor:
    """Aspect ratios (N,), log-uniform in [1 / largest, largest): narrow is as likely as wide."""
    return draw_around(images, 0, math.log(largest)).exp()


def draw_chance(images: Tensor, probability: float) -> Tensor:
    """Booleans (N,), true with `probability`."""
    return draw_unit(images) < probability


def rectangle_shares(area: Tensor, ratio: Tensor) -> tuple[Tensor, Tensor]:
    """Height and width (N,), as shares of the image's, of rectangles of this area share and aspect ratio.

    The ratio (width to height, relative to the image's own) gives way where the rectangle would not fit, the
    area never does.
    """
    ratio = ratio.clamp(min=area, max=1 / area.clamp(min=1e-6))
    return (area / ratio).sqrt(), (area * ratio).sqrt()


def draw_rectangle_mask(images: Tensor, area: Tensor, ratio: Tensor) -> Tensor:
    """Boolean (N,1,H,W), true inside one rectangle an image, placed uniformly, wholly inside the image."""
    height, width = images.shape[-2:]
    shares = rectangle_shares(area, ratio)
    rows, columns = (_draw_span(share, length) for share, length in zip(shares, (height, width), strict=True))
    return rows[:, None, :, None] & columns[:, None, None, :]


def _draw_span(share: Tensor, length: int) -> Tensor:
    """Boolean (N,length), true on a run of round(share * length) places that starts anywhere it fits."""
    size = (share * length).round()
    start = (draw_unit(share) * (length - size + 1)).floor()
    places = torch.arange(length, device=share.device)
    return (places >= start[:, None]) & (places < (start + size)[:, None])
