"""Choose which part of a factorised network goes on learning."""

from collections.abc import Iterable
from typing import Literal, get_args

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trashlite.errors import UserError

Freeze = Literal["none", "all_but_factors", "all_but_convs"]


def check_freeze(mode: str) -> None:
    """Raise UserError unless `mode` is one of the choices."""
    if mode not in get_args(Freeze):
        raise UserError(f"callbacks.low_rank.freeze={mode!r}: choose one of {', '.join(get_args(Freeze))}.")


def freeze_layers(model: nn.Module, mode: Freeze, factorised: Iterable[str]) -> None:
    """Let only some layers learn, in place; a frozen BatchNorm also keeps its statistics.

    Args:
        mode: `none` freezes nothing; `all_but_factors` trains the chains that replaced layers; `all_but_convs`
            trains every convolution.
        factorised: names of the layers that were replaced, as in `RankPlan.layers`.

    Raises:
        UserError: nothing is left to train.
    """
    check_freeze(mode)
    if mode == "none":
        return
    if mode == "all_but_factors":
        learning = [model.get_submodule(name) for name in factorised]
    else:
        learning = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    if not learning:
        raise UserError(f"callbacks.low_rank.freeze={mode} leaves nothing to train: no layer was factorised.")
    model.requires_grad_(False)
    for module in learning:
        module.requires_grad_(True)
    for module in model.modules():
        if isinstance(module, _BatchNorm):  # none lies inside a chain
            module.eval()
