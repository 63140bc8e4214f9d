"""Number of torch's CPU threads: as many as make the work faster, which beside other programs may be one."""

import logging
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch.nn import functional as F

log = logging.getLogger(__name__)

GAIN = 1.1  # so many times faster must twice the threads be: those that gain nothing slow down the neighbours
ROUNDS = 5
HOPELESS = 3.0  # times slower: not worth all rounds


def available_threads(processes: int = 1) -> int:
    """Threads for each of so many processes: the cores, or what OMP_NUM_THREADS says, as launchers of jobs set it."""
    limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(limit) if limit.isdecimal() else cores // processes)


def use_fastest_threads(
    step: Callable[[], object], most: int, clock: Callable[[], float] = time.perf_counter
) -> dict[int, float]:
    """Set torch to the number of threads that does `step` fastest: 1, or twice as many while that gains, up to `most`.

    Returns:
        Seconds a step by the number of threads, of those tried; the last but one or the last was chosen.
    """

    def seconds(threads: int) -> float:
        torch.set_num_threads(threads)
        started = clock()
        step()
        return clock() - started

    found = {1: 0.0}
    chosen = 1
    while (more := min(2 * chosen, most)) > chosen:
        seconds(chosen), seconds(more)  # warm up: buffers, threads
        rounds: list[tuple[float, float]] = []
        while len(rounds) < ROUNDS:
            rounds.append((seconds(chosen), seconds(more)))  # in turns: what else the machine does meets both
            found[chosen], found[more] = (statistics.median(times) for times in zip(*rounds, strict=True))
            if len(rounds) > 1 and found[more] > HOPELESS * found[chosen]:
                break
        if found[more] * GAIN > found[chosen]:
            break
        chosen = more
    torch.set_num_threads(chosen)
    return found


def set_threads(threads: int | Literal["auto"] | None) -> None:
    """Set torch's threads; `auto`: the fastest for a small convolution, until the network itself can be asked."""
    if threads == "auto":
        use_fastest_threads(convolution_step, available_threads())
    elif threads is not None:
        if threads > (cores := os.cpu_count() or 1):
            log.warning("threads=%d on %d CPU cores: more would stand in each other's way.", threads, cores)
        torch.set_num_threads(min(threads, cores))


def convolution_step() -> None:
    """A layer forward and back, on images as small as ours."""
    weight = torch.ones(32, 32, 3, 3, requires_grad=True)
    F.conv2d(torch.ones(32, 32, 24, 24), weight).sum().backward()


class SlowdownWatch:
    """Watch over the time of steps, for work that has become several times slower than it was at its best.

    Args:
        factor: how many times slower is slow.
        window: so many steps are taken together: one alone may wait for the disk.
    """

    def __init__(self, factor: float = 2.0, window: int = 10) -> None:
        self.factor = factor
        self.window = window
        self.reset()

    def reset(self) -> None:
        """Forget all times."""
        self.best = float("inf")
        self.times: list[float] = []

    def is_slow(self, seconds: float) -> bool:
        """Add the time of a step; whether the steps of the window it completes were slow."""
        self.times.append(seconds)
        if len(self.times) < self.window:
            return False
        mean, self.times = statistics.fmean(self.times), []
        self.best = min(self.best, mean)
        return mean > self.factor * self.best


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: networks as small as these gain nothing from more, and beside other work lose a lot."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
