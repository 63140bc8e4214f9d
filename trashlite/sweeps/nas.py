"""Search spaces of `+sweep=nas` and `+sweep=nas_lite0`: a network and its input, drawn one choice after the other.

Built for 0.5 to 5 million MACs. There the first layers cost most, so widths grow and strides come early: a map is
halved until its shorter side is `FREE_SIDE` at most, and kept from `LAST_SIDE` on; between the two the trial chooses.
"""

from typing import Any

from omegaconf import DictConfig
from optuna import Trial

from trashlite.backbones.block_net import LITE0_BLOCKS

LANDSCAPES = ("24x36", "32x48", "40x56", "48x64")  # height x width
FREE_SIDE = 12
LAST_SIDE = 2
FULL_STEM_SIDE = 40  # images of at most this height may keep their resolution in the stem
LITE0_FULL_STEM_SIDE, LITE0_FREE_SIDE = 24, 8  # its layers are wide
# Of the stages, from the first: fewest and most channels, and their step.
CHANNELS = ((8, 24, 4), (16, 40, 8), (24, 80, 8), (48, 112, 16))
EARLY_KINDS = ("ds", "ir", "er", "sn")  # of the first two stages: later, fused blocks would eat the budget
LATE_KINDS = ("ds", "ir", "sn")
DEPTHWISE_KERNELS = ("3", "5", "3.5", "3.5.7")
# trashnet_1m and trashnet_2m as points of `nas_space`, and the inputs with which a search begins.
TRASHNET: dict[str, Any] = {
    "stem.type": "conv3",
    "stem.stride": 2,
    "stages": 3,
    "activation": "hard_swish",
    "stage0.kind": "ds",
    "stage0.repeats": 1,
    "stage0.kernel": "3",
    "stage0.squeeze_excite": False,
    "stage1.kind": "ir",
    "stage1.repeats": 2,
    "stage1.kernel": "3",
    "stage1.squeeze_excite": False,
    "stage2.kind": "ir",
    "stage2.repeats": 3,
    "stage2.kernel": "5",
    "stage2.squeeze_excite": True,
    "stage1.expansion": 3,
    "stage2.expansion": 3,
    **{f"stage{stage}.{key}": value for stage in range(3) for key, value in (("stride", 2), ("hard_swish", False))},
}
TRASHNET_WIDTHS = ((8, 12, 16, 32, 96), (12, 16, 24, 40, 192))  # stem, three stages, head
TRASHNET_INPUTS: tuple[dict[str, Any], ...] = (
    *({"input.resize_mode": "stretch", "input.side": side} for side in (64, 48, 32, 24)),
    *({"input.resize_mode": "landscape", "input.landscape": size} for size in ("48x64", "32x48", "24x36")),
)


def nas_space(cfg: DictConfig, trial: Trial) -> dict[str, Any]:
    """Overrides that make one network and its input; every point is a valid one.

    Args:
        cfg: a configuration with `backbone=block_net`.
    """
    image_size, resize_mode = draw_input(trial)
    side = image_size[0]
    stem = trial.suggest_categorical("stem.type", ("conv3", "conv5", "conv3_pool"))
    stem_size = trial.suggest_int("stem.width", 8, 24, step=4)
    stem_stride = trial.suggest_categorical("stem.stride", (1, 2)) if side <= FULL_STEM_SIDE else 2
    side = halved(side, stem_stride)
    blocks = []
    if stem == "conv3_pool":
        blocks.append("mp_k3_s2")
        side = halved(side, 2)
    channels = stem_size
    for stage in range(trial.suggest_int("stages", 2, len(CHANNELS))):
        stride = draw_stride(trial, stage, side)
        block, channels = draw_block(trial, stage, channels, stride)
        blocks.append(block)
        side = halved(side, stride)
    return {
        "image_size": image_size,
        "resize_mode": resize_mode,
        "backbone.kwargs.stem_size": stem_size,
        "backbone.kwargs.stem_kernel": 5 if stem == "conv5" else 3,
        "backbone.kwargs.stem_stride": stem_stride,
        "backbone.kwargs.blocks": blocks,
        "backbone.kwargs.head_size": trial.suggest_int("last_width", 0, 320, step=32),
        "backbone.kwargs.act_layer": trial.suggest_categorical("activation", ("relu", "hard_swish")),
    }


def lite0_space(cfg: DictConfig, trial: Trial) -> dict[str, Any]:
    """Overrides that cut EfficientNet-Lite0 short in stages, blocks and resolution; what is left keeps its weights.

    Args:
        cfg: a configuration with `backbone=lite0_cut`.
    """
    image_size, resize_mode = draw_input(trial)
    stem_stride = trial.suggest_categorical("stem.stride", (1, 2)) if image_size[0] <= LITE0_FULL_STEM_SIDE else 2
    side = halved(image_size[0], stem_stride)
    blocks = []
    for stage in range(trial.suggest_int("stages", 2, 4)):
        kind, repeats, kernel, _, *rest = LITE0_BLOCKS[stage].split("_")
        # the first stage is cheap at any size, and has a stride of 1 in Lite0
        stride = draw_stride(trial, stage, side, free_side=max(image_size) if stage == 0 else LITE0_FREE_SIDE)
        repeats = f"r{trial.suggest_int(f'stage{stage}.repeats', 1, int(repeats[1:]))}"
        blocks.append("_".join([kind, repeats, kernel, f"s{stride}", *rest]))
        side = halved(side, stride)
    return {
        "image_size": image_size,
        "resize_mode": resize_mode,
        "backbone.kwargs.stem_stride": stem_stride,
        "backbone.kwargs.blocks": blocks,
    }


def shipped_networks(cfg: DictConfig) -> list[dict[str, Any]]:
    """Points of `nas_space` to begin with: the networks made by hand."""
    names = ("stem.width", "stage0.channels", "stage1.channels", "stage2.channels", "last_width")
    widths = [dict(zip(names, each, strict=True)) for each in TRASHNET_WIDTHS]
    return [{**TRASHNET, **width, **size} for width in widths for size in TRASHNET_INPUTS]


def shipped_cuts(cfg: DictConfig) -> list[dict[str, Any]]:
    """Points of `lite0_space` to begin with: whole stages, as the recipes have them."""
    repeats = {f"stage{stage}.repeats": int(LITE0_BLOCKS[stage].split("_")[1][1:]) for stage in range(4)}
    strides = {"stem.stride": 2, "stage0.stride": 1, **{f"stage{stage}.stride": 2 for stage in range(1, 4)}}
    size = {"input.resize_mode": "landscape"}
    return [
        {**size, "input.landscape": landscape, **repeats, **strides, "stages": stages}
        for stages in (4, 3)
        for landscape in ("48x64", "32x48", "24x36")
    ]


def draw_input(trial: Trial) -> tuple[list[int], str]:
    """Height and width, and how photographs are brought to them."""
    resize_mode = trial.suggest_categorical("input.resize_mode", ("stretch", "letterbox", "landscape"))
    if resize_mode == "landscape":
        size = [int(side) for side in trial.suggest_categorical("input.landscape", LANDSCAPES).split("x")]
    else:
        size = [trial.suggest_int("input.side", 24, 64, step=8)] * 2
    return size, resize_mode


def halved(side: int, stride: int) -> int:
    return -(-side // stride)


def draw_stride(trial: Trial, stage: int, side: int, free_side: int = FREE_SIDE) -> int:
    """1 or 2; only for a map of middling size is there a choice."""
    if side > free_side:
        return 2
    if side <= LAST_SIDE:
        return 1
    return trial.suggest_categorical(f"stage{stage}.stride", (1, 2))


def draw_block(trial: Trial, stage: int, in_channels: int, stride: int) -> tuple[str, int]:
    """The block string of a stage, and the channels that come out of it."""
    name = f"stage{stage}"
    kind = trial.suggest_categorical(f"{name}.kind", EARLY_KINDS if stage < 2 else LATE_KINDS)
    options = [f"r{trial.suggest_int(f'{name}.repeats', 1, 3)}"]
    if kind == "sn" and stride == 1:  # a shuffle unit can change its channels only where it halves the map
        channels = in_channels
    else:
        low, high, step = CHANNELS[stage]
        channels = trial.suggest_int(f"{name}.channels", low, high, step=step)
    match kind:
        case "ds" | "ir":
            options.append(f"k{trial.suggest_categorical(f'{name}.kernel', DEPTHWISE_KERNELS)}")
        case "sn":
            options.append(f"k{trial.suggest_categorical(f'{name}.shuffle_kernel', ('3', '5'))}")
        case "er":
            options.append("k3")
    options += [f"s{stride}", f"c{channels}"]
    match kind:
        case "ir":
            options.append(f"e{trial.suggest_int(f'{name}.expansion', 2, 6)}")
        case "er":
            options.append(f"e{trial.suggest_int(f'{name}.fused_expansion', 1, 2)}")
    if kind in ("ds", "ir") and trial.suggest_categorical(f"{name}.squeeze_excite", (False, True)):
        options.append("se0.25")
    if trial.suggest_categorical(f"{name}.hard_swish", (False, True)):
        options.append("nhs")
    return "_".join([kind, *options]), channels
