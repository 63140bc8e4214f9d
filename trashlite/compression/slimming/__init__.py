"""Fewer channels for a trained network: those go first that move the logits least for what they cost."""

from collections.abc import Iterable

from torch import Tensor, nn

from trashlite.compression.layer_costs import measure_layers
from trashlite.compression.macs import count_macs
from trashlite.compression.slimming.apply import apply_channel_plan
from trashlite.compression.slimming.channels import trace_channels
from trashlite.compression.slimming.groups import find_groups
from trashlite.compression.slimming.importance import channel_importance
from trashlite.compression.slimming.plan import ChannelPlan
from trashlite.compression.slimming.selection import select_channels

__all__ = ["ChannelPlan", "apply_channel_plan", "round_budgets", "slim"]


def slim(model: nn.Module, images: Iterable[Tensor], example: Tensor, budget: float, multiple: int = 4) -> ChannelPlan:
    """Channels to keep within a budget, for `apply_channel_plan`.

    Args:
        images: preprocessed batches (N, C, H, W) to judge channels on.
        example: one image (1, C, H, W), for the MACs.
        budget: MACs of convolutions and matrix products, or a share (up to 1) of what they cost now.
        multiple: layers keep a multiple of so many channels.

    Raises:
        UserError: even the narrowest network costs more.
    """
    total = _total(model, example)
    costs = {name: cost.macs for name, cost in measure_layers(model, example).items()}
    graph = trace_channels(model, example)
    importance = channel_importance(model, graph, images)
    groups = find_groups(model, graph, importance, multiple)
    known = {name: macs for name, macs in costs.items() if name in graph.layers}
    limit = budget * total if budget <= 1 else budget
    return select_channels(graph, groups, importance, known, limit, outside=total - sum(known.values()))


def round_budgets(model: nn.Module, example: Tensor, budget: float, rounds: int) -> list[float]:
    """MACs to slim to in each of several rounds, which all keep the same share.

    Importances hold for the network they are measured on: the more channels go, the less they say of the others.

    Args:
        example: one image (1, C, H, W).
        budget: MACs, or a share (up to 1) of what the model costs now, for the last round.
    """
    total = _total(model, example)
    share = budget if budget <= 1 else budget / total
    return [total * share ** (done / rounds) for done in range(1, rounds + 1)]


def _total(model: nn.Module, example: Tensor) -> int:
    return count_macs(model, example.shape[1:]).flop_counter_macs
