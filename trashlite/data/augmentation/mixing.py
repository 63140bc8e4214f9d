"""Mixup and CutMix (Zhang et al., arXiv:1710.09412; Yun et al., arXiv:1905.04899)."""

import torch
from torch import Tensor, nn

from trashlite.data.augmentation.checks import check_between
from trashlite.data.augmentation.draws import draw_chance, draw_rectangle_mask, draws_for_batch


class Mixing(nn.Module):
    """Mixes each image with another of its batch, and says how much of which it holds.

    Where both alphas are above zero, each image is mixed up or cut-mixed with equal chances.

    Args:
        mixup: alpha of mixup's Beta(alpha, alpha); 0 switches mixup off.
        cutmix: alpha of CutMix's Beta(alpha, alpha); 0 switches CutMix off.
        probability: share of the images that are mixed.

    Raises:
        UserError: a setting out of its range.
    """

    def __init__(self, mixup: float = 0.0, cutmix: float = 0.0, probability: float = 1.0) -> None:
        super().__init__()
        self.mixup = check_between("mixing.mixup", mixup, 0)
        self.cutmix = check_between("mixing.cutmix", cutmix, 0)
        self.probability = check_between("mixing.probability", probability, 0, 1)

    @property
    def is_on(self) -> bool:
        """Whether images are mixed at all."""
        return bool(self.mixup or self.cutmix)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mixed images (N,3,H,W), and float (N,N): the share that each of them (row) has of each image (column)."""
        weight = self._draw_weight(images)
        with draws_for_batch(images):
            partner = torch.randperm(len(images), device=images.device)
        share = weight.mean((2, 3))
        own = torch.eye(len(images), dtype=images.dtype, device=images.device)
        return images.lerp(images[partner], weight), own.lerp(own[partner], share)

    def _draw_weight(self, images: Tensor) -> Tensor:
        """Weight of the partner at each pixel (N,1,H,W): a constant for mixup, 1 inside a box for CutMix."""
        cut = draw_chance(images, 0.5 if self.mixup and self.cutmix else float(self.cutmix > 0))
        share = torch.where(cut, _draw_beta(images, self.cutmix), _draw_beta(images, self.mixup))
        share *= draw_chance(images, self.probability)
        box = draw_rectangle_mask(images, share, torch.ones_like(share))
        return torch.where(cut[:, None, None, None], box.to(images.dtype), share[:, None, None, None])


def _draw_beta(images: Tensor, alpha: float) -> Tensor:
    """Numbers (N,) from Beta(alpha, alpha); zeros for alpha 0."""
    if not alpha:
        return torch.zeros(len(images), device=images.device)
    concentration = torch.full((len(images),), float(alpha), device=images.device)
    with draws_for_batch(images):
        return torch.distributions.Beta(concentration, concentration, validate_args=False).sample()
