from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from torch import nn

from callbacks import threads
from callbacks.threads import Threads
from datamodules.trash import TrashDataModule
from trashlite.data.augmentation import BatchAugmentation, ColourJitter, RandAugment


@pytest.fixture(autouse=True)
def same_threads_afterwards() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def module() -> Any:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(), nn.LazyLinear(3))
    network(torch.zeros(2, 3, 8, 8))
    return SimpleNamespace(model=network, dtype=torch.float32)


@pytest.fixture
def trainer(tiny_root: Path, tmp_path: Path) -> Any:
    data = TrashDataModule(
        tiny_root,
        image_size=(8, 8),
        batch_size=4,
        cache_dir=tmp_path,
        augmentation=BatchAugmentation(colour=ColourJitter(0.5)),
    )
    data.prepare_data()
    data.setup()
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    precision = SimpleNamespace(forward_context=lambda: torch.autocast("cpu", enabled=False))
    return SimpleNamespace(
        datamodule=data, strategy=strategy, precision_plugin=precision, estimated_stepping_batches=100, num_devices=1
    )


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of threads at each look; each look makes a step and one thread more."""
    seen: list[int] = []

    def look(step: Callable[[], None], most: int) -> dict[int, float]:
        step()
        seen.append(torch.get_num_threads())
        torch.set_num_threads(len(seen))
        return {1: 0.1}

    monkeypatch.setattr(threads, "use_fastest_threads", look)
    return seen


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(threads, "time", clock)
    return clock


def epoch(callback: Threads, trainer: Any, module: Any, clock: SimpleNamespace, steps: int, seconds: float) -> None:
    callback.on_train_epoch_start(trainer, module)
    for number in range(steps):
        clock.now += seconds
        callback.on_train_batch_end(trainer, module, None, None, number)


def test_it_looks_before_training_when_steps_become_slow_and_after_a_while(
    trainer: Any, module: Any, looks: list[int], clock: SimpleNamespace
) -> None:
    callback = Threads("auto", again=1000)
    callback.on_fit_start(trainer, module)
    epoch(callback, trainer, module, clock, 41, 0.1)
    assert len(looks) == 1
    epoch(callback, trainer, module, clock, 41, 0.15)
    assert len(looks) == 1
    epoch(callback, trainer, module, clock, 12, 5)  # another program has begun
    assert len(looks) == 2
    epoch(callback, trainer, module, clock, 100, 5)  # and it is no use to look at each step
    assert len(looks) == 2
    clock.now += 1001
    epoch(callback, trainer, module, clock, 3, 0.1)
    assert len(looks) == 3


@pytest.mark.parametrize(
    ("setting", "steps", "device"), [(2, 100, "cpu"), ("auto", 99, "cpu"), ("auto", 100, "cuda"), (None, 100, "cpu")]
)
def test_it_leaves_other_trainings_alone(
    trainer: Any, module: Any, looks: list[int], clock: SimpleNamespace, setting: Any, steps: int, device: str
) -> None:
    trainer.estimated_stepping_batches = steps
    trainer.strategy.root_device = torch.device(device)
    callback = Threads(setting)
    callback.on_fit_start(trainer, module)
    epoch(callback, trainer, module, clock, 30, 0.1)
    assert looks == []
    if isinstance(setting, int):
        assert torch.get_num_threads() == setting


@pytest.mark.parametrize(("precision", "dtype"), [("bf16-true", torch.bfloat16), ("bf16-mixed", torch.float32)])
def test_it_looks_at_any_precision(
    trainer: Any, module: Any, looks: list[int], precision: str, dtype: torch.dtype
) -> None:
    policy = RandAugment(num_ops=10)
    trainer.datamodule.augmentation = BatchAugmentation(policy=policy)
    trainer.precision_plugin = Trainer(accelerator="cpu", precision=precision, logger=False).precision_plugin
    module.model.to(dtype)
    module.dtype = dtype
    Threads("auto").look(trainer, module)
    assert len(looks) == 1


def test_a_look_changes_neither_network_nor_random_numbers(trainer: Any, module: Any, looks: list[int]) -> None:
    before = {name: value.clone() for name, value in module.model.state_dict().items()}
    state = torch.get_rng_state()
    callback = Threads("auto")
    callback.on_fit_start(trainer, module)
    callback.look(trainer, module)
    assert looks != []
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in module.model.state_dict().items())
    assert all(parameter.grad is None for parameter in module.model.parameters())
