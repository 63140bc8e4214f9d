"""Second moments and what they do to the error on real inputs."""

import pytest
import torch
from torch import nn

from trashlite.compression.low_rank import LayerPlan, RankPlan, apply_plan, collect_moments, layers
from trashlite.errors import UserError


def correlated_images(count: int, channels: int = 6) -> torch.Tensor:
    """Smooth in space and mixed over channels, like the features of a trained network."""
    torch.manual_seed(1)
    mix = torch.randn(channels, channels) * torch.logspace(0, -1.5, channels)
    smooth = nn.functional.avg_pool2d(torch.randn(count, channels, 14, 14), 3, 1)
    return torch.einsum("dc,nchw->ndhw", mix, smooth).relu()


def test_by_hand() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, -2.0]])
    second = collect_moments(nn.Sequential(nn.Linear(2, 1)), [x], damping=1e-12)["0"]
    torch.testing.assert_close(second, torch.tensor([[[5.0, -2.0], [-2.0, 4.0]]], dtype=torch.float64))
    damped = collect_moments(nn.Sequential(nn.Linear(2, 1)), [x], damping=0.1)["0"]
    torch.testing.assert_close(damped - second, 0.45 * torch.eye(2, dtype=torch.float64)[None])


def test_batches_add_up_and_targets_are_ignored() -> None:
    model, x = nn.Sequential(nn.Conv2d(6, 4, 3, groups=2)), correlated_images(10)
    whole = collect_moments(model, [x])["0"]
    parts = collect_moments(model, [(x[:3], torch.zeros(3)), (x[3:], torch.zeros(7))])["0"]
    assert whole.shape == (2, 27, 27)
    torch.testing.assert_close(parts, whole)
    assert not model[0]._forward_pre_hooks


@pytest.mark.parametrize(
    ("layer", "plan"),
    [
        (nn.Conv2d(6, 8, 1), LayerPlan("svd", (3,))),
        (nn.Conv2d(6, 8, 3, padding=1), LayerPlan("svd", (3,))),
        (nn.Conv2d(6, 8, 3, 2, 1), LayerPlan("spatial", (4,))),
        (nn.Conv2d(6, 6, 3, padding=1, groups=6), LayerPlan("spatial", (1,))),
        (nn.Conv2d(6, 8, 3, padding=1), LayerPlan("tucker", (3, 4))),
        (nn.Conv2d(6, 8, 3, padding=1, groups=2), LayerPlan("tucker", (2, 2))),
    ],
)
def test_lower_output_error_than_plain_on_unseen_images(layer: nn.Conv2d, plan: LayerPlan) -> None:
    torch.manual_seed(0)
    layer.reset_parameters()
    model, images = nn.Sequential(layer), correlated_images(64)
    moments = collect_moments(model, [images[:32]])
    outputs = layer(images[32:]).detach()
    errors = [
        float((apply_plan(model, RankPlan({"0": plan}), known)(images[32:]).detach() - outputs).norm())
        for known in (None, moments)
    ]
    assert errors[1] < 0.9 * errors[0]


def test_fewer_samples_than_inputs_still_work() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 12))
    x = torch.zeros(3, 20)
    x[:, :2] = torch.randn(3, 2)
    moments = collect_moments(model, [x], damping=1e-6)
    small = apply_plan(model, RankPlan({"0": LayerPlan("svd", (2,))}), moments)
    torch.testing.assert_close(small(x), model(x), atol=1e-4, rtol=1e-3)
    full = apply_plan(model, RankPlan({"0": LayerPlan("svd", (12,))}), moments)
    unseen = torch.randn(5, 20)
    torch.testing.assert_close(full(unseen), model(unseen), atol=1e-5, rtol=1e-4)


def test_inputs_that_are_all_zero_still_give_finite_factors() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4))
    moments = collect_moments(model, [torch.zeros(2, 4, 5, 5)])
    small = apply_plan(model, RankPlan({"0": LayerPlan("spatial", (1,))}), moments)
    assert all(torch.isfinite(value).all() for value in small.state_dict().values())


def test_mistakes_are_told() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(UserError, match="no calibration batches"):
        collect_moments(model, [])
    with pytest.raises(UserError, match=r"damping=1e-30 is too small .* '0'"):
        collect_moments(model, [torch.ones(3, 2)], damping=1e-30)
    with pytest.raises(UserError, match="input of '0' holds NaN"):
        collect_moments(model, [torch.full((1, 2), float("nan"))])


def test_without_float64_on_the_device_sums_are_made_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not layers.has_float64(torch.device("mps"))
    assert layers.has_float64(torch.device("cuda"))
    values = torch.rand(3)
    expected = layers.double(values)
    monkeypatch.setattr(layers, "has_float64", lambda device: False)
    assert torch.equal(layers.double(values), expected)
    assert layers.double(values).device.type == "cpu"
