"""Labels of channels: one for every value of a tensor, and which of them belong to one class."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Labels:
    """Labels of each tensor of a forward pass; those of a class are kept or dropped together.

    Attributes:
        reasons: why a label, and so its class, has to stay.
    """

    reasons: dict[int, str] = field(default_factory=dict)
    _of: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)  # by id of the tensor, kept alive beside them
    _parents: list[int] = field(default_factory=list)  # a forest: labels of one class have one root

    def __contains__(self, tensor: Tensor) -> bool:
        return id(tensor) in self._of

    def __getitem__(self, tensor: Tensor) -> Tensor:
        return self._of[id(tensor)][1]

    def __setitem__(self, tensor: Tensor, labels: Tensor) -> None:
        self._of[id(tensor)] = tensor, labels.expand(tensor.shape)

    def new(self, count: int, reason: str | None = None) -> Tensor:
        """Labels (count,) that are not in use yet."""
        start = len(self._parents)
        self._parents += range(start, start + count)
        if reason:
            self.reasons |= dict.fromkeys(range(start, start + count), reason)
        return torch.arange(start, start + count)

    def channels(self, tensor: Tensor, axis: int = 1) -> Tensor:
        """The label of each channel, which lie along `axis`."""
        return self[tensor].movedim(axis, 0).flatten(1)[:, 0]

    def axes(self, tensor: Tensor) -> list[int]:
        """Axes along which labels differ."""
        labels = self[tensor]
        return [axis for axis in range(labels.ndim) if bool((labels != labels.narrow(axis, 0, 1)).any())]

    def lie_along(self, tensor: Tensor, axis: int) -> bool:
        """Whether labels differ along no other axis."""
        return set(self.axes(tensor)) <= {axis % tensor.ndim}

    def fix(self, tensors: Sequence[Tensor], reason: str) -> None:
        """Keep all channels of these tensors."""
        for tensor in tensors:
            for label in self[tensor].unique().tolist():
                self.reasons.setdefault(label, reason)

    def unite(self, first: Tensor, second: Tensor) -> None:
        """Make one class of each two labels at the same place."""
        for one, other in torch.stack([first.flatten(), second.flatten()]).unique(dim=1).T.tolist():
            self._parents[self.root(one)] = self.root(other)

    def root(self, label: int) -> int:
        """The label that stands for its class."""
        parents = self._parents
        while parents[label] != label:
            parents[label] = label = parents[parents[label]]
        return label
