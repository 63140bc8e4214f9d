"""Second moments of what each layer sees on calibration images."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from trashlite.compression.evaluating import evaluating
from trashlite.compression.low_rank.layers import Layer, double, patches
from trashlite.errors import UserError


def collect_moments(
    model: nn.Module, batches: Iterable[Tensor | tuple[Tensor, Tensor]], damping: float = 1e-2
) -> dict[str, Tensor]:
    """Mean of x xᵀ over all patches x that each convolution and linear layer sees, by layer name.

    Each is (groups, P, P) float64, P = inputs per group · kh · kw: of each group by itself.

    Args:
        batches: preprocessed images (N, C, H, W) or (images, targets), on the model's device. A few hundred images do.
        damping: this share of the mean square is added to the diagonal. It keeps directions that the calibration images
            never show (there are more inputs than samples, or a channel is dead) from counting as free to destroy.

    Raises:
        UserError: no batches, a layer's input is not finite, or the damping is too small to tell.
    """
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def hook_for(name: str) -> Callable:
        def hook(layer: Layer, args: tuple[Tensor, ...]) -> None:
            columns = double(patches(layer, args[0]))  # float32 sums would not stay positive definite
            product = columns @ columns.mT
            sums[name] = sums[name] + product if name in sums else product
            counts[name] = counts.get(name, 0) + columns.shape[-1]

        return hook

    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, Layer)}
    handles = [layer.register_forward_pre_hook(hook_for(name)) for name, layer in layers.items()]
    try:
        with evaluating(model):
            for batch in batches:
                model(batch if isinstance(batch, Tensor) else batch[0])
    finally:
        for handle in handles:
            handle.remove()
    if layers and not sums:
        raise UserError("low rank: no calibration batches were given: data-aware ranks need some images")
    return {name: _damped(name, total / counts[name], damping) for name, total in sums.items()}


def _damped(name: str, second: Tensor, damping: float) -> Tensor:
    if not torch.isfinite(second).all():
        raise UserError(f"low rank: the input of {name!r} holds NaN or infinity on the calibration images")
    mean_square = second.diagonal(dim1=1, dim2=2).mean(1)
    # a group that only ever saw zeros still needs an invertible matrix: any multiple of the identity is as good
    mean_square = torch.where(mean_square > 0, mean_square, mean_square.mean().clamp(min=1e-12))
    identity = torch.eye(second.shape[1], dtype=second.dtype, device=second.device)
    damped = second + damping * mean_square[:, None, None] * identity
    if torch.linalg.cholesky_ex(damped).info.any():
        raise UserError(f"low rank: damping={damping} is too small for the inputs of {name!r}; 0.01 is usual")
    return damped
