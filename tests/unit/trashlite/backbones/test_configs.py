"""Every conf/backbone/*.yaml: builds, runs at odd sizes, and tells its MACs truly."""

import re
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from trashlite.backbones import create_backbone

CONFIGS = sorted((Path(__file__).parents[4] / "conf" / "backbone").glob("*.yaml"))


def test_the_promised_configs_are_there() -> None:
    promised = (
        "mobilenetv3_small_050 lcnet_035 lcnet_050 tinynet_e mnasnet_050 mobilenetv2_035 ghostnet_050 "
        "mobilenetv4_conv_small_035 efficientvit_b0 repghostnet_050 starnet_s050 tf_efficientnet_lite0 "
        "shufflenetv2_x0_25 shufflenetv2_x0_35 shufflenetv2_x0_5 shufflenetv2_x1_0 block_net"
    )
    assert set(promised.split()) <= {path.stem for path in CONFIGS}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config(path: Path) -> None:
    config = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(config, dict)
    assert list(config) == ["name", "kwargs", "pretrained", "weights"]
    if config["name"] == path.stem:  # those that export_yaml wrote are settled by their run
        assert config["pretrained"] is False
        assert config["weights"] is None
        assert config["kwargs"]["drop_rate"] == 0.0
    else:
        assert path.read_text().startswith("# From ")
    model = create_backbone(config["name"], 9, kwargs=config["kwargs"]).eval()
    with torch.no_grad():
        for batch, height, width in ((1, 46, 64), (2, 32, 32)):
            assert model(torch.randn(batch, 3, height, width)).shape == (batch, 9)
        with FlopCounterMode(display=False) as counter:
            assert model(torch.randn(1, 3, 64, 64)).shape == (1, 9)
    told = re.search(r"([\d.]+) M MACs at 64x64", path.read_text())
    assert told is not None
    assert float(told[1]) == pytest.approx(counter.get_total_flops() / 2e6, abs=0.0051)
