"""The rank plan: which layers become which chains. Plain data, so that a checkpoint or a YAML file can hold it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

import yaml

from trashlite.compression.low_rank.factorise import full_ranks
from trashlite.compression.low_rank.layers import KINDS, Kind, Layer, grouped_shape, layer_type
from trashlite.errors import UserError
from trashlite.files import write_text


@dataclass(frozen=True)
class LayerPlan:
    """One layer: kind, ranks for each group in the order of the chain, MACs for one image, relative error (share of
    the norm of the weight, or of the output where there were moments)."""

    kind: Kind
    ranks: tuple[int, ...]
    macs_before: int = 0
    macs_after: int = 0
    error: float = 0.0


@dataclass(frozen=True)
class RankPlan:
    """Layers to factorise, in order, with the MACs of the whole model before and after, and the layers left alone."""

    layers: dict[str, LayerPlan] = field(default_factory=dict)
    macs_before: int = 0
    macs_after: int = 0
    skipped: dict[str, str] = field(default_factory=dict)

    def then(self, other: "RankPlan") -> "RankPlan":
        """This plan and one made for the model that it gives, as a single plan for the first model."""
        return RankPlan(
            {**self.layers, **other.layers},
            self.macs_before,
            other.macs_after,
            {**self.skipped, **other.skipped},
        )

    def to_dict(self) -> dict[str, Any]:
        """Dicts, lists, strings and numbers only."""
        data = asdict(self)
        for layer in data["layers"].values():
            layer["ranks"] = list(layer["ranks"])
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "RankPlan":
        """The inverse of `to_dict`; by hand, `kind` and `ranks` of each layer are enough.

        Raises:
            UserError: not a plan: names the layer and what is wrong with it.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("layers"), Mapping):
            raise UserError("rank plan: expected a mapping with `layers: {name: {kind: …, ranks: […]}}`")
        _check_keys("rank plan", data, cls)
        layers = {str(name): _layer_from_dict(str(name), entry) for name, entry in data["layers"].items()}
        return cls(**{**data, "layers": layers})

    def save(self, path: str | Path) -> None:
        """Write YAML, whole or not at all."""
        write_text(Path(path), yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True))

    @classmethod
    def load(cls, path: str | Path) -> "RankPlan":
        """Read YAML.

        Raises:
            UserError: no such file, no YAML, or no plan.
        """
        try:
            data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(f"rank plan {path}: cannot be read: {error}") from error
        return cls.from_dict(data)


def _layer_from_dict(name: str, entry: Any) -> LayerPlan:
    if not isinstance(entry, Mapping) or not {"kind", "ranks"} <= entry.keys():
        raise UserError(f"rank plan: layer {name!r} needs `kind` and `ranks`, got {entry!r}")
    _check_keys(f"rank plan: layer {name!r}", entry, LayerPlan)
    kind, ranks = entry["kind"], entry["ranks"]
    if kind not in get_args(Kind):
        raise UserError(f"rank plan: layer {name!r} has kind {kind!r}; choose from {', '.join(get_args(Kind))}")
    wanted = 2 if kind == "tucker" else 1
    whole = isinstance(ranks, list | tuple) and all(type(rank) is int and rank >= 1 for rank in ranks)
    if not whole or len(ranks) != wanted:
        raise UserError(f"rank plan: layer {name!r} ({kind}) needs {wanted} whole rank(s) of at least 1, got {ranks!r}")
    return LayerPlan(**{**entry, "ranks": tuple(ranks)})


def _check_keys(where: str, data: Mapping[str, Any], cls: Any) -> None:
    if unknown := data.keys() - cls.__dataclass_fields__.keys():
        raise UserError(
            f"{where}: unknown key {min(map(str, unknown))!r}; known are {', '.join(cls.__dataclass_fields__)}"
        )


def check_layer(name: str, layer: Layer, entry: LayerPlan) -> None:
    """Raise UserError where a layer cannot be what the plan says of it."""
    kinds = KINDS[layer_type(layer)]
    if entry.kind not in kinds:
        raise UserError(
            f"rank plan: layer {name!r} is {layer_type(layer)} and cannot be {entry.kind!r};"
            f" choose from {', '.join(kinds)}"
        )
    limits = full_ranks(grouped_shape(layer), entry.kind)
    if any(rank > limit for rank, limit in zip(entry.ranks, limits, strict=True)):
        raise UserError(f"rank plan: layer {name!r} has ranks {list(entry.ranks)}, at most {list(limits)} are possible")
