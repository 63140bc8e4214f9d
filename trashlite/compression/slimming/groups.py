"""Channels that take turns: a group is made by the same layers, and gives up its least important ones first."""

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trashlite.compression.slimming.apply import ROUTERS, is_residual
from trashlite.compression.slimming.channels import ChannelGraph
from trashlite.compression.slimming.plan import lies_in


@dataclass
class Group:
    """Classes of channels that the same layers make.

    Attributes:
        classes: in the order in which they go, the last to stay last.
        kept: so many of them, from the end, are still there.
        step: `kept` is a multiple of it, or all.
        inside: residual blocks without which none of these classes is anywhere.
        block: that of them which goes altogether where none of these classes is left.
    """

    classes: Tensor
    kept: int
    step: int
    inside: frozenset[str] = frozenset()
    block: str | None = None

    def fewer(self) -> int | None:
        """The next smaller number to keep, None where there is none."""
        fewer = (self.kept - 1) // self.step * self.step
        return fewer if fewer > 0 or (self.kept and self.block) else None

    def more(self) -> int:
        """The next larger number to keep."""
        return min(self.kept + self.step, len(self.classes))

    def between(self, fewer: int, more: int) -> Tensor:
        """Classes that are there with `more` kept, and not with `fewer`."""
        return self.classes[len(self.classes) - more : len(self.classes) - fewer]


def find_groups(model: nn.Module, graph: ChannelGraph, importance: Tensor, multiple: int) -> list[Group]:
    """Groups of the classes that may go.

    Args:
        importance: of each class.
        multiple: of the channels that a group keeps; one that has fewer stays as it is.
    """
    makers, places = defaultdict[int, list[str]](list), defaultdict[int, set[str]](set)
    for name, layer in graph.layers.items():
        for number in torch.cat([layer.inputs, layer.outputs]).unique().tolist():
            places[number].add(name)
        if not isinstance(model.get_submodule(name), ROUTERS):
            for number in layer.outputs.unique().tolist():
                makers[number].append(name)
    members = defaultdict[tuple[str, ...], list[int]](list)
    for number, names in makers.items():
        if number not in graph.fixed:
            members[tuple(names)].append(number)
    blocks = [name for name, module in model.named_modules() if is_residual(module)]
    groups = []
    for numbers in members.values():
        classes = torch.tensor(numbers)
        everywhere = set[str]().union(*(places[number] for number in numbers))
        inside = frozenset(block for block in blocks if all(lies_in(name, [block]) for name in everywhere))
        order = importance[classes].argsort()
        groups.append(Group(classes[order], len(classes), min(multiple, len(classes)), inside))
    for block in blocks:
        within = {number for number, names in places.items() if all(lies_in(name, [block]) for name in names)}
        read = _read_last(graph, block, within)
        for group in groups:
            if block in group.inside and read and read <= set(group.classes.tolist()):
                group.block = block
    return groups


def _read_last(graph: ChannelGraph, block: str, within: set[int]) -> set[int]:
    """Classes that a block's last products read: those whose outputs are seen outside of it."""
    read = set[int]()
    for name, layer in graph.layers.items():
        if lies_in(name, [block]) and not layer.passing and not within.issuperset(layer.outputs.tolist()):
            read.update(layer.inputs.tolist())
    return read
