"""Every conf/backbone/*.yaml and row of docs/backbones.md: builds, runs at odd sizes, and tells its MACs truly."""

import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from trashlite.backbones import create_backbone

PROJECT = Path(__file__).parents[4]
CONFIGS = sorted((PROJECT / "conf" / "backbone").glob("*.yaml"))
ROW = r"\| `(\w+)` \| .* \| ([\d.]+) \| (yes|no) \|"
NETWORKS = re.findall(ROW, (PROJECT / "docs" / "backbones.md").read_text())


def check(name: str, kwargs: dict[str, Any], millions: str) -> None:
    model = create_backbone(name, 9, kwargs=kwargs).eval()
    with torch.no_grad():
        for batch, height, width in ((1, 46, 64), (2, 32, 32)):
            assert model(torch.randn(batch, 3, height, width)).shape == (batch, 9)
        with FlopCounterMode(display=False) as counter:
            assert model(torch.randn(1, 3, 64, 64)).shape == (1, 9)
    assert float(millions) == pytest.approx(counter.get_total_flops() / 2e6, abs=0.0051)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config(path: Path) -> None:
    config = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(config, dict)
    assert list(config) == ["name", "kwargs", "pretrained", "weights"]
    if not path.read_text().startswith("# From "):  # those that keep_network wrote are settled by their run
        assert config["pretrained"] is False
        assert config["weights"] is None
        assert config["kwargs"]["drop_rate"] == 0.0
    [told] = re.findall(r"([\d.]+) M MACs at 64x64", path.read_text())
    check(config["name"], config["kwargs"], told)


def test_the_table_has_the_networks_of_old() -> None:
    assert len(NETWORKS) == len({name for name, *_ in NETWORKS}) == 16


@pytest.mark.parametrize(("name", "millions", "pretrained"), NETWORKS)
def test_network_of_the_table(name: str, millions: str, pretrained: str) -> None:
    check(name, {"drop_rate": 0.0}, millions)
    assert bool(timm.list_pretrained(f"{name}.*")) == (pretrained == "yes")
