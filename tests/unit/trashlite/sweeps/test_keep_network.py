"""A run's network as a file of conf/backbone."""

import json
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from tests.harness import compose_config
from trashlite.backbones import create_backbone
from trashlite.errors import UserError
from trashlite.sweeps.keep_network import export_backbone


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """What a run of a block_net at 32x48 leaves."""
    blocks = "[ds_r1_k3_s2_c16,[ir_r1_k3.5_s2_e2_c24_nhs,ir_r1_k3_s1_e2_c24]]"
    cfg = compose_config("backbone=block_net", f"backbone.kwargs.blocks={blocks}", "image_size=[32,48]",
                         "resize_mode=landscape", "output_dir=none")  # fmt: skip
    folder = tmp_path / "12"
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(cfg, folder / ".hydra" / "config.yaml")
    (folder / "run.json").write_text(json.dumps({"val/f1": 0.61234}))
    return folder


def macs(network: torch.nn.Module, *size: int) -> float:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, 3, *size))
    return counter.get_total_flops() / 2e6


def test_the_file_is_the_network_and_tells_its_input(run_folder: Path, tmp_path: Path) -> None:
    path = export_backbone(run_folder, "tiny", tmp_path)
    cfg = OmegaConf.load(run_folder / ".hydra" / "config.yaml")
    backbone = OmegaConf.load(path)
    assert backbone == cfg.backbone
    network = create_backbone(backbone.name, 9, kwargs=OmegaConf.to_container(backbone.kwargs))  # type: ignore[arg-type]
    text = path.read_text()
    assert f"{macs(network, 64, 64):.2f} M MACs at 64x64" in text
    assert f"32x48 landscape, {macs(network, 32, 48):.2f} M MACs, val F1 0.6123" in text
    assert "python run.py backbone=tiny image_size=[32,48] resize_mode=landscape" in text


def test_a_pruned_run_has_no_f1_to_tell(run_folder: Path, tmp_path: Path) -> None:
    (run_folder / "run.json").unlink()
    assert "F1" not in export_backbone(run_folder, "tiny", tmp_path).read_text()


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
