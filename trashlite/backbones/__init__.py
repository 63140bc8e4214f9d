"""Small backbones in timm's style; importing this package puts ours into timm's registry."""

from trashlite.backbones import block_net, shufflenetv2
from trashlite.backbones.factory import create_backbone
from trashlite.backbones.weights import WeightsReport, load_weights

__all__ = ["WeightsReport", "block_net", "create_backbone", "load_weights", "shufflenetv2"]
