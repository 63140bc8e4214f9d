"""create_backbone: names, arguments and pretrained weights, and the words of its errors."""

from pathlib import Path

import huggingface_hub.constants
import pytest
import timm
import torch

from trashlite.backbones import create_backbone
from trashlite.backbones.factory import image_statistics
from trashlite.errors import UserError


def test_builds_timms_and_ours() -> None:
    for name in ("lcnet_035", "shufflenetv2_x0_25"):
        model = create_backbone(name, 7, in_chans=1, kwargs={"drop_rate": 0.25}).eval()
        assert model(torch.randn(2, 1, 32, 32)).shape == (2, 7)
        assert model.drop_rate == 0.25


@pytest.mark.parametrize(
    ("name", "close"),
    [("lcnet_35", "lcnet_035"), ("shufflenetv2_x05", "shufflenetv2_x0_5"), ("blocknet", "block_net")],
)
def test_unknown_name_gets_close_matches(name: str, close: str) -> None:
    with pytest.raises(UserError) as error:
        create_backbone(name, 9)
    assert repr(name) in str(error.value)
    assert close in str(error.value)


def test_unknown_tag_gets_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"'lcnet_050' has no weights 'mine'.*lcnet_050\.ra2_in1k"):
        create_backbone("lcnet_050.mine", 9)


def test_out_of_memory_is_no_mistake_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is that of torch on a CPU."""

    def fails(*args: object, **kwargs: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9437184000 bytes.")

    monkeypatch.setattr(timm, "create_model", fails)
    with pytest.raises(RuntimeError, match="can't allocate"):
        create_backbone("lcnet_035", 9, kwargs={"drop_rate": 0.1})


@pytest.mark.parametrize("name", ["lcnet_035", "shufflenetv2_x0_5", "block_net", "ghostnet_050"])
def test_wrong_kwargs_are_named_with_the_choices(name: str) -> None:
    with pytest.raises(UserError, match=rf"{name} do not fit: droprate.*takes: .*drop_rate"):
        create_backbone(name, 9, kwargs={"drop_rate": 0.1, "droprate": 0.1})


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("block_net", {"features_only": True}),
        ("mobilenetv3_small_050", {"features_only": True}),
        ("block_net", {"global_pool": 1}),
        ("block_net", {"channel_multiplier": float("inf")}),
    ],
)
def test_kwargs_that_break_inside_timm_are_told(name: str, kwargs: dict) -> None:
    with pytest.raises(UserError, match=rf"backbone\.kwargs.*{next(iter(kwargs))}"):
        create_backbone(name, 9, kwargs=kwargs)


def test_kwargs_that_the_data_set() -> None:
    with pytest.raises(UserError, match="num_classes"):
        create_backbone("lcnet_035", 9, kwargs={"num_classes": 8})


def test_wrong_values_are_told() -> None:
    with pytest.raises(UserError, match=r"shufflenetv2_x0_5 do not fit: .*stem_stride is 1 or 2, not 3"):
        create_backbone("shufflenetv2_x0_5", 9, kwargs={"stem_stride": 3})


@pytest.mark.parametrize("name", ["lcnet_035", "shufflenetv2_x0_5"])
def test_no_pretrained_weights_exist(name: str) -> None:
    with pytest.raises(UserError, match=rf"no pretrained weights for {name}\. .*backbone\.weights=PATH"):
        create_backbone(name, 9, pretrained=True)


def test_no_internet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"lcnet_050 could not be fetched.*backbone\.weights=PATH"):
        create_backbone("lcnet_050", 9, pretrained=True)


def test_pretrained_of_another_kind() -> None:
    with pytest.raises(UserError, match="one of false, true, lite0_imagenet"):
        create_backbone("lcnet_050", 9, pretrained="imagenet")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="tf_efficientnet_lite0 and lite0_cut, not lcnet_050"):
        create_backbone("lcnet_050", 9, pretrained="lite0_imagenet")


def test_local_weights(tmp_path: Path) -> None:
    source = timm.create_model("shufflenetv2_x0_25", num_classes=9)
    torch.save(source.state_dict(), tmp_path / "net.pt")
    model = create_backbone("shufflenetv2_x0_25", 9, weights=tmp_path / "net.pt")
    assert all(torch.equal(t, source.state_dict()[name]) for name, t in model.state_dict().items())


def test_image_statistics_are_those_of_the_weights() -> None:
    half = [0.5, 0.5, 0.5]
    for name in ("tf_efficientnet_lite0", "lite0_cut"):
        assert image_statistics(name) == (half, half)
    assert image_statistics("lcnet_050") == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with pytest.raises(UserError, match="lcnet_050"):
        image_statistics("lcnet_50")
