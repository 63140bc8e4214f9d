"""Low-rank decomposition of convolutions and linear layers, in pure torch.

>>> moments = collect_moments(model, batches)
>>> plan = select_ranks(model, batches[0], "budget", budget=0.6, moments=moments)
>>> small = apply_plan(model, plan, moments)
"""

from trashlite.compression.low_rank.apply import apply_plan
from trashlite.compression.low_rank.moments import collect_moments
from trashlite.compression.low_rank.plan import LayerPlan, RankPlan
from trashlite.compression.low_rank.ranks import select_ranks

__all__ = ["LayerPlan", "RankPlan", "apply_plan", "collect_moments", "select_ranks"]
