"""Reading block strings: timm's own, and pooling and shuffle units beside them."""

import math
import re
from collections.abc import Sequence
from typing import Any

from timm.models._efficientnet_builder import decode_arch_def

from trashlite.errors import UserError

_COUNT = r"[1-9]\d*"
_RATIO = r"\d+(\.\d+)?"
# Even kernels would shrink the feature map and so break the skip connection.
_ODD = r"\d*[13579]"
_MIXED = rf"{_ODD}(\.{_ODD})*"
_BASE = {"r": _COUNT, "k": _MIXED, "s": "[12]", "c": _COUNT}
_ONE_KERNEL = _BASE | {"k": _ODD}
_POOL = {"k": _COUNT, "s": "[12]"}
_SHARED = {"n": "re|r6|hs|sw|mi", "gs": r"\d+"}
_RESIDUAL = _SHARED | {"se": _RATIO, "p": _MIXED, "noskip": ""}

# kind -> options it must have, options it may have; each option with the pattern of its value
GRAMMAR: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "cn": (_ONE_KERNEL, _SHARED | {"skip": ""}),
    "ds": (_BASE, _RESIDUAL | {"e": "1"}),
    "dsa": (_BASE, _RESIDUAL | {"e": "1"}),
    "ir": (_BASE | {"e": _RATIO}, _RESIDUAL | {"a": _MIXED}),
    "er": (_BASE | {"e": _RATIO}, _RESIDUAL),
    "sn": (_ONE_KERNEL, {"n": _SHARED["n"]}),
    "mp": (_POOL, {}),
    "ap": (_POOL, {}),
}

GRAMMAR_HELP = """\
A block is KIND_option_option…, for example ir_r2_k3_s2_e3_c24_se0.25_nhs. Kinds:
  cn   convolution, BatchNorm, activation       r k s c   [n gs skip]
  ds   depthwise, then linear 1x1 (dsa: active)  r k s c   [n gs se p noskip]
  ir   inverted residual (MBConv)               r k s e c [n gs se a p noskip]
  er   edge residual (FusedMBConv)              r k s e c [n gs se p noskip]
  sn   ShuffleNetV2 unit                        r k s c   [n]
  mp   max pooling, ap: average pooling         k s
Options: r repeats, k odd kernel (k3.5.7 mixes several, not in cn and sn; pools take even ones too), s stride
  1 or 2 (the repeats have 1), e expansion ratio, c output channels, se squeeze-excite ratio, n activation
  (re r6 hs sw mi), gs channels in a group (0 dense, 1 depthwise), a and p first and last kernel (1)."""


def _bad(text: object, why: str) -> UserError:
    return UserError(f"bad block {text!r}: {why}.\n{GRAMMAR_HELP}")


def _parse(text: str) -> tuple[str, dict[str, str]]:
    kind, *ops = text.split("_")
    if kind not in GRAMMAR:
        raise _bad(text, f"there is no kind {kind!r}, the kinds are {', '.join(GRAMMAR)}")
    required, optional = GRAMMAR[kind]
    patterns = required | optional
    options: dict[str, str] = {}
    for op in ops:
        match = re.fullmatch(r"(noskip|skip|se|gs|[acekprsn])(.*)", op)
        if match is None or match[1] not in patterns:
            raise _bad(text, f"{op!r} is no option of {kind}")
        name, value = match.groups()
        if name in options:
            raise _bad(text, f"{name!r} stands there twice")
        if not re.fullmatch(patterns[name], value):
            raise _bad(text, f"{op!r} has no valid value")
        options[name] = value
    missing = [name for name in required if name not in options]
    if missing:
        raise _bad(text, f"{kind} needs {', '.join(missing)}")
    return kind, options


def decode_block(text: str, depth_multiplier: float = 1.0) -> list[dict[str, Any]]:
    """Arguments for timm's builder, one dict for each repeat of the block.

    `depth_multiplier` scales the repeats, rounded up. Raises UserError with the grammar for a bad string.
    """
    kind, options = _parse(text)
    if kind in ("mp", "ap"):
        args = {"block_type": kind, "kernel_size": int(options["k"]), "stride": int(options["s"])}
        return [{**args, "text": text}]
    if kind == "sn":
        # timm knows no shuffle unit; its `cn` takes the same options.
        decoded = decode_block("cn" + text.removeprefix("sn"), depth_multiplier)
        return [{**args, "block_type": "sn", "text": text} for args in decoded]
    return [{**args, "text": text} for args in decode_arch_def([[text]], depth_multiplier)[0]]


def decode_blocks(blocks: Sequence[str | Sequence[str]], depth_multiplier: float = 1.0) -> list[list[dict[str, Any]]]:
    """Arguments for timm's builder from stages, each one block string or a list of them.

    Raises UserError for a bad string, and for a stride of 2 that does not open its stage (timm's builder
    would silently make it 1).
    """
    if isinstance(blocks, str) or not blocks:
        raise _bad(blocks, "`blocks` is a list of stages, each a block string or a list of block strings")
    if not (depth_multiplier > 0 and math.isfinite(depth_multiplier)):
        raise UserError(f"depth_multiplier is a positive number, not {depth_multiplier}")
    stages = []
    for stage in blocks:
        texts = [stage] if isinstance(stage, str) else stage
        if not isinstance(texts, Sequence) or not texts or not all(isinstance(text, str) for text in texts):
            raise _bad(stage, "a stage is a block string or a list of block strings")
        decoded = [decode_block(text, depth_multiplier) for text in texts]
        for text, args in zip(texts[1:], decoded[1:], strict=True):
            if args[0]["stride"] > 1:
                raise _bad(text, "a stride of 2 must open a stage of its own")
        stages.append([args for repeats in decoded for args in repeats])
    return stages
