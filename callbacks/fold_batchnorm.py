"""When BatchNorm is folded: whenever weights are final."""

from typing import Any

from pytorch_lightning import Callback, Trainer

from trashlite.compression.fold_batchnorm import fold_batchnorm


class FoldBatchNorm(Callback):
    """Fold BatchNorm into convolutions before validating, testing or predicting with a trained model; never in fit.

    Stands before the MACs callback, which must count the model that predicts.
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        if self.enabled and stage != "fit":
            height, width = pl_module.preprocessing["image_size"]
            pl_module.model = fold_batchnorm(pl_module.model, (3, height, width))
