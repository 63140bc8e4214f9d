"""Slim networks leave the project as others do: folded, as operators for C and the page, and as ONNX."""

import pytest
import torch

from tests.unit.trashlite.compression.slimming.networks import build, images
from tests.unit.trashlite.deployment.plain import make_spec
from trashlite.compression import apply_channel_plan, fold_batchnorm, slim
from trashlite.deployment.execute import execute
from trashlite.deployment.trace import trace

SIZE = (3, 32, 48)
NETWORKS = ["shufflenetv2_x0_25", pytest.param("mobilenetv3_small_050", marks=pytest.mark.slow)]


def slim_and_folded(name: str) -> torch.nn.Module:
    dense = build(name)
    slimmer = apply_channel_plan(dense, slim(dense, [images()], images(1), 0.5)).requires_grad_(False)
    folded = fold_batchnorm(slimmer, SIZE)
    torch.testing.assert_close(folded(images()), slimmer(images()), rtol=1e-4, atol=1e-5)
    return folded


@pytest.mark.parametrize("name", NETWORKS)
def test_operators_for_c_and_the_page(name: str) -> None:
    network = slim_and_folded(name)
    torch.testing.assert_close(execute(trace(network, SIZE), images()), network(images()), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_onnx(name: str) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="make setup-deploy installs onnxruntime")
    from trashlite.deployment.onnx import FromPixels, build_model

    network, spec = slim_and_folded(name), make_spec(image_size=[32, 48])
    session = runtime.InferenceSession(build_model(network, spec).SerializeToString())
    pixels = torch.randint(256, (3, 32, 48, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    (found,) = session.run(["logits"], {"pixels": pixels.numpy()})
    expected = FromPixels(network, spec.preprocessing)(pixels)
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-5)
