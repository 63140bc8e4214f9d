"""Every backbone that conf/ and docs/backbones.md name, exported: it answers as in torch, or there is a reason."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.harness import PROJECT
from trashlite.deployment import export as export_module
from trashlite.deployment.export import export_checkpoint
from trashlite.network import PREFIX, build_network

pytest.importorskip("onnx", reason="make setup-deploy installs onnx")

NAMED = re.findall(r"^\| `(\w+)` \|", (PROJECT / "docs" / "backbones.md").read_text(), re.M)
FILES = sorted((PROJECT / "conf" / "backbone").glob("*.yaml"))
BACKBONES: dict[str, dict[str, Any]] = {
    **{name: {"name": name, "kwargs": {}} for name in NAMED},
    **{path.stem: yaml.safe_load(path.read_text()) for path in FILES if path.stem != "timm"},
}
CANNOT = {"efficientvit_b0": ("c", "c_int8", "html")}  # attention multiplies matrices


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_it_answers_as_in_torch_or_says_why_not(
    name: str, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(export_module, "TIMED", 3)
    backbone = {"name": BACKBONES[name]["name"], "kwargs": BACKBONES[name]["kwargs"]}
    backbone |= {"pretrained": False, "weights": None}
    torch.manual_seed(0)
    network = build_network(backbone, 3)
    settings = {
        "backbone": backbone,
        "class_names": ["Glass", "Metal", "Plastic bag"],
        "preprocessing": {"image_size": [32, 48], "resize_mode": "landscape", "mean": [0.5] * 3, "std": [0.5] * 3},
        "rank_plan": None,
    }
    state = {PREFIX + key: value for key, value in network.state_dict().items()}
    torch.save({"hyper_parameters": settings, "state_dict": state}, tmp_path / "best.ckpt")
    formats = ["onnx", "int8", "c", "c_int8", "html"]
    _, rows = export_checkpoint(tmp_path / "best.ckpt", formats, tmp_path / "out", tiny_root, max_drop=1.0)
    for row in rows[1:]:
        assert row.failed == (row.format in CANNOT.get(name, ())), row.status
        if row.failed:
            assert re.search(r"aten|operator|layer", row.status), row.status
        elif "int8" not in row.format:
            assert row.judgement is not None
            assert row.judgement.logit_difference < 1e-4, row.format
