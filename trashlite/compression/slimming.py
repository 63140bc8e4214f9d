"""Fewer channels for a trained `block_net`: those go first that move the logits least for what they cost."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual
from torch import Tensor, nn

from trashlite.backbones.block_net import BlockNet
from trashlite.compression.low_rank.macs import evaluating, measure_layers
from trashlite.errors import UserError


@dataclass
class Group:
    """Channels that are kept or dropped together, wherever they occur.

    Attributes:
        size: how many there are.
        gates: modules whose outputs (N, size, H, W) carry them; a skip connection has several.
        step: how many are dropped at a time.
        least: how many stay; 0 where the block around them can go altogether.
    """

    size: int
    gates: list[str]
    step: int
    least: int


@dataclass(frozen=True)
class Layer:
    """A convolution or the classifier between two groups of channels (None: the image's, the classes).

    A depthwise convolution has one channel for each of its outputs and no inputs of its own.
    """

    name: str
    norm: str | None
    outputs: str | None
    inputs: str | None
    block: str | None


@dataclass(frozen=True)
class Anatomy:
    """Groups by name, and the layers between them."""

    groups: dict[str, Group]
    layers: list[Layer]


def dissect(model: nn.Module) -> Anatomy:
    """The groups of channels of a network of `ds` and `ir` blocks.

    Raises:
        UserError: another network, or a block of another kind.
    """
    if not isinstance(model, BlockNet) or not isinstance(model.conv_stem, nn.Conv2d):
        raise UserError(
            f"Slimming takes block_net and lite0_cut, with every layer dense, not {type(model).__name__}: "
            "squeeze other networks with `make decompose`."
        )
    groups = {"stem": Group(model.conv_stem.out_channels, ["bn1"], step=4, least=4)}
    layers = [Layer("conv_stem", "bn1", "stem", None, None)]
    now = "stem"
    for name, block in _blocks(model):
        before, skips = now, bool(block.has_skip)
        if isinstance(block, InvertedResidual):
            hidden = f"{name}.hidden"
            groups[hidden] = Group(block.conv_pw.out_channels, [f"{name}.bn2"], step=8, least=0 if skips else 8)
            layers += [
                Layer(f"{name}.conv_pw", f"{name}.bn1", hidden, before, name),
                Layer(f"{name}.conv_dw", f"{name}.bn2", hidden, None, name),
            ]
            last, norm, inputs = "conv_pwl", "bn3", hidden
        else:
            layers.append(Layer(f"{name}.conv_dw", f"{name}.bn1", before, None, name))
            if not skips:  # all that reads these channels reads them behind the depthwise convolution
                groups[before].gates = [f"{name}.bn1"]
            last, norm, inputs = "conv_pw", "bn2", before
        if not skips:
            now = f"{name}.out"
            groups[now] = Group(block.get_submodule(last).out_channels, [], step=4, least=8)
        groups[now].gates.append(f"{name}.{norm}")
        layers.append(Layer(f"{name}.{last}", f"{name}.{norm}", now, inputs, name))
    if isinstance(model.conv_head, nn.Conv2d):
        groups["head"] = Group(model.conv_head.out_channels, ["bn2"], step=8, least=8)
        layers.append(Layer("conv_head", "bn2", "head", now, None))
        now = "head"
    layers.append(Layer("classifier", None, None, now, None))
    return Anatomy(groups, layers)


def _blocks(model: BlockNet) -> list[tuple[str, Any]]:
    stages = [cast(nn.Sequential, stage) for stage in model.blocks]
    blocks = [(f"blocks.{i}.{j}", block) for i, stage in enumerate(stages) for j, block in enumerate(stage)]
    for name, block in blocks:
        if not _is_plain(block, type(model.bn1.act)):
            raise UserError(
                "Slimming takes `ds` and `ir` blocks with one kernel, 1x1 convolutions around it and the network's own "
                f"activation, without squeeze-excite; {name} is another: squeeze this network with `make decompose`."
            )
    return blocks


def _is_plain(block: nn.Module, activation: type[nn.Module]) -> bool:
    """Whether the block string that `slim_architecture` writes makes this block again."""
    if type(block) not in (InvertedResidual, DepthwiseSeparableConv):
        return False
    depthwise, pointwise = block.conv_dw, [getattr(block, key, None) for key in ("conv_pw", "conv_pwl")]
    return (
        isinstance(depthwise, nn.Conv2d)
        and depthwise.groups == depthwise.in_channels
        and all(isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) for layer in pointwise if layer)
        and isinstance(block.se, nn.Identity)
        and not getattr(block, "has_pw_act", False)
        and type(cast(Any, block.bn1).act) is activation
    )


def channel_importance(
    model: nn.Module, groups: dict[str, Group], images: Iterable[Tensor], seed: int = 0
) -> dict[str, Tensor]:
    """Squared change of the logits, a mean over images, that dropping a channel would make, to first order.

    With a gate g = 1 on each channel, that is E‖∂z/∂g‖², estimated with one random direction of the logits an image:
    E[(∂(v·z)/∂g)²], v of random signs. No labels enter: a network that fits its training images has no gradient
    of the loss left to tell channels apart. (Fisher pruning, Theis et al. 2018, arXiv:1801.05787, of the outputs.)

    Args:
        images: batches (N, C, H, W), on the model's device.

    Returns:
        (size,) for each group.
    """
    total = {name: torch.zeros(group.size, dtype=torch.float64) for name, group in groups.items()}
    generator, count = torch.Generator().manual_seed(seed), 0
    outputs: dict[str, Tensor] = {}

    def hook_for(gate: str) -> Any:
        def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            output.retain_grad()
            outputs[gate] = output

        return hook

    handles = [
        model.get_submodule(gate).register_forward_hook(hook_for(gate))
        for group in groups.values()
        for gate in group.gates
    ]
    try:
        with evaluating(model):
            for batch in images:
                with torch.enable_grad():
                    logits = model(batch.detach().requires_grad_())
                    signs = torch.randint(2, logits.shape, generator=generator).mul(2).sub(1)
                    (logits * signs.to(logits)).sum().backward(inputs=list(outputs.values()))
                count += len(batch)
                for name, group in groups.items():
                    slope = sum(
                        (outputs[gate].detach() * cast(Tensor, outputs[gate].grad)).sum((2, 3)) for gate in group.gates
                    )
                    total[name] += cast(Tensor, slope).square().sum(0).cpu().double()
    finally:
        for handle in handles:
            handle.remove()
    return {name: value / max(count, 1) for name, value in total.items()}


def select_channels(
    anatomy: Anatomy, importance: dict[str, Tensor], macs: dict[str, int], budget: float
) -> dict[str, Tensor]:
    """Positions (k,) of the channels to keep in each group, so that all layers together cost at most `budget`.

    Again and again that group gives up its least important channels whose loss is smallest for the MACs it saves.

    Args:
        macs: of each layer, all channels kept.
        budget: MACs, or a share (up to 1) of their sum.

    Raises:
        UserError: even the narrowest network costs more.
    """
    groups, layers = anatomy.groups, anatomy.layers
    total = sum(macs[layer.name] for layer in layers)
    limit = budget * total if budget <= 1 else budget
    order = {name: value.argsort() for name, value in importance.items()}
    kept = {name: group.size for name, group in groups.items()}

    def cost(kept: dict[str, int]) -> float:
        return sum(
            macs[layer.name]
            * (kept[layer.outputs] / groups[layer.outputs].size if layer.outputs else 1)
            * (kept[layer.inputs] / groups[layer.inputs].size if layer.inputs else 1)
            for layer in layers
            if not (layer.block and kept.get(f"{layer.block}.hidden") == 0)
        )

    now = cost(kept)
    while now > limit:
        choices = []
        for name, group in groups.items():
            fewer = (kept[name] - 1) // group.step * group.step
            if kept[name] and fewer >= group.least:
                dropped = order[name][group.size - kept[name] : group.size - fewer]
                saved = now - cost(kept | {name: fewer})
                choices.append((float(importance[name][dropped].sum()) / max(saved, 1e-9), name, fewer))
        if not choices:
            raise UserError(
                f"A budget of {limit:,.0f} MACs is out of reach: with the fewest channels it is {now:,.0f}. "
                "Use a smaller image_size or a network of fewer stages."
            )
        _, name, fewer = min(choices)
        kept[name] = fewer
        now = cost(kept)
    while (
        choices := [  # the last step may have saved too much: take back what there is room for
            (float(importance[name][order[name][group.size - more : group.size - kept[name]]].sum()), name, more)
            for name, group in groups.items()
            for more in [min(kept[name] + group.step, group.size)]
            if more > kept[name] > 0 and cost(kept | {name: more}) <= limit
        ]
    ):
        _, name, more = max(choices)
        kept[name] = more
    return {name: order[name][group.size - kept[name] :].sort().values for name, group in groups.items()}


def slim_architecture(model: BlockNet, keep: dict[str, Tensor]) -> dict[str, Any]:
    """Arguments of `block_net` for the channels that are kept, plain data."""
    widths = {name: len(channels) for name, channels in keep.items()}
    stages: dict[str, list[str]] = {}
    now = widths["stem"]
    for name, block in _blocks(model):
        hidden = widths.get(f"{name}.hidden")
        out = widths.get(f"{name}.out", now)
        if hidden != 0:
            kernel, stride = block.conv_dw.kernel_size[0], block.conv_dw.stride[0]
            kind = "ds" if hidden is None else "ir"
            expansion = "" if hidden is None else f"_e{hidden / now:.4f}".rstrip("0").rstrip(".")
            noskip = "" if block.has_skip or stride > 1 or out != now else "_noskip"
            stages.setdefault(name.split(".")[1], []).append(f"{kind}_r1_k{kernel}_s{stride}{expansion}_c{out}{noskip}")
            now = out
    return {
        **model.settings,
        "blocks": list(stages.values()),
        "stem_size": widths["stem"],
        "head_size": widths.get("head", 0),
        "round_to": 4,
    }


def slim_weights(model: BlockNet, anatomy: Anatomy, keep: dict[str, Tensor]) -> dict[str, Tensor]:
    """The `state_dict` of the network of `slim_architecture`: the kept channels' part of each tensor."""
    state, slim = model.state_dict(), {}
    names = _new_names(model, keep)
    for layer in anatomy.layers:
        if layer.block and layer.block not in names:
            continue
        rows = keep[layer.outputs] if layer.outputs else slice(None)
        columns = keep[layer.inputs] if layer.inputs else slice(None)
        weight = state[f"{layer.name}.weight"][rows][:, columns]
        new = {f"{layer.name}.weight": weight}
        if f"{layer.name}.bias" in state:
            new[f"{layer.name}.bias"] = state[f"{layer.name}.bias"][rows]
        for key, value in state.items():
            if layer.norm and key.rpartition(".")[0] == layer.norm:
                new[key] = value[rows] if value.ndim else value
        for key, value in new.items():
            slim[key.replace(layer.block, names[layer.block], 1) if layer.block else key] = value.clone()
    return slim


def _new_names(model: BlockNet, keep: dict[str, Tensor]) -> dict[str, str]:
    """New names of the blocks that stay: those behind a dropped one move up."""
    names, stage_before, position = {}, "", 0
    for name, _ in _blocks(model):
        if f"{name}.hidden" in keep and len(keep[f"{name}.hidden"]) == 0:
            continue
        stage = name.split(".")[1]
        position = position + 1 if stage == stage_before else 0
        names[name], stage_before = f"blocks.{stage}.{position}", stage
    return names


def round_budgets(model: nn.Module, example: Tensor, budget: float, rounds: int) -> list[float]:
    """MACs (of convolutions and linear layers) to slim to in each of several rounds, which all keep the same share.

    Importances hold for the network they are measured on: the more channels go, the less they say of the others.

    Args:
        example: one image (1, C, H, W).
        budget: MACs, or a share (up to 1) of what the model costs now, for the last round.
    """
    total = sum(cost.macs for cost in measure_layers(model, example).values())
    share = budget if budget <= 1 else budget / total
    return [total * share ** (done / rounds) for done in range(1, rounds + 1)]


def slim(
    model: nn.Module, images: Iterable[Tensor], example: Tensor, budget: float
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Architecture and weights of a narrower network within a budget.

    Args:
        images: preprocessed batches (N, C, H, W) to judge channels on.
        example: one image (1, C, H, W), for the MACs.
        budget: MACs of convolutions and linear layers, or a share (up to 1) of what they cost now.

    Returns:
        `slim_architecture` and `slim_weights`.

    Raises:
        UserError: the network or the budget does not fit.
    """
    anatomy = dissect(model)
    costs = {name: cost.macs for name, cost in measure_layers(model, example).items()}
    importance = channel_importance(model, anatomy.groups, images)
    keep = select_channels(anatomy, importance, costs, budget)
    network = cast(BlockNet, model)
    return slim_architecture(network, keep), slim_weights(network, anatomy, keep)
