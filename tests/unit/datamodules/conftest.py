from collections.abc import Callable
from pathlib import Path

import pytest

from datamodules.trash import TrashDataModule


def names(datamodule: TrashDataModule, *stages: str) -> set[str]:
    return {name for stage in stages for name in getattr(datamodule, f"{stage}_dataset").names}


def break_image(path: Path, content: bytes = b"no image") -> None:
    path.write_bytes(content)


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., TrashDataModule]:
    """Function that makes a datamodule with small images and a cache of its own, prepared and set up."""

    def make(root: Path, stage: str | None = None, **options: object) -> TrashDataModule:
        settings = {
            "image_size": (8, 12),
            "mean": (0.5, 0.4, 0.3),
            "std": (0.2, 0.25, 0.5),
            "cache_dir": tmp_path / "cache",
        } | options
        datamodule = TrashDataModule(root, **settings)
        datamodule.prepare_data()
        datamodule.setup(stage)
        return datamodule

    return make
