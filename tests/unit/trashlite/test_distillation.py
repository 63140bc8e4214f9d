import inspect
from typing import get_args

import numpy as np
import pytest
import torch

from lightning_modules.distiller import Distiller
from trashlite.distillation import (
    SOFT_LOSSES,
    SoftLoss,
    decorrelation,
    divergence,
    feature_loss,
    mixed_logits,
    standardised_divergence,
)
from trashlite.errors import UserError
from trashlite.settings.training import LightningModule


def test_divergence_by_hand() -> None:
    # T = 2: softmax of (ln 3, 0) is (3/4, 1/4), of (0, 0) is (1/2, 1/2)
    student, teacher = torch.zeros(1, 2), torch.tensor([[2 * torch.log(torch.tensor(3.0)), 0.0]])
    kl = 0.75 * torch.log(torch.tensor(0.75 / 0.5)) + 0.25 * torch.log(torch.tensor(0.25 / 0.5))
    torch.testing.assert_close(divergence(student, teacher, 2), 4 * kl)
    torch.testing.assert_close(divergence(student.repeat(5, 1), teacher.repeat(5, 1), 2), 4 * kl)
    assert divergence(teacher, teacher, 2) == 0


def test_mixed_logits_by_hand() -> None:
    logits = 2 * torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.2, 0.6]]).log()
    mixed = mixed_logits(logits, torch.tensor([[1.0, 0.0], [0.25, 0.75]]), temperature=2)
    torch.testing.assert_close((mixed / 2).softmax(1), torch.tensor([[0.8, 0.1, 0.1], [0.35, 0.175, 0.475]]))
    sure = mixed_logits(torch.tensor([[1e4, 0.0], [0.0, 1e4]]), torch.eye(2), temperature=1)
    assert sure.isfinite().all()
    assert sure.argmax(1).tolist() == [0, 1]


def test_feature_loss_by_hand() -> None:
    features, wanted = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    torch.testing.assert_close(feature_loss(features, wanted), torch.tensor(8 / 5))  # (4 + 4) / (1 + 4)
    # Of other width: cosines (1 1; 1 1) against (1 0; 0 1)
    one = torch.tensor([[3.0], [5.0]])
    torch.testing.assert_close(feature_loss(one, wanted), torch.tensor(2 / 2))
    assert feature_loss(features, torch.zeros(2, 2)).isfinite()


def test_standardised_divergence_knows_relations_only() -> None:
    logits, teacher = torch.randn(6, 4), torch.randn(6, 4)
    loss = standardised_divergence(logits, teacher, 2)
    torch.testing.assert_close(standardised_divergence(5 * logits - 3, teacher / 7 + 1, 2), loss)
    torch.testing.assert_close(standardised_divergence(3 * teacher + 2, teacher, 2), torch.tensor(0.0))
    # (4, 0, 2) less 2, by sqrt(8/3): (1.2247, -1.2247, 0)
    side = 1.5**0.5
    standard = torch.tensor([[side, -side, 0.0]])
    torch.testing.assert_close(
        standardised_divergence(torch.tensor([[4.0, 0.0, 2.0]]), torch.zeros(1, 3), 1),
        divergence(standard, torch.zeros(1, 3), 1),
    )
    assert standardised_divergence(torch.ones(2, 3, requires_grad=True), torch.randn(2, 3), 1).isfinite()


def test_decorrelation_equals_numpy() -> None:
    logits, teacher = torch.randn(6, 4), torch.randn(6, 4)
    left, right = (np.asarray((each / 2).softmax(1)) for each in (logits, teacher))
    images = np.mean([np.corrcoef(left[row], right[row])[0, 1] for row in range(6)])
    classes = np.mean([np.corrcoef(left[:, column], right[:, column])[0, 1] for column in range(4)])
    assert float(decorrelation(logits, teacher, 2)) == pytest.approx(4 * (2 - images - classes), abs=1e-5)
    torch.testing.assert_close(decorrelation(teacher, teacher, 2), torch.tensor(0.0), atol=1e-5, rtol=0)
    same = torch.ones(3, 4, requires_grad=True)  # no variance: no correlation, and no NaN
    decorrelation(same, teacher[:3], 1).backward()
    assert same.grad is not None
    assert same.grad.isfinite().all()


def test_soft_losses_are_those_that_can_be_set() -> None:
    assert get_args(LightningModule.model_fields["soft_loss"].annotation) == get_args(SoftLoss) == tuple(SOFT_LOSSES)
    assert inspect.signature(Distiller).parameters["soft_loss"].default in SOFT_LOSSES
    with pytest.raises(UserError, match="none of kl, standardised_kl, correlation"):
        Distiller(soft_loss="dist")  # type: ignore[arg-type]
