"""Re-estimate BatchNorm statistics: what repairs most of a network whose layers were changed under it."""

import itertools
from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trashlite.compression.evaluating import evaluating
from trashlite.errors import UserError


def reestimate_batchnorm(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace running means and variances by the averages over `batches`, in place; nothing else changes.

    `torch.optim.swa_utils.update_bn` would also switch on dropout and drop whole paths. Each batch counts the same,
    so a smaller last one is left out (unless it is the only one).

    Args:
        batches: preprocessed images (N, C, H, W), on the model's device.

    Raises:
        UserError: there are none.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    batches = iter(batches)
    first = next(batches, None)
    if first is None:
        raise UserError("There are no images to re-estimate the statistics of BatchNorm from.")
    with evaluating(model):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # cumulative average
            norm.train()
        try:
            for images in itertools.chain([first], batches):
                if len(images) < len(first):
                    break
                model(images)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
