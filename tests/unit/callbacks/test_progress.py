import io
import logging
import re
import sys
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from rich.console import Console
from rich.progress import Progress
from torch.utils.data import DataLoader

from callbacks.progress import EpochProgress
from trashlite.console import StdoutHandler


class Epochs(LightningModule):
    """Logs figures that tell the epoch: train/f1 is 0.1 in the first, 0.2 in the second; val/f1 ten times less."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("train/loss", float(self.current_epoch + 1), on_step=False, on_epoch=True, batch_size=4)
        return self.weight.sum()

    def on_train_epoch_end(self) -> None:
        self.log("train/f1", (self.current_epoch + 1) / 10)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", self.current_epoch + 1.5, batch_size=4)
        self.log("val/f1", (self.current_epoch + 1) / 100, batch_size=4)

    def test_step(self, batch: Any, batch_idx: int) -> None: ...

    def predict_step(self, batch: Any, batch_idx: int) -> None: ...

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


class Clock:
    """Each look takes a second."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def loader(images: int = 8) -> DataLoader:
    return DataLoader([{"image": torch.zeros(1)} for _ in range(images)], batch_size=4)  # type: ignore[arg-type]


def fit(progress: EpochProgress, **settings: Any) -> Trainer:
    trainer = Trainer(
        accelerator="cpu",
        callbacks=[progress],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        **settings,
    )
    trainer.fit(Epochs(), loader(), loader())
    return trainer


def rows(caplog: pytest.LogCaptureFixture) -> list[list[str]]:
    return [record.getMessage().split() for record in caplog.records if record.name == "callbacks.progress"]


def test_a_row_has_the_figures_of_its_own_epoch(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "callbacks.progress")
    fit(EpochProgress(), max_epochs=2)
    heading, *found = rows(caplog)
    assert " ".join(heading) == "epoch train loss val loss train F1 val F1 images/s left"
    assert [row[:5] for row in found] == [
        ["1/2", "1.0000", "1.5000", "0.1000", "0.0100"],
        ["2/2", "2.0000", "2.5000", "0.2000", "0.0200"],
    ]
    assert found[-1][-1] == "0:00:00"


def test_rows_stand_below_their_headings_and_fit_80_columns(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "callbacks.progress")
    fit(EpochProgress(), max_epochs=100, limit_val_batches=0)
    lines = [record.getMessage() for record in caplog.records if record.name == "callbacks.progress"]
    assert {len(line) for line in lines} == {len(lines[0])}
    assert len("12:34:56 I ") + len(lines[0]) <= 80


def test_an_epoch_without_validation_shows_no_old_figures(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "callbacks.progress")
    fit(EpochProgress(), max_epochs=3, check_val_every_n_epoch=2)
    _, *found = rows(caplog)
    assert [row[2] for row in found] == ["-", "2.5000", "-"]
    assert [row[4] for row in found] == ["-", "0.0200", "-"]


def test_speed_and_time_left_of_the_whole_training(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "callbacks.progress")
    fit(EpochProgress(clock=Clock()), max_epochs=4)
    first = rows(caplog)[1]
    # Looks at the clock: start, start of the epoch (twice), one at each of 2 batches, and now for what is left.
    assert first[-2] == "4"  # 8 images, 2 seconds after the epoch's start
    assert first[-1] == "0:00:15"  # 5 seconds for 2 of 8 steps


class Frames(Progress):
    """Progress that keeps what it draws."""

    drawn: list[str] = []  # noqa: RUF012

    def get_renderables(self) -> Any:
        console = Console(file=io.StringIO(), width=80)
        with console.capture() as capture:
            console.print(*super().get_renderables())
        self.drawn.append(capture.get().rstrip())
        return super().get_renderables()


@pytest.mark.parametrize("width", [80, 120])
def test_the_bar_is_one_line_for_the_whole_training_counted_from_1(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callbacks.progress.Progress", Frames)
    monkeypatch.setattr(Frames, "drawn", [])
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    progress = EpochProgress(console, Clock())
    trainer = fit(progress, max_epochs=2)
    frames = [frame for frame in Frames.drawn if frame]
    assert frames != []
    assert all("\n" not in frame for frame in frames)
    assert frames[0] == "epoch 1/2"
    assert re.fullmatch(r"epoch 2/2 ━+ \d+ images/s  val F1 0\.0100  0:00:00 left", frames[-1])
    assert progress.bar is None
    for evaluate in (trainer.validate, trainer.test, trainer.predict):
        evaluate(Epochs(), loader(), verbose=False) if evaluate != trainer.predict else evaluate(Epochs(), loader())
    assert {frame.split()[0] for frame in Frames.drawn if frame} >= {"validating", "testing", "predicting"}


def test_log_lines_go_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """While rich draws, it takes the place of stdout; a handler that kept the old one would write into the bar."""
    handler = StdoutHandler()
    logger = logging.Logger("test")
    logger.addHandler(handler)
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with Progress(console=console) as bar:
        bar.add_task("epoch 1/2")
        assert sys.stdout is not sys.__stdout__
        logger.info("a line")
    assert re.search(r"(?m)^(\x1b\[2K)?a line$", console.file.getvalue().replace("\r", "\n"))  # type: ignore[attr-defined]
    later = io.StringIO()
    monkeypatch.setattr(sys, "stdout", later)
    logger.info("another")
    assert later.getvalue() == "another\n"


def test_a_bar_that_is_switched_off_is_not_drawn() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    progress = EpochProgress(console)
    progress.disable()
    fit(progress, max_epochs=1)
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]
