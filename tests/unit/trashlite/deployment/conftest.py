"""A checkpoint of seconds: a small network fitted to the tiny data set by a plain loop."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from trashlite.data.decode import decode, decode_settings
from trashlite.data.layout import scan
from trashlite.data.preprocess import preprocess
from trashlite.network import PREFIX, build_network

BACKBONE = {
    "name": "block_net",
    "kwargs": {"blocks": ["ds_r1_k3_s2_c8", "ir_r2_k3_s2_e2_c12"], "stem_size": 8, "head_size": 24},
    "pretrained": False,
    "weights": None,
}
PREPROCESSING = {"image_size": [16, 24], "resize_mode": "landscape", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}


@pytest.fixture(scope="session")
def fit_checkpoint() -> Callable[..., Path]:
    """Function that fits a network to train/ of a data set and saves a checkpoint, as `run.py` would."""

    def fit(path: Path, root: Path, steps: int = 30, **preprocessing: Any) -> Path:
        preprocessing = {**PREPROCESSING, **preprocessing}
        layout = scan(root)
        images = [decode(record.path, **decode_settings(preprocessing)) for record in layout.train]
        targets = torch.tensor([layout.class_names.index(str(record.class_name)) for record in layout.train])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = build_network(BACKBONE, len(layout.class_names)).train()
            optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
            batch = preprocess(torch.stack([torch.from_numpy(image.copy()) for image in images]), preprocessing)
            for _ in range(steps):
                optimizer.zero_grad()
                cross_entropy(network(batch), targets).backward()
                optimizer.step()
        hyper_parameters = {
            "backbone": BACKBONE,
            "class_names": layout.class_names,
            "preprocessing": preprocessing,
            "plans": [],
        }
        state = {PREFIX + name: value for name, value in network.state_dict().items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"hyper_parameters": hyper_parameters, "state_dict": state}, path)
        return path

    return fit


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory, fit_checkpoint: Callable) -> Path:
    """Fitted to the tiny data set. Shared by all tests: write nothing beside it."""
    return fit_checkpoint(tmp_path_factory.mktemp("tiny") / "best.ckpt", tiny_root)
