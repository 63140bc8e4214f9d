"""Exponential moving average of the weights that also serves short runs."""

from typing import Any

import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from trashlite.errors import UserError


def warm_up_decay(decay: float, num_averaged: int) -> float:
    """Decay after `num_averaged` updates: `min(decay, (1 + n) / (10 + n))`, the rule of TensorFlow's EMA.

    A fixed 0.99 would drag the random first weights along for hundreds of steps.
    """
    return min(decay, (1 + num_averaged) / (10 + num_averaged))


class WarmUpEMA(WeightAveraging):
    """Lightning's weight averaging as an EMA with warm-up, one fused update for all tensors.

    Args:
        decay: share of the old average kept at each optimizer step, in [0, 1).

    Raises:
        UserError: `decay` lies outside [0, 1).
    """

    def __init__(self, decay: float) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"callbacks.ema.decay is {decay}: choose 0 <= decay < 1, or callbacks.ema=null for no EMA.")

        @torch.no_grad()
        def update(averaged: list[Tensor], current: list[Tensor], num_averaged: Any) -> None:
            weight = 1 - warm_up_decay(decay, int(num_averaged))
            if torch.is_floating_point(averaged[0]):
                # With trainer.precision=bf16-true only the average, which changes little at a time, stays in float32.
                current = [new.to(old.dtype) for old, new in zip(averaged, current, strict=True)]
                torch._foreach_lerp_(averaged, current, weight)
            else:  # step counters of BatchNorm
                for old, new in zip(averaged, current, strict=True):
                    old.copy_(new)

        super().__init__(multi_avg_fn=update)
