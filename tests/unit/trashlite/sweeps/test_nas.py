"""The spaces of networks: every point is one, most cost what a tiny network may, and each choice is in reach."""

from typing import Any

import optuna
import pytest
import torch
from omegaconf import DictConfig
from optuna.samplers import RandomSampler
from optuna.trial import FixedTrial
from torch import nn

from tests.harness import compose_config
from trashlite.backbones import create_backbone
from trashlite.compression.macs import count_macs
from trashlite.sweeps.nas import (
    LITE0_BLOCKS,
    TRASHNET_INPUTS,
    draw_stride,
    halved,
    lite0_space,
    nas_space,
    shipped_cuts,
    shipped_networks,
)

SPACES = {"nas": nas_space, "nas_lite0": lite0_space}
Point = tuple[dict[str, Any], dict[str, Any]]


def draw(count: int, sweep: str, base: DictConfig) -> list[Point]:
    """Parameters and overrides of random points, all of one study: Optuna refuses a choice that changes its values."""
    study = optuna.create_study(sampler=RandomSampler(seed=0), directions=["maximize", "minimize"])
    trials = [study.ask() for _ in range(count)]
    return [(trial.params, overrides) for trial in trials for overrides in [SPACES[sweep](base, trial)]]


def build(base: DictConfig, overrides: dict[str, Any]) -> nn.Module:
    prefix = "backbone.kwargs."
    given = {key.removeprefix(prefix): value for key, value in overrides.items() if key.startswith(prefix)}
    assert given.keys() <= base.backbone.kwargs.keys()  # an override of an unknown key would fail
    return create_backbone(base.backbone.name, 9, kwargs={**base.backbone.kwargs, **given}).eval()


@pytest.mark.parametrize("sweep", SPACES)
@pytest.mark.parametrize("count", [20, pytest.param(500, marks=pytest.mark.slow)])
def test_every_point_is_a_network_and_most_are_tiny(sweep: str, count: int) -> None:
    base = compose_config(f"+sweep={sweep}")
    macs = []
    for _, overrides in draw(count, sweep, base):
        network, size = build(base, overrides), overrides["image_size"]
        report = count_macs(network, (3, *size))
        with torch.no_grad():
            assert network(torch.zeros(1, 3, *size)).shape == (1, 9), overrides
        assert report.differences == [], overrides  # both counters agree: a ceiling means what it says
        macs.append(report.macs)
    assert sum(0.3e6 < each < 20e6 for each in macs) >= 0.9 * count
    assert sum(each <= base.max_macs for each in macs) >= 0.7 * count


def test_a_map_is_halved_while_it_is_large_kept_once_it_is_small_and_chosen_between() -> None:
    assert [halved(side, 2) for side in (24, 25, 3)] == [12, 13, 2]
    assert [draw_stride(FixedTrial({"stage1.stride": stride}), 1, 12) for stride in (1, 2)] == [1, 2]  # type: ignore[arg-type]
    assert [draw_stride(FixedTrial({}), 1, side) for side in (13, 2, 1)] == [2, 1, 1]  # type: ignore[arg-type]


def test_every_choice_is_drawn() -> None:
    points = draw(300, "nas", compose_config("+sweep=nas"))
    blocks = [block for _, overrides in points for block in overrides["backbone.kwargs.blocks"]]
    assert {block.split("_")[0] for block in blocks} == {"ds", "ir", "er", "sn", "mp"}
    for option in ("se0.25", "nhs", "k3.5.7", "r3", "s1", "s2", "e6"):
        assert any(option in block.split("_") for block in blocks), option
    assert {overrides["resize_mode"] for _, overrides in points} == {"stretch", "letterbox", "landscape"}
    assert [32, 48] in [overrides["image_size"] for _, overrides in points]
    assert {len(overrides["backbone.kwargs.blocks"]) for _, overrides in points} == {2, 3, 4, 5}
    # A choice is asked for only where it matters.
    for params, overrides in points:
        assert ("input.side" in params) == (overrides["resize_mode"] != "landscape")
        assert ("stage0.expansion" in params) == (params["stage0.kind"] == "ir")
        assert ("stage3.kind" in params) == (params["stages"] == 4)


def test_what_is_left_of_lite0_fits_its_weights() -> None:
    base = compose_config("+sweep=nas_lite0")
    whole = create_backbone("lite0_cut", 9, kwargs={"stages": 7}).state_dict()
    strides = set()
    for _, overrides in draw(10, "nas_lite0", base):
        for name, tensor in build(base, overrides).state_dict().items():
            assert name.startswith("classifier.") or tensor.shape == whole[name].shape, name
        strides.add(tuple(block.split("_")[3] for block in overrides["backbone.kwargs.blocks"]))
    assert len(strides) > 3


@pytest.mark.parametrize(("name", "first"), [("trashnet_1m", 0), ("trashnet_2m", len(TRASHNET_INPUTS))])
def test_a_search_begins_with_the_networks_made_by_hand(name: str, first: int) -> None:
    """Layer by layer, at each of its inputs."""
    base = compose_config("+sweep=nas")
    shipped = create_backbone(name, 9, kwargs={"drop_rate": 0.0}).eval()
    for point in shipped_networks(base)[first : first + len(TRASHNET_INPUTS)]:
        overrides = nas_space(base, FixedTrial(point))  # type: ignore[arg-type]
        drawn, size = build(base, overrides), (3, *overrides["image_size"])
        assert [(key, value.shape) for key, value in drawn.state_dict().items()] == [
            (key, value.shape) for key, value in shipped.state_dict().items()
        ]
        assert count_macs(drawn, size).macs == count_macs(shipped, size).macs


@pytest.mark.parametrize(("sweep", "start"), [("nas", shipped_networks), ("nas_lite0", shipped_cuts)])
def test_points_to_begin_with_lie_in_the_space(sweep: str, start: Any, recwarn: pytest.WarningsRecorder) -> None:
    base, study = compose_config(f"+sweep={sweep}"), optuna.create_study()
    points = start(base)
    for point in points:
        study.enqueue_trial(point)
        trial = study.ask()
        build(base, SPACES[sweep](base, trial))
        assert trial.params.items() <= point.items()  # nothing was left to draw
    assert not [warning for warning in recwarn if "out of range" in str(warning.message)]
    assert len(points) >= 6


def test_the_first_cut_is_four_whole_stages() -> None:
    base = compose_config("+sweep=nas_lite0")
    drawn = lite0_space(base, FixedTrial(shipped_cuts(base)[0]))  # type: ignore[arg-type]
    assert drawn["image_size"] == [48, 64]
    assert drawn["backbone.kwargs.blocks"] == list(LITE0_BLOCKS[:4])
