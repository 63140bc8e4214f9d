"""Losses against `F.cross_entropy`, hand-computed values, and numerical gradients."""

import inspect
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Tensor

from trashlite.errors import UserError
from trashlite.losses import LOSSES, create_loss

CONFIGS = sorted(Path(__file__).parents[3].joinpath("conf/loss").glob("*.yaml"))
COUNTS = [100, 10, 40, 5]
WEIGHTS = [0.5, 2.0, 1.0, 3.0]
F1_CE = [{"name": "soft_f1"}, {"name": "cross_entropy", "weight": 0.25}]
EVERY_LOSS: list[dict[str, Any]] = [
    {"name": "cross_entropy"},
    {"name": "cross_entropy", "label_smoothing": 0.2, "class_weights": WEIGHTS},
    {"name": "focal", "gamma": 2.0, "class_weights": "balanced"},
    {"name": "focal", "gamma": 0.5},
    {"name": "logit_adjusted", "class_weights": WEIGHTS},
    {"name": "soft_f1"},
    {"name": "soft_f1", "class_weights": WEIGHTS},
    {"name": "sum", "terms": F1_CE},
]
every_loss = pytest.mark.parametrize("config", EVERY_LOSS, ids=lambda config: "-".join(map(str, config)))


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(16, 4, dtype=torch.float64, generator=generator)
    return logits, torch.randint(4, (16,), generator=generator)


def soften(logits: Tensor) -> Tensor:
    """Return mixup-like targets (N, C) that differ from the softmax of the logits."""
    return (logits.flip(0) / 2).softmax(dim=1)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("class_weights", [None, WEIGHTS])
def test_cross_entropy_equals_torch(
    batch: tuple[Tensor, Tensor], label_smoothing: float, class_weights: list[float] | None
) -> None:
    loss = create_loss(
        {"name": "cross_entropy", "label_smoothing": label_smoothing, "class_weights": class_weights}, COUNTS
    )
    weight = torch.tensor(class_weights, dtype=torch.float64) if class_weights else None
    expected = F.cross_entropy(*batch, weight=weight, label_smoothing=label_smoothing)
    torch.testing.assert_close(loss(*batch), expected)


def test_cross_entropy_of_soft_targets_equals_torch(batch: tuple[Tensor, Tensor]) -> None:
    logits, target = batch[0], soften(batch[0])
    loss = create_loss({"name": "cross_entropy", "label_smoothing": 0.1}, COUNTS)
    torch.testing.assert_close(loss(logits, target), F.cross_entropy(logits, target, label_smoothing=0.1))


def test_balanced_weights_are_inverse_counts(batch: tuple[Tensor, Tensor]) -> None:
    balanced = create_loss({"name": "cross_entropy", "class_weights": "balanced"}, COUNTS)
    # 155 images, 4 classes: 155 / (4 * count)
    weights = [0.3875, 3.875, 0.96875, 7.75]
    torch.testing.assert_close(
        balanced(*batch), create_loss({"name": "cross_entropy", "class_weights": weights}, COUNTS)(*batch)
    )


def test_balanced_weights_ignore_a_class_without_images(batch: tuple[Tensor, Tensor]) -> None:
    logits, target = batch
    loss = create_loss({"name": "cross_entropy", "class_weights": "balanced"}, [10, 10, 10, 0])
    seen = target < 3
    torch.testing.assert_close(loss(logits, target), F.cross_entropy(logits[seen], target[seen]))


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "logit_adjusted", "soft_f1"])
def test_a_batch_of_weightless_classes_costs_nothing(name: str) -> None:
    loss = create_loss({"name": name, "class_weights": [1, 1, 1, 0]}, COUNTS)
    logits = torch.randn(3, 4, requires_grad=True)
    value = loss(logits, torch.full((3,), 3))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert logits.grad.count_nonzero() == 0


@pytest.mark.parametrize("class_weights", [None, WEIGHTS])
def test_focal_without_gamma_is_cross_entropy(batch: tuple[Tensor, Tensor], class_weights: list[float] | None) -> None:
    focal = create_loss({"name": "focal", "gamma": 0, "class_weights": class_weights}, COUNTS)
    plain = create_loss({"name": "cross_entropy", "class_weights": class_weights}, COUNTS)
    torch.testing.assert_close(focal(*batch), plain(*batch))


def test_focal_by_hand() -> None:
    # Softmax gives the target class 0.75 and 0.25: (0.25^2 * -ln 0.75 + 0.75^2 * -ln 0.25) / 2
    logits = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]])
    loss = create_loss({"name": "focal", "gamma": 2.0}, [1, 1])(logits, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx((0.0625 * -math.log(0.75) + 0.5625 * -math.log(0.25)) / 2)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_has_a_finite_gradient_at_certainty(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0], [200.0, 0.0]], requires_grad=True)
    create_loss({"name": "focal", "gamma": gamma}, [1, 1])(logits, torch.tensor([0, 1])).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[1].tolist() == pytest.approx([0.5, -0.5])


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_of_nearly_certain_images(gamma: float) -> None:
    rest = 1e-5  # probability of the other class, of which float32 has two digits
    logits = torch.tensor([[-math.log(rest / (1 - rest)), 0.0]])
    loss = create_loss({"name": "focal", "gamma": gamma}, [1, 1])(logits, torch.tensor([0]))
    assert loss.item() == pytest.approx(-(rest**gamma) * math.log1p(-rest), rel=0.02)


@pytest.mark.parametrize(("tau", "counts"), [(0.0, COUNTS), (1.0, [7, 7, 7, 7])], ids=["tau 0", "equal"])
def test_logit_adjusted_without_adjustment_is_cross_entropy(
    batch: tuple[Tensor, Tensor], tau: float, counts: list[int]
) -> None:
    loss = create_loss({"name": "logit_adjusted", "tau": tau}, counts)
    torch.testing.assert_close(loss(*batch), F.cross_entropy(*batch))


def test_logit_adjusted_by_hand() -> None:
    # Equal logits leave the priors 0.8 and 0.2; with tau 2 they are squared: 0.64 / 0.68 and 0.04 / 0.68
    logits, target = torch.zeros(1, 2), torch.tensor([1])
    for tau, p in ((1.0, 0.2), (2.0, 0.04 / 0.68)):
        loss = create_loss({"name": "logit_adjusted", "tau": tau}, [80, 20])
        assert loss(logits, target).item() == pytest.approx(-math.log(p))


def test_logit_adjusted_stands_a_class_without_images(batch: tuple[Tensor, Tensor]) -> None:
    loss = create_loss({"name": "logit_adjusted"}, [10, 5, 0, 5])
    torch.testing.assert_close(loss(*batch), create_loss({"name": "logit_adjusted"}, [10, 5, 1, 5])(*batch))
    assert loss(*batch).isfinite()


@pytest.mark.parametrize("target", [[0, 1, 2, 3], [0, 0, 2, 2]], ids=["all classes", "two classes"])
def test_soft_f1_of_perfect_predictions_is_zero(target: list[int]) -> None:
    classes = torch.tensor(target)
    loss = create_loss({"name": "soft_f1"}, COUNTS)
    assert loss(50 * F.one_hot(classes, 4), classes).item() == pytest.approx(0, abs=1e-6)
    assert loss(50 * F.one_hot((classes + 1) % 4, 4), classes).item() == pytest.approx(1, abs=1e-6)


def test_soft_f1_without_any_probability_of_an_absent_class_is_finite() -> None:
    classes = torch.tensor([0, 1])
    logits = (1000.0 * F.one_hot(classes, 4)).requires_grad_()
    loss = create_loss({"name": "soft_f1"}, COUNTS)(logits, classes)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(("class_weights", "expected"), [(None, 0.375), ([3, 1], 0.3125)])
def test_soft_f1_by_hand(class_weights: list[float] | None, expected: float) -> None:
    # p = [[0.75, 0.25], [0.5, 0.5], [0.75, 0.25]], targets 0, 1, 0:
    # F1 of class 0 is 2 * 1.5 / (2 + 2) = 0.75, of class 1 2 * 0.5 / (1 + 1) = 0.5
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0], [math.log(3), 0.0]])
    loss = create_loss({"name": "soft_f1", "class_weights": class_weights}, [1, 1])
    assert loss(logits, torch.tensor([0, 1, 0])).item() == pytest.approx(expected)


def test_sum_is_the_weighted_sum(batch: tuple[Tensor, Tensor]) -> None:
    total = create_loss({"name": "sum", "terms": F1_CE}, COUNTS)(*batch)
    expected = create_loss({"name": "soft_f1"}, COUNTS)(*batch) + 0.25 * F.cross_entropy(*batch)
    torch.testing.assert_close(total, expected)


@every_loss
def test_one_hot_targets_equal_classes(config: dict[str, Any], batch: tuple[Tensor, Tensor]) -> None:
    logits, target = batch
    loss = create_loss(config, COUNTS)
    one_hot = F.one_hot(target, 4).double()
    torch.testing.assert_close(loss(logits, one_hot), loss(logits, target))


@every_loss
@pytest.mark.parametrize("soft", [False, True])
def test_gradient(config: dict[str, Any], soft: bool, batch: tuple[Tensor, Tensor]) -> None:
    logits, target = batch
    loss = create_loss(config, COUNTS)
    targets = soften(logits) if soft else target
    assert torch.autograd.gradcheck(lambda x: loss(x, targets), logits.clone().requires_grad_())


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_lose_nothing(config: dict[str, Any], dtype: torch.dtype) -> None:
    logits = (torch.randn(16, 4, generator=torch.Generator().manual_seed(1)) * 30).to(dtype)
    target = torch.arange(16) % 4
    loss = create_loss(config, COUNTS)
    with torch.autocast("cpu", dtype=dtype):
        value = loss(logits, target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(logits.float(), target), rtol=0, atol=0)


@every_loss
def test_checkpoint_holds_nothing_of_the_loss(config: dict[str, Any]) -> None:
    assert not create_loss(config, COUNTS).state_dict()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_builds_and_spells_out_every_setting(path: Path) -> None:
    config: Any = OmegaConf.to_container(OmegaConf.load(path))
    assert create_loss(config, COUNTS)(torch.zeros(4, 4), torch.arange(4)).item() > 0
    for term in config.get("terms", []):
        assert "weight" in term
    for loss in [config, *config.get("terms", [])]:
        settings = inspect.signature(LOSSES[loss["name"]]).parameters.keys() - {"class_counts"}
        assert loss.keys() - {"name", "weight"} == settings


def test_every_loss_has_a_config() -> None:
    assert {OmegaConf.load(path).name for path in CONFIGS} == LOSSES.keys()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "hinge"}, "no loss 'hinge'.*cross_entropy, focal, logit_adjusted, soft_f1, sum"),
        ({}, "no loss None.*cross_entropy"),
        ({"name": "focal", "gama": 1.0}, "focal has no setting gama.*gamma, class_weights"),
        ({"name": "focal", "class_counts": [1]}, "no setting class_counts"),
        ({"name": "focal", "gamma": -1.0}, "gamma=-1.0 must be at least 0"),
        ({"name": "focal", "gamma": float("nan")}, "gamma=nan is not a finite number"),
        ({"name": "focal", "gamma": "two"}, "gamma='two' is not a finite number"),
        ({"name": "cross_entropy", "label_smoothing": 1.5}, r"label_smoothing=1.5 must be in 0\.\.1"),
        ({"name": "soft_f1", "class_weights": [1, 2]}, "2 numbers, but there are 4 classes"),
        ({"name": "soft_f1", "class_weights": [1, 2, -3, 1]}, "class_weights=-3 must be at least 0"),
        ({"name": "soft_f1", "class_weights": [0, 0, 0, 0]}, "all 0"),
        ({"name": "soft_f1", "class_weights": "inverse"}, "'inverse' is none of: null, balanced"),
        ({"name": "soft_f1", "class_weights": 2.0}, "2.0 is none of: null, balanced"),
        ({"name": "sum", "terms": 2}, "at least one loss"),
        ({"name": "sum"}, "sum needs the setting terms"),
        ({"name": "sum", "terms": []}, "at least one loss"),
        ({"name": "sum", "terms": ["soft_f1"]}, "at least one loss"),
        ({"name": "sum", "terms": [{"name": "soft_f1", "weight": -1}]}, r"terms.0.weight=-1 must be"),
        ({"name": "sum", "terms": [{"name": "soft"}]}, "no loss 'soft'"),
    ],
)
def test_a_mistake_is_named(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_loss(config, COUNTS)
