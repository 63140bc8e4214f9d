"""Layers that are factorised, those left alone, and the reasons."""

import pytest
import timm
import torch
from timm.layers import Conv2dSame, StdConv2d
from torch import nn
from torch.nn.utils import parametrizations

from trashlite.compression.low_rank.layers import allowed_kinds, find_layers, layer_type, patches
from trashlite.errors import UserError


def test_layer_types() -> None:
    assert layer_type(nn.Linear(2, 2)) == "linear"
    assert layer_type(nn.Conv2d(4, 4, 1, groups=4)) == "pointwise"
    assert layer_type(nn.Conv2d(4, 8, 3, groups=4)) == "depthwise"
    assert layer_type(nn.Conv2d(4, 8, 3, groups=2)) == "conv"
    assert layer_type(nn.Conv2d(1, 8, 3)) == "conv"


def test_every_layer_is_found_or_has_its_reason() -> None:
    shared = nn.Linear(4, 4)
    tied = nn.Linear(4, 4)
    tied.weight = nn.Linear(4, 4).weight
    other = nn.Linear(4, 4)
    other.weight = tied.weight
    zero = nn.Linear(4, 4)
    nn.init.zeros_(zero.weight)
    model = nn.ModuleDict(
        {
            "good": nn.Conv2d(3, 4, 3),
            "same": Conv2dSame(3, 4, 3),
            "timm": timm.layers.Linear(4, 4),
            "standardised": StdConv2d(3, 4, 3),
            "normed": parametrizations.weight_norm(nn.Linear(4, 4)),
            "attention": nn.MultiheadAttention(4, 2),
            "shared_a": shared,
            "shared_b": shared,
            "tied": tied,
            "other": other,
            "twice": nn.Linear(4, 4),
            "never": nn.Linear(4, 4),
            "zero": zero,
            "kept.me".replace(".", "_"): nn.Linear(4, 4),
        }
    )
    calls = {name: 1 for name, _ in model.named_modules()} | {"twice": 2, "never": 0}
    found, skipped = find_layers(model, calls, exclude=["kept*"])
    assert list(found) == ["good", "same", "timm"]
    reasons = {
        "standardised": "StdConv2d",
        "normed": "ParametrizedLinear",
        "attention.out_proj": "NonDynamicallyQuantizableLinear",
        "shared_a": "shared",
        "shared_b": "shared",
        "tied": "shared",
        "other": "shared",
        "twice": "2 times",
        "never": "0 times",
        "zero": "zero",
        "kept_me": "left out",
    }
    assert skipped.keys() == reasons.keys()
    assert all(word in skipped[name] for name, word in reasons.items())


def test_mistakes_are_told() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(UserError, match=r"'head\*' matches no layer"):
        find_layers(model, {"0": 1}, exclude=["head*"])
    model[0].weight.data[1, 1] = float("inf")
    with pytest.raises(UserError, match="'0' holds NaN or infinity"):
        find_layers(model, {"0": 1})
    with pytest.raises(UserError, match="unknown layer type 'dense'"):
        allowed_kinds({"dense": "svd"})
    with pytest.raises(UserError, match="linear layers have no kind 'tucker'"):
        allowed_kinds({"linear": ["tucker"]})


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, 2, 1, groups=2, bias=False),
        nn.Conv2d(4, 6, (3, 2), (1, 2), "valid", dilation=2, bias=False),
        nn.Conv2d(4, 4, 3, 1, "same", groups=4, bias=False, padding_mode="reflect"),
        Conv2dSame(4, 6, 5, 2, bias=False),
        nn.Linear(4, 3, bias=False),
    ],
    ids=str,
)
def test_weight_times_patches_is_the_output(layer: nn.Conv2d | nn.Linear) -> None:
    x = torch.randn(2, 9, 4) if isinstance(layer, nn.Linear) else torch.randn(2, 4, 9, 8)
    columns = patches(layer, x)
    product = layer.weight.reshape(columns.shape[0], -1, columns.shape[1]) @ columns
    output = layer(x).movedim(-1, 0).flatten(1) if isinstance(layer, nn.Linear) else layer(x).movedim(1, 0).flatten(1)
    torch.testing.assert_close(product.flatten(0, 1), output)
