"""The page's JavaScript under Node compared with torch and Pillow, and the page itself in Chromium."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.unit.trashlite.deployment.plain import SIZES, every_operator, make_spec
from trashlite.data.decode import decode, decode_settings, resize
from trashlite.data.preprocess import preprocess
from trashlite.deployment.page import model_content, page, portions, run_node

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")


@needs_node
@pytest.mark.parametrize("kernel", ["bilinear", "box"])
@pytest.mark.parametrize("mode", ["stretch", "letterbox", "landscape"])
def test_raw_frames_give_pillows_pixels_and_torchs_logits(mode: str, kernel: str) -> None:
    spec, network = make_spec(resize_mode=mode, kernel=kernel), every_operator()
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]
    made = run_node(model_content(network, spec), frames)
    for frame, pixels, logits in zip(frames, made["pixels"], made["logits"], strict=True):
        expected = resize(Image.fromarray(frame), **decode_settings(spec.preprocessing))
        got = np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(expected.shape)
        np.testing.assert_array_equal(got, expected, err_msg=str(frame.shape))
        batch = preprocess(torch.from_numpy(expected.copy())[None], spec.preprocessing)
        np.testing.assert_allclose(logits, network(batch)[0], rtol=0, atol=1e-4)


def test_images_come_in_portions_that_node_can_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trashlite.deployment.page.PORTION", 25)
    images = [np.zeros(size, np.uint8) for size in (10, 15, 1, 30, 2)]
    assert [[image.size for image in few] for few in portions(images)] == [[10, 15], [1], [30], [2]]
    assert list(portions([])) == []


def test_the_page_asks_nobody_and_no_name_breaks_it(tmp_path: Path) -> None:
    spec = make_spec()
    text = page(model_content(every_operator(), spec), spec)
    assert "http" not in text.replace("http://www.w3.org", "")
    assert text.count("</script>") == 1
    assert "<!--" not in text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium here")
def test_chromium_says_what_torch_does(tmp_path: Path) -> None:
    """Files dropped on the page: a portrait, and a transparent one, which lies on white."""
    spec, network = make_spec(), every_operator()
    rng = np.random.default_rng(0)
    for name, (height, width, channels) in {"portrait": (97, 61, 3), "transparent": (40, 50, 4)}.items():
        frame = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
        if channels == 4:
            frame[..., 3] = np.where(frame[..., 3] < 128, 0, 255)
        file = tmp_path / f"{name}.png"
        Image.fromarray(frame).save(file)
        encoded = base64.b64encode(file.read_bytes()).decode()
        probe = (
            f"<script>open(new File([Uint8Array.from(atob('{encoded}'), (c) => c.charCodeAt(0))], 'a.png'))"
            ".then(() => (document.title = JSON.stringify(window.lastLogits)));</script></body>"
        )
        path = tmp_path / f"{name}.html"
        path.write_text(page(model_content(network, spec), spec).replace("</body>", probe), encoding="utf-8")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom"]
        result = subprocess.run(["chromium", *flags, path.as_uri()], capture_output=True, text=True, check=True)
        title = result.stdout.partition("<title>")[2].partition("</title>")[0]
        pixels = decode(file, **decode_settings(spec.preprocessing))
        expected = network(preprocess(torch.from_numpy(pixels.copy())[None], spec.preprocessing))[0]
        np.testing.assert_allclose(json.loads(title), expected, rtol=0, atol=1e-4)
