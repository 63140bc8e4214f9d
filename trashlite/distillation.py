"""Distillation losses between the logits, or features, of a student and its teacher. Pure torch."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

SoftLoss = Literal["kl", "standardised_kl", "correlation"]


def divergence(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T² · KL(teacher ‖ student) of logits (N, C), a mean over the batch (Hinton et al. 2015, arXiv:1503.02531).

    T² keeps the size of the gradients for any T.
    """
    student = F.log_softmax(logits / temperature, dim=1)
    teacher = F.log_softmax(teacher_logits / temperature, dim=1)
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def standardised_divergence(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """The divergence of logits (N, C) with mean 0 and deviation 1 in each image (Sun et al. 2024, arXiv:2403.01427).

    The student need not reach the size of its teacher's logits, only their relations.
    """
    student, teacher = (
        (each - each.mean(1, keepdim=True)) / each.std(1, keepdim=True, correction=0).clamp(min=1e-6)
        for each in (logits, teacher_logits)
    )
    return divergence(student, teacher, temperature)


def decorrelation(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T² · (2 - r(images) - r(classes)): r is the mean Pearson correlation of student and teacher probabilities.

    It is taken within each image over the classes, and within each class over the batch. Logits are (N, C), N of at
    least 2 (DIST, Huang et al. 2022, arXiv:2205.10536).
    """
    student, teacher = ((each / temperature).softmax(1) for each in (logits, teacher_logits))
    images = _pearson(student, teacher, dim=1).mean()
    classes = _pearson(student, teacher, dim=0).mean()
    return temperature**2 * (2 - images - classes)


SOFT_LOSSES: dict[SoftLoss, Callable[[Tensor, Tensor, float], Tensor]] = {
    "kl": divergence,
    "standardised_kl": standardised_divergence,
    "correlation": decorrelation,
}


def mixed_logits(logits: Tensor, shares: Tensor, temperature: float) -> Tensor:
    """Logits (N, C) whose softmax at a temperature is the mean of those of logits (M, C), by shares (N, M)."""
    mixture = shares @ (logits / temperature).softmax(1)
    return temperature * mixture.clamp(min=torch.finfo(mixture.dtype).tiny).log()


def feature_loss(features: Tensor, teacher_features: Tensor) -> Tensor:
    """Distance of features (N, D) from the teacher's (N, E), as a share of the teacher's mean square.

    D = E: mean squared error. Else the same of the matrices (N, N) of cosines between the batch's images, which needs
    no projection to be learnt (after Tung & Mori 2019, arXiv:1907.09682).
    """
    if features.shape != teacher_features.shape:
        features, teacher_features = (
            unit @ unit.mT for unit in (F.normalize(each, dim=1) for each in (features, teacher_features))
        )
    return F.mse_loss(features, teacher_features) / teacher_features.square().mean().clamp(min=1e-12)


def _pearson(left: Tensor, right: Tensor, dim: int) -> Tensor:
    left, right = (each - each.mean(dim, keepdim=True) for each in (left, right))
    return F.cosine_similarity(left, right, dim=dim, eps=1e-8)
