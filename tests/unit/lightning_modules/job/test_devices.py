from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from torch.utils.data import DistributedSampler

from datamodules.trash import TrashDataModule
from hydra_plugins.trashlite.jobs import RANKS, is_first_process
from lightning_modules.job.devices import check_accelerator, check_devices, first_device
from trashlite.errors import UserError


@pytest.mark.parametrize(
    ("devices", "first"), [("auto", 1), (4, 1), ("4", 1), (-1, 1), ([2, 3], [2]), ("2,3", "2,"), ("2,", "2,")]
)
def test_the_first_device_of_a_setting(devices: Any, first: Any) -> None:
    assert first_device(devices) == first


@pytest.mark.parametrize(
    ("mode", "world_size", "refused"),
    [(RunMode.MULTIRUN, 2, True), (RunMode.MULTIRUN, 1, False), (RunMode.RUN, 2, False), (None, 2, False)],
)
def test_a_multirun_refuses_several_devices(
    monkeypatch: pytest.MonkeyPatch, mode: RunMode | None, world_size: int, refused: bool
) -> None:
    monkeypatch.setattr(HydraConfig, "initialized", lambda: mode is not None)
    monkeypatch.setattr(HydraConfig, "get", lambda: SimpleNamespace(mode=mode))
    trainer: Any = SimpleNamespace(world_size=world_size, num_devices=world_size)
    if not refused:
        check_devices(trainer)
        return
    with pytest.raises(UserError, match=r"one device, not on 2: set trainer\.devices=1"):
        check_devices(trainer)


def test_more_processes_than_cores_are_refused() -> None:
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    trainer: Any = SimpleNamespace(world_size=5000, num_devices=5000, strategy=strategy)
    with pytest.raises(UserError, match=r"trainer\.devices=5000"):
        check_devices(trainer)


def test_only_rank_0_is_the_first_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in RANKS:
        monkeypatch.delenv(name, raising=False)
    assert is_first_process()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not is_first_process()
    monkeypatch.setenv("RANK", "0")
    assert is_first_process()


def test_each_process_evaluates_all_images_once(tiny_root: Path, tmp_path: Path) -> None:
    data = TrashDataModule(tiny_root, image_size=(8, 8), eval_batch_size=4, cache_dir=tmp_path)
    data.prepare_data()
    data.setup()
    on_cpu = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(world_size=2, strategy=on_cpu)  # type: ignore[assignment]
    loaders: list[Callable[[], Any]] = [data.val_dataloader, data.test_dataloader]
    for make, dataset in zip(loaders, (data.val_dataset, data.test_dataset), strict=True):
        loader = make()
        assert isinstance(loader.sampler, DistributedSampler)  # which Lightning does not replace by shares
        assert [int(index) for batch in loader for index in batch["index"]] == list(range(len(dataset)))


@pytest.mark.parametrize(
    ("wanted", "cuda", "words"),
    [
        ("auto", False, None),
        ("cpu", False, None),
        ("gpu", True, None),
        ("cuda", True, None),
        ("gpu", False, "choose auto or cpu"),
        ("cuda", False, "choose auto or cpu"),
        ("mps", True, "auto or cpu, cuda"),
    ],
)
def test_an_accelerator_that_is_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch, wanted: str, cuda: bool, words: str | None
) -> None:
    monkeypatch.setattr("pytorch_lightning.accelerators.CUDAAccelerator.is_available", lambda: cuda)
    monkeypatch.setattr("pytorch_lightning.accelerators.MPSAccelerator.is_available", lambda: False)
    if words is None:
        check_accelerator(wanted)
        return
    with pytest.raises(UserError, match=f"trainer.accelerator={wanted}: .*{words}"):
        check_accelerator(wanted)
