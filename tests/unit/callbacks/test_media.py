from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.loggers import WandbLogger
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader

import callbacks.media
from callbacks.media import ResultPictures

NAMES = ["Glass", "Metal", "유리"]
TARGET = torch.tensor([0, 0, 1, 1, 2, 0])
PREDICTED = torch.tensor([0, 1, 1, 1, 0, 2])
SURENESS = torch.tensor([5.0, 1.0, 5.0, 5.0, 9.0, 3.0])
LOGITS = one_hot(PREDICTED, 3) * SURENESS[:, None]


class Fixed(LightningModule):
    """Answers image i with row i of LOGITS; its one parameter makes it fit for fitting."""

    class_names = NAMES

    def __init__(self) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(()))

    def step(self, index: torch.Tensor) -> dict[str, torch.Tensor]:
        loss = self.bias.square()
        return {"loss": loss, "logits": LOGITS[index], "target": TARGET[index], "index": index}

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.step(batch)["loss"]

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> dict[str, torch.Tensor]:
        return self.step(batch)

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Data(LightningDataModule):
    """Six images, each of its own grey; val and test hold other greys."""

    def __init__(self, labelled_test: bool = True) -> None:
        super().__init__()
        greys = np.arange(6, dtype=np.uint8)[:, None, None, None]
        self.val_dataset = SimpleNamespace(images=np.broadcast_to(greys + 100, (6, 4, 5, 3)))
        self.test_dataset = SimpleNamespace(images=np.broadcast_to(greys, (6, 4, 5, 3))) if labelled_test else None

    def train_dataloader(self) -> DataLoader:
        return DataLoader(torch.arange(6), batch_size=4)

    # Backwards, as a check that pictures go by `index` and not by the order of arrival.
    def val_dataloader(self) -> DataLoader:
        return DataLoader(torch.arange(6).flip(0), batch_size=4)

    test_dataloader = val_dataloader


class Recorder(WandbLogger):
    """Keeps what would go to W&B, and starts no run."""

    experiment = None

    def __init__(self) -> None:
        super().__init__()
        self.images: dict[str, list[str]] = {}
        self.tables: dict[str, tuple[list[str], list[list[Any]]]] = {}

    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        self.images[key] = images

    def log_table(self, key: str, columns: Any = None, data: Any = None, **kwargs: Any) -> None:
        self.tables[key] = (columns, data)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None: ...

    def log_hyperparams(self, params: Any) -> None: ...


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Arguments of each picture that was drawn, by its name."""
    record: dict[str, Any] = {}

    def confusion(matrix: np.ndarray, names: list[str], title: str) -> Figure:
        record["confusion"] = (matrix.tolist(), names, title)
        return Figure()

    def grid(images: list[np.ndarray], titles: list[str], title: str) -> Figure:
        record["mistakes"] = ([int(image[0, 0, 0]) for image in images], titles, title)
        return Figure()

    monkeypatch.setattr(callbacks.media, "confusion_matrix_figure", confusion)
    monkeypatch.setattr(callbacks.media, "image_grid", grid)
    return record


def trainer(folder: Path, logger: Any = False, **settings: Any) -> Trainer:
    return Trainer(
        max_epochs=1,
        logger=logger,
        callbacks=[ResultPictures(folder, **settings)],
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )


def test_testing_draws_the_confusion_and_the_mistakes_worst_first(tmp_path: Path, drawn: dict[str, Any]) -> None:
    trainer(tmp_path).test(Fixed(), Data(), verbose=False)
    assert drawn["confusion"] == ([[1, 1, 1], [0, 2, 0], [1, 0, 0]], NAMES, "test")
    # Wrong are images 4 (sureness 9), 5 (3) and 1 (1); the grey of a test image is its index.
    assert drawn["mistakes"][0] == [4, 5, 1]
    assert drawn["mistakes"][1] == ["유리 → Glass", "Glass → 유리", "Glass → Metal"]
    assert "worst of 3 mistakes" in drawn["mistakes"][2]


def test_validating_draws_images_of_the_validation_set(tmp_path: Path, drawn: dict[str, Any]) -> None:
    trainer(tmp_path, mistakes=2).validate(Fixed(), Data(), verbose=False)
    assert drawn["mistakes"][0] == [104, 105]
    assert drawn["confusion"][2] == "val"


def test_a_test_on_the_validation_set_says_so(tmp_path: Path, drawn: dict[str, Any]) -> None:
    trainer(tmp_path).test(Fixed(), Data(labelled_test=False), verbose=False)
    assert drawn["mistakes"][0] == [104, 105, 101]
    assert drawn["confusion"][2] == "test on val"


def test_fitting_draws_nothing(tmp_path: Path, drawn: dict[str, Any]) -> None:
    fitted = trainer(tmp_path)
    fitted.fit(Fixed(), datamodule=Data())
    assert drawn == {}
    assert not (tmp_path / "pictures").exists()
    fitted.test(Fixed(), Data(), verbose=False)
    assert sum(map(sum, drawn["confusion"][0])) == 6


def test_without_mistakes_there_is_no_grid(
    tmp_path: Path, drawn: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "LOGITS", one_hot(TARGET, 3).float())
    trainer(tmp_path).test(Fixed(), Data(), verbose=False)
    assert set(drawn) == {"confusion"}
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["test_confusion.png"]


def test_pictures_and_the_table_go_to_wandb(tmp_path: Path) -> None:
    logger = Recorder()
    trainer(tmp_path, logger).test(Fixed(), Data(), verbose=False)
    pictures = {f"test/{name}": [str(tmp_path / "pictures" / f"test_{name}.png")] for name in ("confusion", "mistakes")}
    assert logger.images == pictures
    assert all(Path(paths[0]).stat().st_size > 1000 for paths in pictures.values())
    columns, rows = logger.tables["test/classes"]
    assert columns == ["class", "images", "precision", "recall", "f1"]
    assert [row[0] for row in rows] == NAMES
