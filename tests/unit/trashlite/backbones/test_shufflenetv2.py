"""ShuffleNetV2 against torchvision's, and its options by hand."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from trashlite.backbones.shufflenetv2 import ShuffleUnit, interleave_channels
from trashlite.backbones.weights import rename_by_order


def randomise(model: nn.Module) -> None:
    """Give BatchNorm layers statistics and weights that tell channels apart."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)


def test_interleave_channels_is_concatenation_and_channel_shuffle() -> None:
    first, second = torch.randn(2, 6, 3, 5), torch.randn(2, 6, 3, 5)
    expected = nn.functional.channel_shuffle(torch.cat((first, second), 1), 2)
    assert torch.equal(interleave_channels(first, second), expected)


@pytest.mark.parametrize("width", ["x0_5", "x1_0"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_equals_torchvision(width: str, memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    reference = getattr(torchvision.models, f"shufflenet_v2_{width}")(weights=None, num_classes=9).eval()
    randomise(reference)
    model = timm.create_model(f"shufflenetv2_{width}", num_classes=9).eval()
    model.load_state_dict(rename_by_order(reference.state_dict(), model.state_dict()))
    model.load_state_dict(reference.state_dict())  # the names agree too
    images = torch.randn(2, 3, 64, 46)
    with torch.no_grad():
        ours = model.to(memory_format=memory_format)(images.to(memory_format=memory_format))
        torch.testing.assert_close(ours, reference(images), rtol=1e-4, atol=1e-4)


def test_unit_of_stride_1_passes_half_of_its_channels_untouched() -> None:
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(ShuffleUnit(8, 8).eval()(x)[:, ::2], x[:, :4])


@pytest.mark.parametrize(("in_chs", "out_chs", "stride"), [(8, 12, 1), (8, 9, 2)])
def test_unit_refuses_channels_that_do_not_fit(in_chs: int, out_chs: int, stride: int) -> None:
    with pytest.raises(ValueError, match=f"{out_chs}"):
        ShuffleUnit(in_chs, out_chs, stride)


@pytest.mark.parametrize(
    ("kwargs", "shape"),
    [
        ({}, (1024, 2, 2)),
        ({"stem_stride": 1}, (1024, 4, 4)),
        ({"stem_pool": False}, (1024, 4, 4)),
        ({"last_stage": False}, (1024, 4, 4)),
        ({"last_stage": False, "stem_stride": 1, "head_size": 100}, (100, 8, 8)),
        ({"channel_multiplier": 0.5}, (512, 2, 2)),
    ],
)
def test_options_set_resolution_and_width(kwargs: dict, shape: tuple[int, int, int]) -> None:
    model = timm.create_model("shufflenetv2_x0_5", num_classes=9, **kwargs).eval()
    with torch.no_grad():
        features = model.forward_features(torch.randn(1, 3, 64, 64))
    assert features.shape[1:] == shape
    assert model.num_features == model.head_hidden_size == shape[0]
    assert model.feature_info[-1]["reduction"] == 64 // shape[1]
    assert model.feature_info[-1]["num_chs"] == model.conv5[0].in_channels


def test_timm_interface() -> None:
    model = timm.create_model("shufflenetv2_x0_25", num_classes=9, in_chans=1, drop_rate=0.5).eval()
    features = model.forward_features(torch.randn(2, 1, 32, 32))
    assert model.forward_head(features, pre_logits=True).shape == (2, model.head_hidden_size)
    assert model.get_classifier().out_features == 9
    assert model.head_drop.p == 0.5
    model.reset_classifier(4)
    assert model(torch.randn(2, 1, 32, 32)).shape == (2, 4)
    model.reset_classifier(0)
    assert model(torch.randn(2, 1, 32, 32)).shape == (2, model.num_features)
    assert model.pretrained_cfg["first_conv"] in dict(model.named_modules())
    pyramid = timm.create_model("shufflenetv2_x0_5", features_only=True).eval()
    sizes = [(f.shape[1], f.shape[-1]) for f in pyramid(torch.randn(1, 3, 64, 64))]
    assert sizes == [(24, 32), (48, 8), (96, 4), (192, 2)]
