"""Importance of channels: how far the logits move when a class of them goes."""

import copy
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from trashlite.compression.slimming.channels import ChannelGraph


def channel_importance(model: nn.Module, graph: ChannelGraph, images: Iterable[Tensor], seed: int = 0) -> Tensor:
    """Squared change of the logits, a mean over images, that dropping a class would make, to first order.

    With a gate g = 1 on each class wherever a layer reads it, that is E‖∂z/∂g‖², estimated with one random direction
    of the logits an image: E[(∂(v·z)/∂g)²], v of random signs. No labels enter: a network that fits its training
    images has no gradient of the loss left to tell channels apart. (Fisher pruning, Theis et al. 2018,
    arXiv:1801.05787, of the outputs.)

    Args:
        images: batches (N, C, H, W), on the model's device.

    Returns:
        (graph.count,), 0 for classes that have to stay.
    """
    fixed = torch.zeros(graph.count, dtype=torch.bool)
    fixed[list(graph.fixed)] = True
    readers = {
        name: layer.inputs for name, layer in graph.layers.items() if not (layer.passing or fixed[layer.inputs].all())
    }
    total = torch.zeros(graph.count, dtype=torch.float64)
    generator, count = torch.Generator().manual_seed(seed), 0
    seen: dict[str, Tensor] = {}

    def hook_for(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            seen[name] = args[0].clone()  # what this layer reads, apart from other readers
            seen[name].retain_grad()
            return (seen[name],)

        return hook

    # Some networks keep tensors between calls, which cannot be copied where they have a gradient.
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    for name in readers:
        twin.get_submodule(name).register_forward_pre_hook(hook_for(name))
    for batch in images:
        with torch.enable_grad():
            logits = twin(batch.detach().requires_grad_())
            signs = torch.randint(2, logits.shape, generator=generator).mul(2).sub(1)
            (logits * signs.to(logits)).sum().backward(inputs=list(seen.values()))
        slope = torch.zeros(len(batch), graph.count, device=batch.device)
        for name, classes in readers.items():
            change = seen[name].detach() * cast(Tensor, seen[name].grad)
            if not isinstance(twin.get_submodule(name), nn.Linear):
                change = change.movedim(1, -1)
            # Patches or windows of an image may lie in rows of their own.
            change = change.reshape(len(batch), -1, len(classes)).sum(1)
            slope.index_add_(1, classes.to(batch.device), change.to(slope.dtype))
        total += slope.square().sum(0).cpu().double()
        count += len(batch)
    return total.masked_fill(fixed, 0) / max(count, 1)
