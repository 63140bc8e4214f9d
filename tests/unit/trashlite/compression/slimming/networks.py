"""Networks that tell channels apart, and the dense network with channels silenced, for the tests of slimming."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trashlite.backbones import create_backbone
from trashlite.compression.slimming.channels import ChannelGraph

PROJECT = Path(__file__).parents[5]
CONFIGS = {
    settings["name"]: settings["kwargs"]
    for settings in (yaml.safe_load(path.read_text()) for path in (PROJECT / "conf" / "backbone").glob("*.yaml"))
}
ROWS = re.findall(r"(?m)^\| `(\w+)` \|", (PROJECT / "docs" / "backbones.md").read_text())
BACKBONES = sorted({*CONFIGS, *ROWS})
"""Every network of conf/backbone and docs/backbones.md."""
BLOCKS = ["ds_r1_k3_s1_c8", "ir_r2_k3_s2_e3_c16", "ir_r3_k5_s2_e3_c24"]


def build(name: str, kwargs: Mapping[str, Any] | None = None, classes: int = 5) -> nn.Module:
    torch.manual_seed(0)
    return randomise(create_backbone(name, classes, kwargs=kwargs))


def from_config(name: str) -> nn.Module:
    return build(name, CONFIGS.get(name))


def randomise(model: nn.Module) -> nn.Module:
    """BatchNorm of its own for each channel, eval mode."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.1, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return model.eval()


def images(count: int = 8, height: int = 32, width: int = 48) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def random_keep(graph: ChannelGraph, share: float = 0.7) -> Tensor:
    """Classes that stay: all that must, some of the others, one at least of each layer."""
    keep = torch.rand(graph.count, generator=torch.Generator().manual_seed(2)) < share
    keep[list(graph.fixed)] = True
    for layer in graph.layers.values():
        for side in (layer.inputs, layer.outputs):
            if not keep[side].any():
                keep[side[0]] = True
    return keep


@contextmanager
def silenced(model: nn.Module, graph: ChannelGraph, keep: Tensor) -> Iterator[nn.Module]:
    """The dense network, in which every layer reads zeros from the channels that are not kept."""

    def hook_for(mask: Tensor) -> Any:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            axes = 0 if isinstance(module, nn.Linear) else args[0].ndim - 2
            return (args[0] * mask.reshape(-1, *[1] * axes),)

        return hook

    handles = [
        model.get_submodule(name).register_forward_pre_hook(hook_for(keep[layer.inputs].float()))
        for name, layer in graph.layers.items()
        if not layer.passing
    ]
    yield model
    for handle in handles:
        handle.remove()
