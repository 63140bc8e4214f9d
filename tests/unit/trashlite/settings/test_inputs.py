"""Files a run starts from, checked before anything else."""

from pathlib import Path

import pytest

from hydra_plugins.trashlite.jobs import check_job
from tests.harness import compose_config
from trashlite.errors import UserError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "last.ckpt").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "last.ckpt").touch()  # in no run's folder: files would be written above it
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["resume=run/checkpoints/lst.ckpt"], ["lst.ckpt (resume)", "holds last.ckpt"]),
        (["resume=nowhere/checkpoints/last.ckpt"], ["nowhere/checkpoints/last.ckpt"]),
        (["resume=run/checkpoints/last.ckpt", "fit=false"], ["checkpoint=<run folder>/checkpoints/best.ckpt"]),
        (["resume=elsewhere/last.ckpt"], ["<run folder>/checkpoints/last.ckpt", "checkpoint=elsewhere/last.ckpt"]),
        (["checkpoint=nowhere.ckpt"], ["nowhere.ckpt (checkpoint)"]),
        (["fit=false"], ["checkpoint=PATH"]),
        (["lightning_module=distiller"], ["lightning_module.teacher=PATH", "experiment=teacher", "alpha=1"]),
        (["lightning_module=distiller", "lightning_module.teacher=[no.ckpt]"], ["no.ckpt", "17 minutes"]),
        (["backbone.weights=no.pth"], ["backbone.weights=no.pth"]),
        (["checkpoint='<run folder of X>/best.ckpt'"], ["checkpoint=PATH", "of X", "docs/recipes.md", "results/"]),
        (["experiment=slim"], ["random weights", "checkpoint=PATH"]),
        (["experiment=decompose"], ["random weights", "checkpoint=PATH"]),
        (["datamodule.relabel=no.csv"], ["datamodule.relabel=no.csv", "file,label"]),
    ],
)
def test_a_missing_file_is_named_with_the_way_to_one(overrides: list[str], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        check_job(compose_config(*overrides))
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["resume=run/checkpoints/last.ckpt", "lightning_module=distiller", "lightning_module.teacher=gone.ckpt"],
        ["checkpoint=run/checkpoints/last.ckpt", "lightning_module=distiller"],  # its own teacher by default
        ["lightning_module=distiller", "lightning_module.alpha=1"],
        ["checkpoint=run/checkpoints/last.ckpt", "fit=false"],
        ["fit=false", "show_data=true"],
        ["experiment=slim", "checkpoint=run/checkpoints/last.ckpt"],
        ["experiment=decompose", "backbone=lite0_cut", "backbone.pretrained=lite0_imagenet"],
    ],
)
def test_what_needs_no_further_file_passes(overrides: list[str]) -> None:
    check_job(compose_config(*overrides))
