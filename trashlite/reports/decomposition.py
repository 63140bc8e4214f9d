"""Report of a decomposition: a table from the dense network to the fine-tuned one, and a picture."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor, nn

from trashlite.batch_metrics import MacroF1
from trashlite.compression.evaluating import evaluating
from trashlite.compression.fold_batchnorm import fold_batchnorm
from trashlite.compression.low_rank import RankPlan
from trashlite.compression.macs import MacsReport, count_macs
from trashlite.files import write_text

FILE = "decomposition.json"
COUNTED = """MACs of one image: convolutions and linear layers, as a budget counts them
(torch.utils.flop_counter / 2), and as thop counts all layers."""
LONGEST_NAME = 40  # characters


@dataclass(frozen=True)
class Stage:
    """A network on its way: macro F1 on val, MACs of one image by two counters, parameters."""

    stage: str
    f1: float
    flop_counter_macs: int
    macs: int
    params: int

    @classmethod
    def of(cls, stage: str, f1: float, report: MacsReport) -> "Stage":
        return cls(stage, f1, report.flop_counter_macs, report.macs, report.params)


def measure_stage(
    stage: str,
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    num_classes: int,
    image_size: Sequence[int],
    folded: bool,
) -> Stage:
    """F1 of a network on images, and its MACs as it will predict.

    Args:
        batches: preprocessed images (N, 3, H, W) and targets (N,), on the network's device.
        image_size: [height, width] of one image.
        folded: whether BatchNorm is folded before MACs are counted.
    """
    f1 = MacroF1(num_classes).to(next(network.parameters()).device)
    with evaluating(network):
        for images, targets in batches:
            f1.update(network(images), targets)
    input_size = (3, *image_size)
    counted = fold_batchnorm(network, input_size) if folded else network
    return Stage.of(stage, f1.compute().item(), count_macs(counted, input_size))


@dataclass
class Decomposition:
    """The stages so far, and the settings that led to them (plain data)."""

    settings: dict[str, Any]
    stages: list[Stage] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Path) -> "Decomposition":
        """Read what `save` wrote."""
        data = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return cls(data["settings"], [Stage(**stage) for stage in data["stages"]])

    def save(self, folder: Path, name: str = FILE) -> None:
        write_text(folder / name, json.dumps(asdict(self), ensure_ascii=False, indent=2))

    def add(self, stage: Stage) -> None:
        """Append a stage; one of the same name is replaced, so that a run may be finished twice."""
        self.stages = [other for other in self.stages if other.stage != stage.stage] + [stage]

    def columns(self) -> list[str]:
        return ["", "val F1", "MACs", "share", "MACs (thop)", "parameters"]

    def rows(self) -> list[list[Any]]:
        """One row for each stage, under `columns`."""
        dense = self.stages[0].flop_counter_macs
        return [
            [each.stage, each.f1, each.flop_counter_macs, each.flop_counter_macs / dense, each.macs, each.params]
            for each in self.stages
        ]

    def table(self, title: str = "Decomposition") -> Table:
        """The stages for the console."""
        table = Table(title=title, title_justify="left")
        table.caption = COUNTED
        for column in self.columns():
            table.add_column(column, justify="left" if not column else "right")
        for stage, f1, flop_macs, share, macs, params in self.rows():
            table.add_row(stage, f"{f1:.4f}", f"{flop_macs:,}", f"{share:.1%}", f"{macs:,}", f"{params:,}")
        return table


def plan_rows(plan: RankPlan) -> list[list[Any]]:
    """layer, kind, ranks, MACs before and after, error: one row for each factorised layer."""
    return [
        [name, layer.kind, " ".join(map(str, layer.ranks)), layer.macs_before, layer.macs_after, layer.error]
        for name, layer in plan.layers.items()
    ]


PLAN_COLUMNS = ["layer", "kind", "ranks", "MACs before", "MACs after", "error"]


def decomposition_figure(plan: RankPlan, errors_of: str) -> Figure:
    """MACs before and after, and relative error, of each factorised layer.

    Args:
        errors_of: what the errors are relative to, such as "its output".
    """
    rows = plan_rows(plan)
    figure = Figure(figsize=(10, 1.4 + 0.22 * max(len(rows), 3)), layout="constrained")
    FigureCanvasAgg(figure)
    macs_axes, error_axes = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    places = range(len(rows))
    macs_axes.barh(places, [row[3] for row in rows], color="lightsteelblue", height=0.8, label="dense")
    macs_axes.barh(places, [row[4] for row in rows], color="steelblue", height=0.5, label="factorised")
    error_axes.barh(places, [row[5] for row in rows], color="indianred", height=0.5)
    labels = [f"{name[-LONGEST_NAME:]}  {kind} {ranks}" for name, kind, ranks, *_ in rows]
    macs_axes.set_yticks(places, labels, fontsize=7)
    macs_axes.invert_yaxis()
    macs_axes.set_xlabel("MACs of one image")
    error_axes.set_xlabel(f"relative error of {errors_of}")
    error_axes.set_xlim(left=0)
    for axes in (macs_axes, error_axes):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=7)
    if rows:
        macs_axes.legend(fontsize=8, frameon=False)
    share = plan.macs_after / plan.macs_before
    figure.suptitle(
        f"{plan.macs_before:,} to {plan.macs_after:,} MACs ({share:.1%}): {len(rows)} layers factorised, "
        f"{len(plan.skipped)} left alone",
        fontsize=10,
    )
    return figure
