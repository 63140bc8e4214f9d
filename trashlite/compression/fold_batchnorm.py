"""Fold BatchNorm into the layer before it: the same outputs from fewer operations, at test time."""

import copy
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import BatchNormAct2d, SyncBatchNormAct
from timm.utils import reparameterize_model
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trashlite.errors import UserError

log = logging.getLogger(__name__)

FOLDABLE = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear
# Other subclasses may compute something else in their forward.
KNOWN_FORWARDS = {norm.forward for norm in (_BatchNorm, nn.SyncBatchNorm, BatchNormAct2d, SyncBatchNormAct)}


@torch.inference_mode(False)
@torch.no_grad()
def fold_batchnorm(model: nn.Module, input_size: Sequence[int]) -> nn.Module:
    """Copy a model in eval mode with each BatchNorm folded into the convolution or linear layer before it.

    One forward pass shows what follows what, so models that `torch.fx` cannot trace are folded too. Branches
    that timm can merge (RepVGG, RepGhost, ...) are merged first. What stays is logged with the reason.

    Args:
        model: any module that takes a float tensor (1, C, H, W).
        input_size: (C, H, W).

    Raises:
        UserError: outputs of the folded copy differ by more than rounding.

    Source: Jacob et al., Quantization and Training of Neural Networks, 2018, section 3.2.
    """
    parameter = next(model.parameters(), torch.zeros(1))
    # On the CPU, whose convolutions are exact enough to compare: a GPU's may round to TF32.
    dense = copy.deepcopy(model).cpu().eval()
    image = torch.randn(1, *input_size, generator=torch.Generator().manual_seed(0)).to(parameter.dtype)
    expected = dense(image)

    folded = _merge_branches(dense, image, expected)
    flow = _Dataflow(folded, image)
    places: dict[_BatchNorm, list[str]] = {}
    for name, module in folded.named_modules(remove_duplicate=False):
        if isinstance(module, _BatchNorm):
            places.setdefault(module, []).append(name)
    kept = []
    for norm, names in places.items():
        obstacle = flow.obstacle(norm)
        if obstacle:
            kept.append(f"{names[0]} ({obstacle})")
            continue
        _fold(flow.source[norm], norm)
        for name in names:
            folded.set_submodule(name, _after_norm(norm))
    if kept:
        log.info("BatchNorm layers that were not folded: %s", ", ".join(kept))
    if not _equal(folded(image), expected):
        raise UserError(
            f"Folding BatchNorm changed the output of {type(model).__name__} by more than rounding. A run goes without "
            "(fold_batchnorm=false); a teacher, `make predict` and `make export` take folded networks only."
        )
    return folded.eval().to(parameter.device)


class _Dataflow(TorchDispatchMode):
    """One forward pass, watched: which layer's output each BatchNorm takes, and who else takes it.

    Tensors are told apart by identity; all of them are kept, since an `id` of a freed one may come again.
    """

    def __init__(self, model: nn.Module, image: Tensor) -> None:
        super().__init__()
        self.source: dict[nn.Module, Any] = {}
        self.calls: Counter[nn.Module] = Counter()
        self.used_elsewhere: set[nn.Module] = set()
        self.made_by: dict[int, tuple[Tensor, nn.Module]] = {}
        self.last_product: tuple[Tensor, Tensor, Tensor | None] | None = None
        self.norm_input: Tensor | None = None
        handles = []
        for module in model.modules():
            if isinstance(module, FOLDABLE):
                handles.append(module.register_forward_hook(self.leave_layer))
            elif isinstance(module, _BatchNorm):
                handles.append(module.register_forward_pre_hook(self.enter_norm))
                handles.append(module.register_forward_hook(self.leave_norm))
        with self:
            output = model(image)
        for handle in handles:
            handle.remove()
        self.note_uses(output)

    def obstacle(self, norm: _BatchNorm) -> str | None:
        """Reason why `norm` cannot be folded into its source; None if it can."""
        source = self.source.get(norm)
        if type(norm).forward not in KNOWN_FORWARDS:
            return f"{type(norm).__name__} has a forward of its own"
        if norm.running_mean is None:
            return "has no running statistics"
        if source is None:
            return "does not directly follow a convolution or linear layer"
        if self.calls[norm] > 1 or self.calls[source] > 1:
            return "is used more than once"
        if source in self.used_elsewhere:
            return "the output it normalises is used elsewhere too"
        return None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.note_uses((args, kwargs))
        output = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default:
            self.last_product = (output, args[1], args[2])
        return output

    def note_uses(self, values: Any) -> None:
        for value in tree_leaves(values):
            if id(value) in self.made_by and value is not self.norm_input:
                self.used_elsewhere.add(self.made_by[id(value)][1])

    def leave_layer(self, layer: Any, inputs: Any, output: Any) -> None:
        self.calls[layer] += 1
        if isinstance(layer, nn.Linear):
            # BatchNorm normalises dimension 1, which is the layer's output dimension only in a matrix.
            plain = type(layer).forward is nn.Linear.forward and output.ndim == 2
        else:
            # A layer that rescales its weight or its output at each call would undo the folding.
            made = self.last_product
            plain = made is not None and output is made[0] and layer.weight is made[1] and layer.bias is made[2]
        if plain and isinstance(layer.weight, nn.Parameter):
            self.made_by[id(output)] = (output, layer)

    def enter_norm(self, norm: nn.Module, inputs: Any) -> None:
        self.calls[norm] += 1
        self.norm_input = inputs[0]
        if id(inputs[0]) in self.made_by:
            source = self.made_by[id(inputs[0])][1]
            if source in self.source.values():
                self.used_elsewhere.add(source)
            self.source[norm] = source

    def leave_norm(self, norm: nn.Module, inputs: Any, output: Any) -> None:
        self.norm_input = None


def _merge_branches(model: nn.Module, image: Tensor, expected: Tensor) -> nn.Module:
    """The model with its re-parameterisable blocks merged by timm, or as it is where that does not work."""
    try:
        with torch.random.fork_rng(devices=[]):  # timm initialises new layers before it fills them
            merged = reparameterize_model(model)
        if _equal(merged(image), expected):
            return merged
        log.info("Merging branches changed the output: branches stay as they are.")
    except Exception as error:  # timm's blocks assume that their own parts were not replaced, say by factors
        log.info("Branches stay as they are: %r", error)
    return model


def _fold(layer: Any, norm: Any) -> None:
    fuse = fuse_linear_bn_weights if isinstance(layer, nn.Linear) else fuse_conv_bn_weights
    mean, variance = norm.running_mean, norm.running_var
    scale = torch.ones_like(variance) if norm.weight is None else norm.weight
    shift = torch.zeros_like(mean) if norm.bias is None else norm.bias
    layer.weight, layer.bias = fuse(layer.weight, layer.bias, mean, variance, norm.eps, scale, shift)


def _after_norm(norm: nn.Module) -> nn.Module:
    """Rest of a folded BatchNorm: timm's own carry dropout and activation."""
    parts = [getattr(norm, name) for name in ("drop", "act") if hasattr(norm, name)]
    parts = [part for part in parts if not isinstance(part, nn.Identity)]
    match parts:
        case []:
            return nn.Identity()
        case [part]:
            return part
        case _:
            return nn.Sequential(*parts)


def _equal(output: Tensor, expected: Tensor) -> bool:
    """Equal but for rounding, measured against the largest value."""
    largest = expected.nan_to_num(posinf=0, neginf=0).abs().max().item()
    tolerance = 1e4 * torch.finfo(expected.dtype).eps * largest
    return torch.allclose(output, expected, rtol=0, atol=tolerance, equal_nan=True)
