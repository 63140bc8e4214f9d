"""Count multiply-accumulates (MACs) of one image with two independent counters, and say where they differ."""

import copy
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import thop
import torch
from thop.profile import register_hooks
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from trashlite.errors import OverBudget, UserError

OUTSIDE_LAYERS = "(outside layers)"


@dataclass(frozen=True)
class LayerMacs:
    """One row of a report; `output_shape` is None where the output is no tensor."""

    name: str
    kind: str
    macs: int
    flop_counter_macs: int
    params: int
    output_shape: list[int] | None


@dataclass(frozen=True)
class MacsReport:
    """MACs of one image of shape `input_size` (C, H, W); both totals are the sums over `layers`.

    `macs` is what `counter` counts: convolutions, matrix products, normalisation, pooling, softmax; no bias.
    `flop_counter_macs` is `torch.utils.flop_counter` / 2: every convolution and matrix product, nothing else.
    Element-wise arithmetic and means written as functions in a `forward` are in neither.
    """

    macs: int
    counter: str
    flop_counter_macs: int
    params: int
    input_size: list[int]
    layers: list[LayerMacs]
    not_counted: list[str]
    """Operations that ran and that `counter` took as 0."""
    differences: list[str]
    """Layers on which the counters disagree by more than normalisation, pooling and activations account for."""


def count_macs(model: nn.Module, input_size: Sequence[int]) -> MacsReport:
    """Count the MACs of one forward pass of one image, in eval mode, on a copy: the model is left untouched.

    Args:
        model: any module that takes a float tensor (1, C, H, W).
        input_size: (C, H, W).

    Raises:
        UserError: the model does not take an image of this shape.
    """
    input_size = [int(size) for size in input_size]
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        twin = _bare_copy(model)
        flop_counter = FlopCounterMode(display=False)
        recorder = _Recorder(twin, flop_counter)
        own_macs: dict[nn.Module, int] = {}
        # thop drops its layer counts on return; a wrapper's hook reads them after the last layer has run.
        wrapper = nn.Sequential(twin)
        wrapper.register_forward_hook(
            lambda *_: own_macs.update({module: int(vars(module)["total_ops"]) for module in twin.modules()})
        )
        try:
            # Torch's counter has no formula for the CPU's fused attention; the plain one is matrix products.
            with sdpa_kernel(SDPBackend.MATH), flop_counter:
                macs, _ = thop.profile(wrapper, (torch.zeros(1, *input_size),), verbose=False)
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            raise UserError(
                f"{type(model).__name__} does not take an input of shape {shape_text(input_size)}: {error} "
                "Choose another image_size, or another backbone."
            ) from error
    return _report(twin, input_size, int(macs), own_macs, recorder)


def shape_text(input_size: Sequence[int]) -> str:
    """`1×3×64×64 (N, C, H, W)` for the input size (3, 64, 64)."""
    return "×".join(map(str, (1, *input_size))) + " (N, C, H, W)"


def _bare_copy(model: nn.Module) -> nn.Module:
    """Copy to count on: CPU, float32, eval mode, without the hooks of others, which may have effects."""
    twin = copy.deepcopy(model).cpu().float().eval()
    for module in twin.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return twin


class _Recorder:
    """Hooks that note what each module did in a forward pass, without its submodules."""

    def __init__(self, model: nn.Module, flop_counter: FlopCounterMode) -> None:
        self.flop_counter = flop_counter
        self.own_flops: dict[nn.Module, int] = defaultdict(int)
        self.output_shape: dict[nn.Module, list[int] | None] = {}
        self.active: set[nn.Module] = set()
        self.running: list[dict[str, Any]] = []
        for module in model.modules():
            module.register_forward_pre_hook(self.enter)
            module.register_forward_hook(self.leave)

    def enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.running.append({"start": self.flop_counter.get_total_flops(), "inside": 0, "version": _version(inputs)})

    def leave(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        call = self.running.pop()
        flops = self.flop_counter.get_total_flops() - call["start"]
        self.own_flops[module] += flops - call["inside"]
        if self.running:
            self.running[-1]["inside"] += flops
        self.output_shape[module] = list(output.shape) if isinstance(output, Tensor) else None
        returned_as_is = len(inputs) == 1 and output is inputs[0] and _version(inputs) == call["version"]
        if not returned_as_is:
            self.active.add(module)


def _version(inputs: tuple[Any, ...]) -> int | None:
    """Number of in-place writes to the first input."""
    return inputs[0]._version if inputs and isinstance(inputs[0], Tensor) else None


def _report(
    model: nn.Module, input_size: list[int], macs: int, own_macs: dict[nn.Module, int], recorder: _Recorder
) -> MacsReport:
    own_flop_macs = {module: flops // 2 for module, flops in recorder.own_flops.items()}
    # Products written as functions: thop gives one sum for the model, the flop counter one for each module.
    outside = {module: n for module, n in own_flop_macs.items() if n and not own_macs[module]}
    outside_macs = macs - sum(own_macs.values())
    if outside_macs == sum(outside.values()):
        own_macs = own_macs | outside
        outside, outside_macs = {}, 0

    layers: list[LayerMacs] = []
    not_counted: list[str] = []
    differences: list[str] = []
    without_rule: Counter[str] = Counter()
    for name, module in model.named_modules():
        is_leaf = next(module.children(), None) is None
        module_macs, flop_macs = own_macs[module], own_flop_macs.get(module, 0)
        if module not in recorder.active or not (is_leaf or module_macs or flop_macs):
            continue
        kind = type(module).__name__
        title = f"{name or '(model)'} ({kind})"
        params = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        layers.append(LayerMacs(name, kind, module_macs, flop_macs, params, recorder.output_shape[module]))
        if module in outside:
            not_counted.append(f"{title}: {flop_macs:,} MACs of convolutions or matrix products written as functions")
        elif is_leaf and not any(parent in register_hooks for parent in type(module).__mro__):
            without_rule[kind] += 1
        is_product = isinstance(module, nn.Linear | nn.modules.conv._ConvNd)
        if flop_macs > module_macs or (is_product and flop_macs != module_macs):
            differences.append(f"{title}: thop {module_macs:,}, torch.utils.flop_counter {flop_macs:,}")
    if outside_macs:
        layers.append(LayerMacs(OUTSIDE_LAYERS, "functions", outside_macs, 0, 0, None))
    return MacsReport(
        macs=macs,
        counter="thop",
        flop_counter_macs=sum(own_flop_macs.values()),
        params=sum(parameter.numel() for parameter in model.parameters()),
        input_size=input_size,
        layers=layers,
        not_counted=not_counted + [f"{kind} ({n} layer{'s' * (n > 1)})" for kind, n in without_rule.items()],
        differences=differences,
    )


def check_budget(backbone: str, report: MacsReport, max_macs: float | None) -> None:
    """Check what a network costs against what it may.

    Raises:
        OverBudget: it costs more.
    """
    if max_macs is not None and report.macs > max_macs:
        raise OverBudget(
            f"Backbone {backbone} needs {report.macs:,} MACs (counted by {report.counter}, input "
            f"{shape_text(report.input_size)}), more than max_macs={max_macs:,.0f}. Choose a smaller backbone or "
            "image_size, or raise max_macs.",
            report.macs,
        )
