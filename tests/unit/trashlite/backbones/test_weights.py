"""Weights from files: what matches is copied, what does not is told, what is broken is refused."""

import importlib.util
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from trashlite.backbones import create_backbone, load_weights, weights
from trashlite.backbones.weights import LITE0_PACKAGE, in_patches_of_four, lite0_imagenet, rename_by_order
from trashlite.errors import UserError


def net(classes: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, classes))


@pytest.mark.parametrize("form", ["net.pt", "net.pth", "net.safetensors", "last.ckpt"])
def test_every_form_of_file(tmp_path: Path, form: str) -> None:
    source, target, path = net(), net(), tmp_path / form
    state = source.state_dict()
    if form.endswith("safetensors"):
        save_file(state, path)
    elif form.endswith("ckpt"):
        wrapped = {f"model.{name}": tensor for name, tensor in state.items()} | {"loss.weight": torch.ones(3)}
        torch.save({"state_dict": wrapped, "epoch": 3, "hyper_parameters": {"name": "x"}}, path)
    else:
        torch.save(state, path)
    report = load_weights(target, path)
    assert report.matched == list(state)
    assert (report.missing, report.unexpected, report.mismatched) == ([], [], {})
    assert all(torch.equal(tensor, state[name]) for name, tensor in target.state_dict().items())


def test_report_tells_what_did_not_match(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state: dict[str, Tensor] = {**net(classes=5).state_dict(), "extra.weight": torch.ones(2)}
    del state["0.bias"]
    torch.save(state, tmp_path / "net.pt")
    target = net()
    kept = target[3].weight.clone()
    with caplog.at_level("INFO"):
        report = load_weights(target, str(tmp_path / "net.pt"))
    assert report.missing == ["0.bias"]
    assert report.unexpected == ["extra.weight"]
    assert report.mismatched == {"3.weight": ((5, 4), (3, 4)), "3.bias": ((5,), (3,))}
    assert len(report.matched) == len(target.state_dict()) - 3
    assert torch.equal(target[0].weight, state["0.weight"])
    assert torch.equal(target[3].weight, kept)
    for part in ("6 of the model's 9", "3.weight: (5, 4) in the file, (3, 4) here", "0.bias", "extra.weight"):
        assert part in caplog.text


def test_nothing_matched(tmp_path: Path) -> None:
    torch.save({"a.weight": torch.ones(2)}, tmp_path / "net.pt")
    with pytest.raises(UserError, match=r"nothing in .*net\.pt matches"):
        load_weights(net(), tmp_path / "net.pt")


class Unsafe:
    """Object that a pickle must not be allowed to bring in."""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.pt", None, "no such file"),
        ("empty.pt", b"", "cannot be read"),
        ("text.pt", b"hello, I am no checkpoint", "cannot be read"),
        ("text.safetensors", b"hello, I am no checkpoint", "cannot be read"),
        ("unsafe.pt", Unsafe(), "cannot be read"),
        ("list.pt", [1, 2], "holds a list"),
        ("numbers.pt", {"epoch": 3}, "nothing in"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, content: object, message: str) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(UserError, match=message) as error:
        load_weights(net(), path)
    assert name in str(error.value)


def test_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(net().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="cannot be read"):
        load_weights(net(), path)


def test_rename_by_order() -> None:
    source = {"_a": torch.zeros(2), "_b": torch.ones(3)}
    renamed = rename_by_order(source, {"a": torch.empty(2), "b": torch.empty(3)})
    assert list(renamed) == ["a", "b"]
    assert torch.equal(renamed["b"], source["_b"])
    with pytest.raises(ValueError, match=r"_b \(3,\) is not b \(4,\)"):
        rename_by_order(source, {"a": torch.empty(2), "b": torch.empty(4)})
    with pytest.raises(ValueError, match="2 tensors cannot take 1 names"):
        rename_by_order(source, {"a": torch.empty(2)})


@pytest.fixture
def fake_lite0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """A stand-in for the package: lite0's tensors under other names. Returns them by timm's names."""
    state = timm.create_model("tf_efficientnet_lite0").state_dict()
    package = tmp_path / LITE0_PACKAGE.replace("-", "_")
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    torch.save({f"_{i}": t for i, t in enumerate(state.values())}, package / weights.LITE0_FILE)
    monkeypatch.syspath_prepend(tmp_path)
    return state


def test_lite0_weights_fit_whole_and_cut(fake_lite0: dict[str, Tensor]) -> None:
    for name in ("tf_efficientnet_lite0", "lite0_cut"):
        model = create_backbone(name, 9, pretrained="lite0_imagenet")
        state = model.state_dict()
        assert state["classifier.weight"].shape[0] == 9
        trunk = [key for key in state if not key.startswith("classifier.")]
        assert len(trunk) > 50
        assert all(torch.equal(state[key], fake_lite0[key]) for key in trunk)


def test_a_stem_of_patches_does_on_twice_the_pixels_what_the_stem_of_overlapping_windows_did() -> None:
    weight, images = torch.randn(5, 3, 3, 3), torch.randn(2, 3, 12, 16)
    expected = F.conv2d(images, weight, stride=2, padding=1)
    doubled = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    shifted = F.pad(doubled, (1, -1, 1, -1))  # the middle of three windows begins a pixel further
    torch.testing.assert_close(F.conv2d(shifted, in_patches_of_four(weight), stride=4), expected, rtol=0, atol=1e-5)


def test_lite0_weights_fill_a_stem_of_patches(fake_lite0: dict[str, Tensor]) -> None:
    kwargs = {"stem_kernel": 4, "stem_stride": 4}
    state = create_backbone("lite0_cut", 9, pretrained="lite0_imagenet", kwargs=kwargs).state_dict()
    assert torch.equal(state.pop("conv_stem.weight"), in_patches_of_four(fake_lite0["conv_stem.weight"]))
    assert all(torch.equal(state[key], fake_lite0[key]) for key in state if not key.startswith("classifier."))


def test_lite0_package_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -r requirements\.txt"):
        create_backbone("tf_efficientnet_lite0", 9, pretrained="lite0_imagenet")


@pytest.mark.skipif(
    importlib.util.find_spec(LITE0_PACKAGE.replace("-", "_")) is None,
    reason=f"{LITE0_PACKAGE} is not installed (requirements.txt)",
)
def test_lite0_package_has_timms_order() -> None:
    """Layer by layer, the package's names and timm's mean the same tensor."""
    folder = Path(next(iter(importlib.util.find_spec(LITE0_PACKAGE.replace("-", "_")).submodule_search_locations)))
    theirs = torch.load(folder / weights.LITE0_FILE, weights_only=True)
    ours = timm.create_model("tf_efficientnet_lite0").state_dict()
    kinds = {
        "depthwise_conv": "conv_dw",
        "expand_conv": "conv_pw",
        "conv_stem": "conv_stem",
        "fc": "classifier",
    }
    for old, new in zip(theirs, ours, strict=True):
        assert old.split(".")[-1] == new.split(".")[-1]
        for their_kind, our_kind in kinds.items():
            if their_kind in old:
                assert our_kind in new
    renamed = lite0_imagenet()
    assert set(renamed) == {name for name in ours if not name.startswith("classifier.")}
    assert torch.equal(renamed["blocks.6.0.conv_pwl.weight"], theirs["_blocks.15._project_conv.weight"])
