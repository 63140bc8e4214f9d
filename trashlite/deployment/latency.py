"""Latency of one image on this machine."""

import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trashlite.threads import one_thread

WARM_UP = 20


def time_calls(call: Callable[[], object], count: int) -> NDArray[np.float64]:
    """Milliseconds (count,) of so many calls, after some that are not counted."""
    for _ in range(WARM_UP):
        call()
    times = np.empty(count)
    for number in range(count):
        start = time.perf_counter()
        call()
        times[number] = time.perf_counter() - start
    return 1000 * times


def cpu_name() -> str:
    """The processor as the system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or platform.machine()


def describe_times() -> str:
    """Machine and method of the times."""
    return (
        f"Times are of one image at batch 1 on one thread of {cpu_name()} ({os.cpu_count()} cores, "
        f"{platform.system()} {platform.machine()})."
    )


@torch.inference_mode()
def torch_milliseconds(network: nn.Module, image_size: Sequence[int], count: int) -> NDArray[np.float64]:
    """Milliseconds (count,) of a network in eager torch, one image of `image_size` (H, W) each, on one thread."""
    with one_thread():
        image = torch.randn(1, 3, *image_size).contiguous(memory_format=torch.channels_last)
        return time_calls(lambda: network(image), count)


def installed_mb(package: str) -> float:
    """Size on disk of an installed package, without its dependencies."""
    files = metadata.files(package) or []
    return sum(path.stat().st_size for file in files if (path := Path(str(file.locate()))).is_file()) / 1e6
