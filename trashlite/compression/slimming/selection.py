"""Selection of the channels that stay: those go first that move the logits least for the MACs that they cost."""

from dataclasses import dataclass

import torch
from torch import Tensor

from trashlite.compression.slimming.apply import kept_part
from trashlite.compression.slimming.channels import ChannelGraph
from trashlite.compression.slimming.groups import Group
from trashlite.compression.slimming.plan import ChannelPlan, Kept, lies_in
from trashlite.errors import UserError

EMPTY = torch.tensor([], dtype=torch.long)


@dataclass(frozen=True)
class Widths:
    """Number of outputs and inputs of each layer, and whether it is there."""

    outputs: Tensor
    inputs: Tensor
    there: Tensor


class Costs:
    """MACs of a network's layers by the classes that are kept; `now` is how wide they are.

    Args:
        macs: of each convolution and linear layer, all channels kept.
    """

    def __init__(self, graph: ChannelGraph, macs: dict[str, int]) -> None:
        self.names = [name for name in graph.layers if macs.get(name)]
        layers = [graph.layers[name] for name in self.names]
        # how often each class occurs in each layer (classes, layers)
        self.outputs, self.inputs = (
            torch.stack([torch.bincount(classes, minlength=graph.count) for classes in side], dim=1).double()
            for side in ([layer.outputs for layer in layers], [layer.inputs for layer in layers])
        )
        self.passing = torch.tensor([layer.passing for layer in layers])
        self.now = Widths(self.outputs.sum(0), self.inputs.sum(0), torch.ones(len(layers), dtype=torch.bool))
        each = torch.tensor([macs[name] for name in self.names], dtype=torch.float64)
        self.each = each / self._products(self.now)

    def changed(self, classes: Tensor, sign: int, block: str | None = None) -> Widths:
        """Without these classes (-1) or with them again (1), and without a block."""
        there = self.now.there
        if block:
            there = there & ~torch.tensor([lies_in(name, [block]) for name in self.names])
        outputs, inputs = (
            now + sign * counts[classes].sum(0)
            for now, counts in ((self.now.outputs, self.outputs), (self.now.inputs, self.inputs))
        )
        return Widths(outputs, inputs, there)

    def macs(self, widths: Widths) -> float:
        """MACs at these widths; infinite where a layer would have no channels."""
        if bool(((widths.outputs < 1) | (widths.inputs < 1))[widths.there].any()):
            return float("inf")
        return float((self.each * self._products(widths))[widths.there].sum())

    def _products(self, widths: Widths) -> Tensor:
        return widths.outputs * widths.inputs.where(~self.passing, 1)


def select_channels(
    graph: ChannelGraph, groups: list[Group], importance: Tensor, macs: dict[str, int], limit: float, outside: float = 0
) -> ChannelPlan:
    """Channels to keep so that the layers of `macs` together, and what is outside of them, cost at most `limit`.

    Again and again that group gives up its least important channels whose loss is smallest for the MACs it saves. A
    residual block whose inner channels are all gone goes too.

    Args:
        groups: of `find_groups`; `kept` is left as it ends.
        importance: of each class.
        macs: of each convolution and linear layer, all channels kept.
        outside: MACs that cost the same afterwards, such as those of attention.

    Raises:
        UserError: even the narrowest network costs more.
    """
    costs, dropped, room = Costs(graph, macs), list[str](), limit - outside
    now = costs.macs(costs.now)
    while now > room:
        choices = []
        for number, group in enumerate(groups):
            if (fewer := group.fewer()) is not None:
                classes = group.between(fewer, group.kept)
                left = costs.macs(costs.changed(classes, -1, None if fewer else group.block))
                if left < now:
                    choices.append((float(importance[classes].sum()) / (now - left), number, fewer, left))
        if not choices:
            raise UserError(_out_of_reach(limit, now + outside, graph))
        _, number, fewer, now = min(choices)
        group, block = groups[number], None if fewer else groups[number].block
        costs.now = costs.changed(group.between(fewer, group.kept), -1, block)
        group.kept = fewer
        if block:
            dropped.append(block)
            groups = [other for other in groups if block not in other.inside]
    while True:  # the last step may have saved too much: take back what there is room for
        returns = []
        for number, group in enumerate(groups):
            classes = group.between(group.kept, group.more())
            if len(classes) and costs.macs(costs.changed(classes, 1)) <= room:
                returns.append((float(importance[classes].sum()), number))
        if not returns:
            break
        group = groups[max(returns)[1]]
        costs.now = costs.changed(group.between(group.kept, group.more()), 1)
        group.kept = group.more()
    keep = torch.zeros(graph.count, dtype=torch.bool)
    keep[list(graph.fixed)] = True
    for group in groups:
        keep[group.between(0, group.kept)] = True
    return plan_of(graph, keep, tuple(dropped))


def plan_of(graph: ChannelGraph, keep: Tensor, dropped: tuple[str, ...] = ()) -> ChannelPlan:
    """The plan that keeps these classes (bool, one for each)."""
    layers = {
        name: Kept(kept_part(layer.inputs, keep), kept_part(layer.outputs, keep))
        for name, layer in graph.layers.items()
        if not lies_in(name, dropped)
    }
    return ChannelPlan({name: kept for name, kept in layers.items() if kept != Kept()}, dropped)


def _out_of_reach(limit: float, least: float, graph: ChannelGraph) -> str:
    reasons = "; ".join(sorted({*graph.fixed.values()} - {"the image's", "the classes"}))
    stay = f" Channels that have to stay: {reasons}." if reasons else ""
    return (
        f"A budget of {limit:,.0f} MACs is out of reach: with the fewest channels it is {least:,.0f}.{stay} "
        "Use a smaller image_size or a network of fewer stages."
    )
