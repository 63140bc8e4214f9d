import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.loggers import CSVLogger, WandbLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from callbacks.macs import MacsLogger
from trashlite.errors import UserError

CONVOLUTION = 8 * 8 * 4 * 27
POOLING = 4 * 8 * 8 + 4
LINEAR = 4 * 2
MACS = CONVOLUTION + POOLING + LINEAR


class FakeClassifier(LightningModule):
    def __init__(self, image_size: list[int] | None = None) -> None:
        super().__init__()
        self.save_hyperparameters({"backbone": {"name": "tiny_net"}})
        self.preprocessing = {"image_size": image_size or [8, 8]}
        self.macs: float | None = None
        self.model = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
        )
        self.batches = 0

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        self.batches += 1
        return self.model(batch[0]).sum()

    def test_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        self.model(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def make_trainer(folder: Path, callback: MacsLogger, logger: Any = False) -> Trainer:
    return Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_epochs=1,
        logger=logger,
        callbacks=[callback],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@pytest.fixture
def loader() -> DataLoader:
    return DataLoader(TensorDataset(torch.rand(4, 3, 8, 8)), batch_size=2)


def test_figures_reach_loggers_module_and_checkpoint(tmp_path: Path, loader: DataLoader) -> None:
    callback, module = MacsLogger(print_table=False), FakeClassifier()
    trainer = make_trainer(tmp_path, callback, CSVLogger(tmp_path, name="csv", version=0))
    trainer.fit(module, loader)
    assert module.macs == MACS

    logged = yaml.safe_load((tmp_path / "csv/version_0/hparams.yaml").read_text())
    assert logged["model/macs"] == MACS
    assert logged["model/macs_counter"] == "thop"
    assert logged["model/flop_counter_macs"] == CONVOLUTION + LINEAR
    assert logged["model/params"] == 4 * 27 + 4 + 10
    assert logged["model/input_size"] == [3, 8, 8]

    trainer.save_checkpoint(tmp_path / "model.ckpt")
    saved = torch.load(tmp_path / "model.ckpt", weights_only=True)["macs"]
    assert saved == asdict(callback.report)
    assert saved["macs"] == MACS


def test_wandb_gets_them_as_summary(tmp_path: Path, loader: DataLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandbLogger(save_dir=tmp_path, offline=True, mode="disabled")
    trainer = make_trainer(tmp_path, MacsLogger(print_table=False), logger)
    trainer.fit(FakeClassifier(), loader)
    summary = dict(logger.experiment.summary)
    logger.experiment.finish()
    assert summary["model/macs"] == MACS
    assert summary["model/macs_counter"] == "thop"


def test_budget_stops_before_the_first_batch_and_says_what_to_do(tmp_path: Path, loader: DataLoader) -> None:
    module = FakeClassifier()
    with pytest.raises(UserError) as caught:
        make_trainer(tmp_path, MacsLogger(max_macs=5000, print_table=False)).fit(module, loader)
    for part in ("tiny_net", f"{MACS:,}", "5,000", "thop", "1×3×8×8", "max_macs"):
        assert part in str(caught.value)
    assert module.batches == 0


def test_budget_is_inclusive_and_binds_only_training(tmp_path: Path, loader: DataLoader) -> None:
    module = FakeClassifier()
    make_trainer(tmp_path, MacsLogger(max_macs=MACS, print_table=False)).fit(module, loader)
    assert module.batches == 2
    make_trainer(tmp_path, MacsLogger(max_macs=1, print_table=False)).test(module, loader)


def test_count_follows_the_architecture(tmp_path: Path, loader: DataLoader, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures are of the network as it is at each stage; the table is shown once, before training."""
    callback, module = MacsLogger(), FakeClassifier()
    trainer = make_trainer(tmp_path, callback)
    trainer.fit(module, loader)
    assert f"{MACS:,}" in capsys.readouterr().out
    trainer.test(module, loader)
    assert "MACs of one image" not in capsys.readouterr().out
    module.model[0] = nn.Conv2d(3, 4, 1)
    trainer.test(module, loader)
    smaller = MACS - CONVOLUTION + 8 * 8 * 4 * 3
    assert callback.report.macs == module.macs == smaller
    assert "MACs of one image" not in capsys.readouterr().out


def test_in_fit_the_folded_network_is_counted_and_left_alone(tmp_path: Path, loader: DataLoader) -> None:
    module = FakeClassifier()
    module.model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    callbacks = [MacsLogger(fold_batchnorm=folded, print_table=False) for folded in (True, False)]
    for callback in callbacks:
        make_trainer(tmp_path, callback).fit(module, loader)
    folded, plain = (callback.report.macs for callback in callbacks)
    assert plain - folded >= 8 * 8 * 4  # thop's figure for the BatchNorm
    assert isinstance(module.model[1], nn.BatchNorm2d)


def test_yaml_builds_the_callback() -> None:
    path = Path(__file__).parents[3] / "conf/callbacks/macs.yaml"
    config = OmegaConf.merge({"max_macs": 1.5e6, "fold_batchnorm": True}, OmegaConf.load(path))
    callback = instantiate(config).macs
    assert callback.max_macs == 1_500_000
    assert json.dumps(callback.print_table) == "true"
