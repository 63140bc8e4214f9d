"""A network comes in; a cheaper one, or what it costs, goes out."""

from trashlite.compression.fold_batchnorm import fold_batchnorm
from trashlite.compression.low_rank import RankPlan, apply_plan, collect_moments, select_ranks
from trashlite.compression.macs import MacsReport, count_macs
from trashlite.compression.reestimate_batchnorm import reestimate_batchnorm
from trashlite.compression.slimming import ChannelPlan, apply_channel_plan, slim

__all__ = [
    "ChannelPlan",
    "MacsReport",
    "RankPlan",
    "apply_channel_plan",
    "apply_plan",
    "collect_moments",
    "count_macs",
    "fold_batchnorm",
    "reestimate_batchnorm",
    "select_ranks",
    "slim",
]
