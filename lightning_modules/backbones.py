"""Backbones of `trashlite.backbones`, under their published name: importing this registers ours with timm."""

from trashlite.backbones import create_backbone

__all__ = ["create_backbone"]
