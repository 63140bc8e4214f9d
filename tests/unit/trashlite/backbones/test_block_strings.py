"""The grammar of block strings: what it reads, and what it refuses with which words."""

import pytest

from trashlite.backbones.block_strings import decode_block, decode_blocks
from trashlite.errors import UserError


def test_options_are_read() -> None:
    first, second = decode_block("ir_r2_k3.5.7_s2_e1.5_c24_se0.25_nhs_noskip")
    assert first == second
    assert first["dw_kernel_size"] == [3, 5, 7]
    assert (first["stride"], first["exp_ratio"], first["out_chs"], first["se_ratio"]) == (2, 1.5, 24, 0.25)
    assert first["noskip"] is True
    assert "hard" in str(first["act_layer"]).lower()
    (pool,) = decode_block("mp_k3_s2")
    assert (pool["block_type"], pool["kernel_size"], pool["stride"]) == ("mp", 3, 2)
    (unit,) = decode_block("sn_r1_k5_s2_c48")
    assert (unit["block_type"], unit["kernel_size"], unit["out_chs"]) == ("sn", 5, 48)


@pytest.mark.parametrize(("multiplier", "repeats"), [(0.1, 1), (1.0, 3), (1.1, 4), (2.0, 6)])
@pytest.mark.parametrize("kind", ["ds", "sn"])
def test_depth_multiplier_rounds_repeats_up(kind: str, multiplier: float, repeats: int) -> None:
    assert len(decode_block(f"{kind}_r3_k3_s1_c16", multiplier)) == repeats


def test_a_stage_is_a_string_or_a_list() -> None:
    stages = decode_blocks(["ds_r1_k3_s2_c16", ["er_r2_k3_s2_e2_c24", "cn_r1_k1_s1_c32"]])
    assert [[args["block_type"] for args in stage] for stage in stages] == [["ds"], ["er", "er", "cn"]]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("xy_r1_k3_s1_c8", "no kind 'xy'"),
        ("ds_r1_k3_s1", "needs c"),
        ("ds_k3_c16", "needs r, s"),
        ("ds_r1_k4_s1_c16", "'k4'"),
        ("ds_r1_k3_s3_c16", "'s3'"),
        ("ds_r1_k3_s1_cx", "'cx'"),
        ("ds_r0_k3_s1_c16", "'r0'"),
        ("cn_r1_k3.5_s1_c16", "'k3.5'"),
        ("ir_r1_k3_s1_c16", "needs e"),
        ("ir_r1_k3_s1_e3_c16_nzz", "'nzz'"),
        ("ir_r1_k3_s1_e3_c16_q4", "'q4'"),
        ("ir_r1_k3_s1_e3_c16_c24", "twice"),
        ("cn_r1_k3_s1_c16_se0.25", "no option of cn"),
        ("mp_r2_k3_s2", "no option of mp"),
        ("", "no kind ''"),
    ],
)
def test_a_bad_block_is_named_with_the_grammar(text: str, why: str) -> None:
    with pytest.raises(UserError) as error:
        decode_blocks(["ds_r1_k3_s1_c8", text])
    message = str(error.value)
    assert why in message.splitlines()[0]
    assert repr(text) in message
    assert "squeeze-excite ratio" in message


@pytest.mark.parametrize("blocks", [[], "ds_r1_k3_s1_c8", [[]], [3], [["ds_r1_k3_s1_c8", 3]]])
def test_blocks_of_another_form_are_refused(blocks: list) -> None:
    with pytest.raises(UserError, match="list of"):
        decode_blocks(blocks)


def test_a_stride_inside_a_stage_is_refused() -> None:
    with pytest.raises(UserError, match=r"mp_k2_s2.*stage of its own"):
        decode_blocks([["ds_r1_k3_s2_c16", "mp_k2_s2"]])
