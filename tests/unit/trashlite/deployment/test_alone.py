"""The library where Lightning, Hydra, W&B and Optuna are not installed."""

import subprocess
import sys
from pathlib import Path

from tests.harness import HANGS, PROJECT

MISSING = ("pytorch_lightning", "lightning", "lightning_fabric", "hydra", "omegaconf", "wandb", "optuna")
LIBRARY = (
    *("backbones", "compression", "data", "deployment", "network", "losses"),
    *("metrics", "batch_metrics", "distillation"),
)
PROGRAM = f"""
import importlib, pkgutil, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {MISSING}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
for name in {LIBRARY}:
    module = importlib.import_module(f"trashlite.{{name}}")
    for inner in pkgutil.walk_packages(getattr(module, "__path__", []), f"{{module.__name__}}."):
        if not inner.name.endswith(("__main__", ".infer")):  # programs
            importlib.import_module(inner.name)
from trashlite.deployment import Predictor
from trashlite.compression import count_macs, fold_batchnorm
print(Predictor.from_checkpoint(sys.argv[1])(sys.argv[2]).label)
"""


def test_every_module_is_imported_and_the_predictor_answers(tiny_checkpoint: Path, tiny_root: Path) -> None:
    image = tiny_root / "val" / "Metal" / "000.jpg"
    command = [sys.executable, "-c", PROGRAM, str(tiny_checkpoint), str(image)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=HANGS, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("Glass", "Metal", "Plastic bag")
