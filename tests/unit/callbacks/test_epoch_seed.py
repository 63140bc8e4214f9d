"""Random numbers of an epoch: by seed, epoch and process, whatever was drawn before."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from callbacks.epoch_seed import EpochSeed


def draws(seed: int, epoch: int, rank: int = 0, *, drawn_before: int = 0, resumed: bool = False) -> list[float]:
    torch.rand(drawn_before)
    np.random.rand(drawn_before)  # noqa: NPY002
    trainer: Any = SimpleNamespace(current_epoch=epoch, global_rank=rank)
    start = EpochSeed(seed).on_train_start if resumed else EpochSeed(seed).on_train_epoch_start
    start(trainer, None)  # type: ignore[arg-type]
    return [*torch.rand(2).tolist(), *np.random.rand(2).tolist()]  # noqa: NPY002


def test_an_epoch_draws_the_same_whatever_came_before_and_after_a_resume() -> None:
    first = draws(7, 3)
    assert draws(7, 3, drawn_before=11) == first
    assert draws(7, 3, drawn_before=5, resumed=True) == first


def test_other_seeds_epochs_and_processes_draw_others() -> None:
    found = [tuple(draws(seed, epoch, rank)) for seed in (0, 1) for epoch in (0, 1) for rank in (0, 1)]
    assert len({*found}) == 8
