import copy
import logging
from pathlib import Path

import pytest
import timm
import torch
from omegaconf import OmegaConf
from timm.layers import BatchNormAct2d, ScaledStdConv2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trashlite.backbones.factory import create_backbone
from trashlite.compression.fold_batchnorm import fold_batchnorm
from trashlite.compression.macs import count_macs

CONFIGS = sorted((Path(__file__).parents[4] / "conf" / "backbone").glob("*.yaml"))


def randomise(model: nn.Module) -> nn.Module:
    """Statistics and affine parameters as after training; with fresh ones, 0 and 1, any folding passes."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model


def norms(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, _BatchNorm)]


def assert_folds_exactly(model: nn.Module, image: Tensor) -> nn.Module:
    """In float64 no rounding can hide a wrong fold."""
    model, image = randomise(model).double().eval(), image.double()
    folded = fold_batchnorm(model, image.shape[1:])
    with torch.no_grad():
        torch.testing.assert_close(folded(image), model(image), rtol=1e-9, atol=1e-9)
    return folded


class Net(nn.Module):
    """conv -> bn, with the ways in which a second user of the convolution can hide."""

    def __init__(self, use: str, conv: nn.Module | None = None) -> None:
        super().__init__()
        self.use = use
        self.conv = conv or nn.Conv2d(3, 6, 3)
        self.bn = nn.BatchNorm2d(6)
        self.other_bn = nn.BatchNorm2d(6)

    def forward(self, x: Tensor) -> Tensor:  # noqa: PLR0911
        y = self.conv(x)
        match self.use:
            case "sum":
                return self.bn(y) + y
            case "view":
                return self.bn(y).flatten(1) + y.flatten(1)
            case "early":
                mean = y.mean((2, 3), keepdim=True)
                return self.bn(y) * mean
            case "returned":
                return torch.cat([self.bn(y), y])
            case "in place":
                y.relu_()
                return self.bn(y)
            case "two norms":
                return self.bn(y) + self.other_bn(y)
            case "conv twice":
                return self.bn(y) + self.conv(x * 2)
            case "norm twice":
                return self.bn(self.bn(y))
            case "shape":
                return self.bn(y) * y.shape[2]
        return self.bn(y)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6)],
        [nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6, eps=0.1)],
        [nn.Conv2d(3, 6, 3, groups=3, dilation=2), nn.BatchNorm2d(6, affine=False)],
        [nn.Conv2d(3, 6, 3, padding="same", padding_mode="reflect"), nn.BatchNorm2d(6)],
        [nn.Conv2d(3, 6, 3), nn.Identity(), nn.BatchNorm2d(6), nn.Hardswish(inplace=True)],
        [nn.Flatten(), nn.Linear(3 * 12 * 12, 6), nn.BatchNorm1d(6), nn.ReLU()],
        [nn.Flatten(), nn.Linear(3 * 12 * 12, 6), nn.BatchNorm1d(6, affine=False)],
        [nn.Flatten(2), nn.Conv1d(3, 6, 3), nn.BatchNorm1d(6)],
    ],
    ids=["plain", "stride and eps", "groups without affine", "reflect", "identity", "linear", "not affine", "1d"],
)
def test_pair_folds(layers: list[nn.Module]) -> None:
    folded = assert_folds_exactly(nn.Sequential(*layers), torch.randn(4, 3, 12, 12))
    assert norms(folded) == []
    kinds = [nn.Identity if isinstance(layer, _BatchNorm) else type(layer) for layer in layers]
    assert [type(layer) for layer in folded] == kinds


def test_activation_and_dropout_of_timm_norms_stay() -> None:
    norm = BatchNormAct2d(6, act_layer=nn.ReLU6, drop_layer=nn.Dropout)
    folded = assert_folds_exactly(
        nn.Sequential(nn.Conv2d(3, 6, 3), norm, BatchNormAct2d(6, apply_act=False)),
        torch.randn(2, 3, 8, 8) * 9,
    )
    assert [type(part) for part in folded[1]] == [nn.Dropout, nn.ReLU6]


@pytest.mark.parametrize(
    "use", ["sum", "view", "early", "returned", "in place", "two norms", "conv twice", "norm twice"]
)
def test_convolution_with_another_user_is_left_alone(use: str) -> None:
    net = Net(use)
    folded = assert_folds_exactly(net, torch.randn(2, 3, 8, 8))
    torch.testing.assert_close(folded.conv.weight, net.conv.weight, rtol=0, atol=0)
    assert "bn" in norms(folded)


def test_reading_a_shape_is_no_use() -> None:
    assert "bn" not in norms(assert_folds_exactly(Net("shape"), torch.randn(2, 3, 8, 8)))


def test_layers_that_compute_their_weight_are_left_alone() -> None:
    standardised = Net("", ScaledStdConv2d(3, 6, 3))
    parametrised = Net("", torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 6, 3)))
    for net in (standardised, parametrised):
        assert "bn" in norms(assert_folds_exactly(net, torch.randn(2, 3, 8, 8)))


def test_norms_that_do_something_else_are_left_alone() -> None:
    class Doubling(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    own = nn.Sequential(nn.Conv2d(3, 6, 3), Doubling(6))
    assert norms(assert_folds_exactly(own, torch.randn(2, 3, 8, 8))) == ["1"]
    tokens = nn.Sequential(nn.Flatten(2), nn.Linear(64, 3), nn.BatchNorm1d(3))  # over the rows, not the outputs
    assert norms(assert_folds_exactly(tokens, torch.randn(2, 3, 8, 8))) == ["2"]


def test_batch_statistics_cannot_fold(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, track_running_stats=False)).eval()
    assert norms(fold_batchnorm(model, (3, 8, 8))) == ["1"]
    assert "1 (has no running statistics)" in caplog.text


def test_norm_before_its_convolution_stays_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(6))
    assert norms(assert_folds_exactly(model, torch.randn(2, 3, 8, 8))) == ["0", "3"]
    assert "0 (does not directly follow a convolution or linear layer)" in caplog.text


def test_original_is_left_untouched() -> None:
    model = randomise(timm.create_model("repghostnet_050", num_classes=9)).train()
    before, keys = copy.deepcopy(model.state_dict()), list(model.state_dict())
    random_state = torch.get_rng_state()
    folded = fold_batchnorm(model, (3, 32, 32))
    assert list(model.state_dict()) == keys
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert not any(module.training for module in folded.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in folded.modules())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_folding_twice_changes_nothing() -> None:
    once = fold_batchnorm(randomise(timm.create_model("lcnet_035", num_classes=9)), (3, 32, 32))
    twice = fold_batchnorm(once, (3, 32, 32))
    assert list(once.state_dict()) == list(twice.state_dict())
    assert all(torch.equal(value, twice.state_dict()[key]) for key, value in once.state_dict().items())


def test_branches_whose_parts_were_replaced_are_folded_without_merging() -> None:
    """A factorised convolution inside a RepGhost module: timm cannot merge it."""
    model = timm.create_model("repghostnet_050", num_classes=9)
    module = model.blocks[0][0].ghost1
    conv = module.cheap_operation[0]
    module.cheap_operation[0] = nn.Sequential(
        nn.Conv2d(conv.in_channels, conv.in_channels, (3, 1), padding=(1, 0), groups=conv.groups, bias=False),
        nn.Conv2d(conv.in_channels, conv.in_channels, (1, 3), padding=(0, 1), groups=conv.groups, bias=False),
    )
    folded = assert_folds_exactly(model, torch.randn(2, 3, 32, 32))
    assert all("fusion_bn" in name for name in norms(folded))  # an identity branch has no convolution to fold into


@pytest.mark.parametrize("name", ["repvgg_a0", pytest.param("mobileone_s0", marks=pytest.mark.slow)])
def test_branches_are_merged(name: str) -> None:
    model = timm.create_model(name, num_classes=9)
    folded = assert_folds_exactly(model, torch.randn(2, 3, 32, 32))
    assert norms(folded) == []
    assert count_macs(folded, (3, 32, 32)).flop_counter_macs < count_macs(model, (3, 32, 32)).flop_counter_macs


def check_backbone(model: nn.Module) -> None:
    folded = assert_folds_exactly(model, torch.randn(2, 3, 64, 64))
    dense_report, folded_report = count_macs(model, (3, 64, 64)), count_macs(folded, (3, 64, 64))
    assert folded_report.macs < dense_report.macs
    assert folded_report.flop_counter_macs <= dense_report.flop_counter_macs
    # What stays follows no convolution: hooks see the order in which layers take each other's outputs.
    last: dict[int, nn.Module] = {}
    follows: list[tuple[nn.Module, nn.Module]] = []
    tensors: list[Tensor] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, _BatchNorm):
            follows.append((last.get(id(inputs[0])), module))
        elif isinstance(module, nn.Conv2d | nn.Linear):
            last[id(output)] = module
            tensors.append(output)

    for module in folded.modules():
        module.register_forward_hook(note)
    with torch.no_grad():
        folded(torch.randn(1, 3, 64, 64, dtype=torch.float64))
    assert [norm for source, norm in follows if source is not None] == []


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_backbone_config_folds(config: Path) -> None:
    settings = OmegaConf.to_container(OmegaConf.load(config))
    check_backbone(create_backbone(settings["name"], 9, kwargs=settings["kwargs"]))


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "efficientvit_b0"])
def test_float32_stays_within_rounding(name: str) -> None:
    model = randomise(timm.create_model(name, num_classes=9)).eval()
    image = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        expected = model(image)
        actual = fold_batchnorm(model, (3, 64, 64))(image)
    assert (actual - expected).abs().max() < 1e-4 * expected.abs().max()
    assert torch.equal(actual.argmax(1), expected.argmax(1))
