"""Rendering the files of the demo data set by several processes; nothing in here imports torch."""

import multiprocessing
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trashlite.data.rendering.scene import render_photograph

FEWEST_FOR_A_PROCESS = 200
Picture = tuple[str, str, tuple[int, ...]]  # file below the root, class name, key of its random generator


def render_files(folder: Path, seed: int, pictures: Sequence[Picture], processes: int | None = None) -> None:
    """Render the pictures as JPEG files; the number of processes (default: as many as pay) changes no byte.

    Raises:
        RuntimeError: one of the processes failed; its own message is on the standard error output.
    """
    if processes is None:
        processes = max(1, min(os.cpu_count() or 1, 8, len(pictures) // FEWEST_FOR_A_PROCESS))
    if processes == 1:
        return _render_share(folder, seed, pictures)
    # Started afresh: a fork of a process with torch's threads may hang. No pool: its processes would outlive
    # a killed parent for ever, these end with their share.
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_work, args=(folder, seed, pictures[share::processes]), daemon=True)
        for share in range(processes)
    ]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.kill()
                worker.join()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError(f"a process that rendered pictures into {folder} failed")
    return None


def _work(folder: Path, seed: int, pictures: Sequence[Picture]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _render_share(folder, seed, pictures)


def _render_share(folder: Path, seed: int, pictures: Sequence[Picture]) -> None:
    for file, name, key in pictures:
        rng = np.random.default_rng([seed, *key])
        photograph = render_photograph(name, rng)
        photograph.save(folder / file, quality=int(rng.integers(60, 93)))
