"""The int8 export: quantised per channel, and back to float32 where it loses too much."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("onnxruntime", reason="make setup-deploy installs onnxruntime")
onnx = pytest.importorskip("onnx", reason="make setup-deploy installs onnx")

from trashlite.deployment.data import open_labelled  # noqa: E402
from trashlite.deployment.int8 import Quantiser, export, run_model  # noqa: E402
from trashlite.deployment.onnx import build_model  # noqa: E402
from trashlite.deployment.predictor import Predictor  # noqa: E402
from trashlite.deployment.spec import ExportSpec, LabelledImages  # noqa: E402
from trashlite.errors import UserError  # noqa: E402
from trashlite.network import build_network, read_checkpoint  # noqa: E402


def make_spec(checkpoint: Path, root: Path, cache: Path, max_drop: float) -> tuple[Predictor, ExportSpec]:
    predictor = Predictor.from_checkpoint(checkpoint)
    train, val = open_labelled(read_checkpoint(checkpoint), root, cache)
    return predictor, ExportSpec(
        "tiny", predictor.class_names, predictor.preprocessing, [], train, val, max_drop=max_drop
    )


def test_quantised_weights_have_a_scale_for_each_channel(
    tiny_checkpoint: Path, tiny_root: Path, tmp_path: Path
) -> None:
    predictor, spec = make_spec(tiny_checkpoint, tiny_root, tmp_path / "cache", max_drop=1.0)
    made = export(predictor.network, spec, tmp_path)
    assert made.notes == ()
    model = onnx.load(tmp_path / "model.onnx")
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    scales = {
        node.input[0]: tensors[node.input[1]].size
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and tensors.get(node.input[0], np.zeros(0)).ndim == 4
    }
    assert {tensors[name].dtype for name in scales} == {np.dtype(np.int8)}
    assert scales == {name: len(tensors[name]) for name in scales}
    reference = predictor.logits(spec.val.pixels)
    found = made.logits(spec.val.files)
    assert np.abs(found - reference).mean() < 0.05 * np.abs(reference).mean()


def test_a_drop_that_cannot_be_held_and_no_images_to_calibrate_with(
    tiny_checkpoint: Path, tiny_root: Path, tmp_path: Path
) -> None:
    predictor, spec = make_spec(tiny_checkpoint, tiny_root, tmp_path / "cache", max_drop=-1.0)
    with pytest.raises(UserError, match=r"cannot hold a drop of -1\.0 even with all layers in float32"):
        export(predictor.network, spec, tmp_path)
    none = LabelledImages([], spec.train.pixels[:0], spec.train.targets[:0])
    empty = ExportSpec("tiny", spec.class_names, spec.preprocessing, [], none, spec.val)
    with pytest.raises(UserError, match="needs training images"):
        export(predictor.network, empty, tmp_path)


def test_a_layer_goes_back_to_float_with_its_activation_and_gate(
    tiny_checkpoint: Path, tiny_root: Path, tmp_path: Path
) -> None:
    _, spec = make_spec(tiny_checkpoint, tiny_root, tmp_path / "cache", max_drop=0.0)
    kwargs = {"blocks": ["ds_r1_k3_s2_c8", "ir_r2_k3_s2_e2_c12_se0.25"], "act_layer": "hard_swish", "stem_size": 8}
    backbone = {"name": "block_net", "kwargs": kwargs, "pretrained": False, "weights": None}
    torch.manual_seed(0)
    network = build_network(backbone, len(spec.class_names)).eval()
    torch.nn.init.normal_(network.classifier.weight)  # an untrained one gives logits near 0, and so do its errors
    onnx.save(build_model(network, spec), tmp_path / "float.onnx")
    quantiser = Quantiser(tmp_path / "float.onnx", spec)
    np.testing.assert_allclose(run_model(quantiser.quantise(quantiser.layers), spec.val.pixels), quantiser.expected)
    rounded = run_model(quantiser.quantise([]), spec.val.pixels)
    assert np.abs(rounded - quantiser.expected).max() > 1e-4
