"""The channel plan: which channels of which layers stay. Plain data, so that a checkpoint can hold it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from trashlite.errors import UserError


@dataclass(frozen=True)
class Kept:
    """Positions of the input and output channels of a layer that stay, rising; None: all."""

    inputs: tuple[int, ...] | None = None
    outputs: tuple[int, ...] | None = None

    def then(self, other: "Kept") -> "Kept":
        """Both at once, where `other` counts what is left here."""
        return Kept(_nested(self.inputs, other.inputs), _nested(self.outputs, other.outputs))


@dataclass(frozen=True)
class ChannelPlan:
    """Layers that lose channels, by name, and residual blocks that go altogether."""

    layers: dict[str, Kept] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()

    def then(self, other: "ChannelPlan") -> "ChannelPlan":
        """This plan and one made for the network that it gives, as a single plan for the first network."""
        dropped = self.dropped + other.dropped
        names = [name for name in {**self.layers, **other.layers} if not lies_in(name, dropped)]
        return ChannelPlan(
            {name: self.layers.get(name, Kept()).then(other.layers.get(name, Kept())) for name in names}, dropped
        )

    def to_dict(self) -> dict[str, Any]:
        """Dicts, lists, strings and whole numbers only."""
        layers = {
            name: {side: list(kept) for side, kept in vars(layer).items() if kept is not None}
            for name, layer in self.layers.items()
        }
        return {"layers": layers, "dropped": list(self.dropped)}

    @classmethod
    def from_dict(cls, data: Any) -> "ChannelPlan":
        """The inverse of `to_dict`.

        Raises:
            UserError: not a plan: names the layer and what is wrong with it.
        """
        if not isinstance(data, Mapping) or data.keys() != {"layers", "dropped"}:
            raise UserError(
                "channel plan: expected `layers: {name: {inputs: […], outputs: […]}}` and `dropped: [name]`"
            )
        layers, dropped = data["layers"], data["dropped"]
        if not isinstance(layers, Mapping) or not isinstance(dropped, list | tuple):
            raise UserError("channel plan: `layers` is a mapping and `dropped` a list")
        if not all(isinstance(name, str) for name in (*layers, *dropped)):
            raise UserError("channel plan: layers and blocks are known by their names")
        return cls({name: _kept(name, entry) for name, entry in layers.items()}, tuple(dropped))


def lies_in(name: str, blocks: Sequence[str]) -> bool:
    """Whether a layer is one of these blocks or inside one."""
    return any(name == block or name.startswith(f"{block}.") for block in blocks)


def _kept(name: str, entry: Any) -> Kept:
    if not isinstance(entry, Mapping) or not entry.keys() <= {"inputs", "outputs"}:
        raise UserError(f"channel plan: layer {name!r} has `inputs` and `outputs`, got {entry!r:.100}")
    for side, positions in entry.items():
        whole = isinstance(positions, list | tuple) and all(type(position) is int for position in positions)
        if not whole or not positions or positions[0] < 0 or any(a >= b for a, b in pairwise(positions)):
            raise UserError(
                f"channel plan: {side} of layer {name!r} are rising whole numbers, one at least, got {positions!r:.100}"
            )
    return Kept(**{side: tuple(positions) for side, positions in entry.items()})


def _nested(outer: tuple[int, ...] | None, inner: tuple[int, ...] | None) -> tuple[int, ...] | None:
    return inner if outer is None else outer if inner is None else tuple(outer[position] for position in inner)
