"""A run's network as a file of conf/backbone."""

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from tests.harness import compose_config
from trashlite.backbones import create_backbone
from trashlite.compression import count_macs, fold_batchnorm
from trashlite.errors import UserError
from trashlite.sweeps.keep_network import export_backbone


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Folder of a run of a block_net at 32x48."""
    blocks = "[ds_r1_k3_s2_c16,[ir_r1_k3.5_s2_e2_c24_nhs,ir_r1_k3_s1_e2_c24]]"
    cfg = compose_config(
        "backbone=block_net",
        f"backbone.kwargs.blocks={blocks}",
        "image_size=[32,48]",
        "resize_mode=landscape",
        "output_dir=none",
    )
    folder = tmp_path / "12"
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(cfg, folder / ".hydra" / "config.yaml")
    (folder / "run.json").write_text(json.dumps({"val/f1": 0.61234}))
    return folder


def macs(backbone: Any, *size: int) -> int:
    """As the program counts: thop, BatchNorm folded."""
    network = create_backbone(backbone.name, 9, kwargs=OmegaConf.to_container(backbone.kwargs))  # type: ignore[arg-type]
    return int(count_macs(fold_batchnorm(network, (3, *size)), (3, *size)).macs)


def test_the_file_is_the_network_and_tells_its_input(run_folder: Path, tmp_path: Path) -> None:
    path, command = export_backbone(run_folder, "tiny", tmp_path)
    cfg = OmegaConf.load(run_folder / ".hydra" / "config.yaml")
    backbone = OmegaConf.load(path)
    assert backbone == cfg.backbone
    text = path.read_text()
    assert f"At 64x64 it has {macs(backbone, 64, 64):,} MACs" in text
    assert f"{macs(backbone, 32, 48):,} MACs at 32x48 landscape, val F1 0.6123" in text
    assert command == "python run.py backbone=tiny 'image_size=[32,48]' resize_mode=landscape"
    assert command in text


def test_the_figure_of_the_run_counts(run_folder: Path, tmp_path: Path) -> None:
    (run_folder / "run.json").write_text(json.dumps({"val/f1": 0.5, "model/macs": 868_488}))
    path, _ = export_backbone(run_folder, "tiny", tmp_path)
    assert "868,488 MACs at 32x48" in path.read_text()


def test_a_pruned_run_has_no_f1_to_tell(run_folder: Path, tmp_path: Path) -> None:
    (run_folder / "run.json").unlink()
    assert "F1" not in export_backbone(run_folder, "tiny", tmp_path)[0].read_text()


@pytest.mark.parametrize("content", ["a: [", "- 1", "a: 1", "image_size: 32"])
def test_a_configuration_that_is_none_is_told(run_folder: Path, tmp_path: Path, content: str) -> None:
    (run_folder / ".hydra" / "config.yaml").write_text(content)
    with pytest.raises(UserError, match="is no configuration of a run"):
        export_backbone(run_folder, "tiny", tmp_path)


def test_what_cannot_be_exported_is_told(run_folder: Path, tmp_path: Path) -> None:
    export_backbone(run_folder, "tiny", tmp_path)
    for name in ("tiny", "a/b", ""):
        with pytest.raises(UserError, match="choose a new name"):
            export_backbone(run_folder, name, tmp_path)
    with pytest.raises(UserError, match="no folder of a run"):
        export_backbone(tmp_path, "other", tmp_path)
    cfg = OmegaConf.load(run_folder / ".hydra" / "config.yaml")
    cfg.checkpoint = "best.ckpt"
    OmegaConf.save(cfg, run_folder / ".hydra" / "config.yaml")
    with pytest.raises(UserError, match=r"came from checkpoint=best\.ckpt"):
        export_backbone(run_folder, "other", tmp_path)
