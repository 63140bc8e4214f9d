"""Early stopping of a run that was stopped and is resumed."""

from pathlib import Path

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer, callbacks
from torch.utils.data import DataLoader

from callbacks.early_stopping import EarlyStopping


class NoBetter(LightningModule):
    """Its first epoch is its best."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        return self.layer(batch).sum()

    def validation_step(self, batch: torch.Tensor) -> None:
        self.log("val/f1", 1.0 - self.current_epoch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder: Path, patience: int, epochs: int = 6, steps: int = -1, resume: bool = False) -> int:
    """The steps of a training of 2 steps an epoch, or after a resume of all of it."""
    stopping = EarlyStopping("val/f1", mode="max", patience=patience, strict=False)
    trainer = Trainer(
        max_epochs=epochs,
        max_steps=steps,
        callbacks=[stopping],
        logger=False,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    images = DataLoader(torch.ones(2, 1))
    trainer.fit(NoBetter(), images, images, ckpt_path=str(folder / "last.ckpt") if resume else None)
    trainer.save_checkpoint(folder / "last.ckpt")
    return trainer.global_step


@pytest.mark.parametrize(("patience", "steps"), [(0, 4), (1, 4), (2, 6)])
def test_what_had_stopped_trains_no_further_unless_patience_is_raised(
    tmp_path: Path, patience: int, steps: int
) -> None:
    assert fit(tmp_path, patience) == steps
    assert fit(tmp_path, patience, resume=True) == steps
    assert fit(tmp_path, patience=4, resume=True) == 2 * 5


def test_a_stopped_training_waits_on_as_long_as_it_would_have(tmp_path: Path) -> None:
    assert fit(tmp_path, patience=3, epochs=2) == 4
    assert fit(tmp_path, patience=3, resume=True) == 8


def test_its_state_goes_by_the_name_that_earlier_runs_used() -> None:
    assert EarlyStopping("val/f1").state_key == callbacks.EarlyStopping("val/f1").state_key
