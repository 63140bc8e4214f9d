"""Multiply-accumulates of each convolution and linear layer.

A MAC here is one multiply-add of a convolution or linear layer; bias and normalisation are not counted, so the
totals equal half of `torch.utils.flop_counter`'s on networks without other matrix products.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor, nn

from trashlite.compression.evaluating import evaluating

COUNTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@dataclass
class LayerCost:
    """One layer in one forward pass: calls, MACs for one image, sizes of its input and output (H, W)."""

    calls: int = 0
    macs: int = 0
    in_size: tuple[int, int] = (1, 1)
    out_size: tuple[int, int] = (1, 1)


def measure_layers(model: nn.Module, example_input: Tensor) -> dict[str, LayerCost]:
    """Cost of each convolution and linear layer for one image, from one forward pass in eval mode.

    Args:
        example_input: (N, C, H, W), on the model's device; N only divides out.
    """
    costs = {name: LayerCost() for name, layer in model.named_modules() if isinstance(layer, COUNTED)}
    images = example_input.shape[0]

    def hook_for(cost: LayerCost) -> Callable:
        def hook(layer: Any, args: tuple[Tensor, ...], output: Tensor) -> None:
            cost.calls += 1
            cost.macs += output.numel() * prod(layer.weight.shape[1:]) // images
            if isinstance(layer, nn.Linear):  # tokens of one image, as if they lay in a row
                cost.in_size = cost.out_size = (1, output.numel() // layer.out_features // images)
            elif isinstance(layer, nn.Conv2d):
                cost.in_size = (args[0].shape[-2], args[0].shape[-1])
                cost.out_size = (output.shape[-2], output.shape[-1])

        return hook

    modules = dict(model.named_modules())
    handles = [modules[name].register_forward_hook(hook_for(cost)) for name, cost in costs.items()]
    try:
        with evaluating(model):
            model(example_input)
    finally:
        for handle in handles:
            handle.remove()
    return costs
