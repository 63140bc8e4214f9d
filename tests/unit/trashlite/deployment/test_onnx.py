"""The ONNX export, run by the stand-alone program that lies beside it."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnxruntime", reason="make setup-deploy installs onnxruntime")
onnx = pytest.importorskip("onnx", reason="make setup-deploy installs onnx")

from tests.harness import HANGS  # noqa: E402
from trashlite.calibration import Calibration  # noqa: E402
from trashlite.deployment.onnx import INFER, export, load_infer  # noqa: E402
from trashlite.deployment.predictor import Predictor  # noqa: E402
from trashlite.deployment.spec import ExportSpec, LabelledImages  # noqa: E402

EMPTY = LabelledImages([], np.zeros((0, 16, 24, 3), np.uint8), np.zeros(0, np.int64))


@pytest.fixture(scope="module")
def predictor(tiny_checkpoint: Path) -> Predictor:
    return Predictor.from_checkpoint(tiny_checkpoint)


@pytest.fixture(scope="module")
def exported(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    spec = ExportSpec("tiny", predictor.class_names, predictor.preprocessing, [], EMPTY, EMPTY, 1.5, 0.4)
    export(predictor.network, spec, folder)
    return folder


def odd_files(folder: Path) -> list[Path]:
    """Kinds of files that programs trip over."""
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (90, 60, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees
    alpha = rgb.copy()
    alpha.putalpha(Image.fromarray(rng.integers(0, 256, (90, 60), dtype=np.uint8)))
    rgb.save(folder / "portrait.jpg", quality=90)
    rgb.resize((640, 480)).save(folder / "large.jpg", quality=90)
    rgb.save(folder / "turned.jpg", exif=exif)
    alpha.save(folder / "alpha.png")
    rgb.quantize(16).save(folder / "palette.png")
    rgb.convert("L").save(folder / "grey.png")
    Image.fromarray(rng.integers(0, 65536, (40, 50), dtype=np.uint16)).save(folder / "deep.png")
    Image.fromarray(rng.integers(0, 4096, (40, 50), dtype=np.uint16)).save(folder / "camera12.png")
    floats = rng.random((40, 50), dtype=np.float32)
    floats[0, 0] = np.nan
    Image.fromarray(floats).save(folder / "floats.tif")
    Image.fromarray(floats * 300).save(folder / "large_floats.tif")
    Image.fromarray(rng.integers(-500, 100_000, (40, 50), dtype=np.int32)).save(folder / "integers.tif")
    rgb.convert("CMYK").save(folder / "cmyk.jpg")
    return sorted(folder.iterdir())


def test_the_same_logits_from_any_raw_file_on(predictor: Predictor, exported: Path, tmp_path: Path) -> None:
    classifier = load_infer(exported).Classifier(exported / "model.onnx")
    files = odd_files(tmp_path)
    pixels = [classifier.pixels(file) for file in files]
    for file, found in zip(files, pixels, strict=True):
        np.testing.assert_array_equal(found, predictor.pixels(file), err_msg=file.name)
    np.testing.assert_allclose(classifier.logits(np.stack(pixels)), predictor.logits(np.stack(pixels)), atol=1e-4)


@pytest.mark.parametrize("mode", ["stretch", "letterbox", "landscape"])
@pytest.mark.parametrize("kernel", ["bilinear", "box"])
def test_infer_resizes_as_training_does(
    predictor: Predictor, exported: Path, tmp_path: Path, mode: str, kernel: str
) -> None:
    classifier = load_infer(exported).Classifier(exported / "model.onnx")
    classifier.preprocessing = {**predictor.preprocessing, "resize_mode": mode, "kernel": kernel}
    ours = Predictor(predictor.network, predictor.class_names, classifier.preprocessing)
    for file in odd_files(tmp_path):
        np.testing.assert_array_equal(classifier.pixels(file), ours.pixels(file), err_msg=file.name)
        frame = np.asarray(Image.open(file).convert("RGB"))
        np.testing.assert_array_equal(classifier.pixels(frame), ours.pixels(frame), err_msg=file.name)
        np.testing.assert_array_equal(classifier.pixels(io.BytesIO(file.read_bytes())), ours.pixels(file))
        with Image.open(file) as image:
            size = image.size
            classifier.pixels(image)
            assert image.size == size  # it is its owner's


def test_model_says_all_about_itself_and_nothing_about_the_machine(exported: Path) -> None:
    model = onnx.load(exported / "model.onnx")
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said["class_names"] == '["Glass", "Metal", "Plastic bag"]'
    assert (said["temperature"], said["threshold"]) == ("1.5", "0.4")
    assert '"kernel": "bilinear"' in said["preprocessing"]
    content = (exported / "model.onnx").read_bytes()
    for trace in (b"site-packages", b".py", str(Path(__file__).parents[4]).encode()):
        assert trace not in content
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    assert batch.dim_param
    assert not batch.dim_value


def test_stand_alone_program_tells_of_a_missing_file_in_a_line(exported: Path) -> None:
    command = [sys.executable, str(exported / "infer.py"), "none.jpg"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANGS, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("none.jpg: ")


def test_stand_alone_program_needs_neither_torch_nor_us(exported: Path, tiny_root: Path, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('torch must not be imported')")
    (tmp_path / "trashlite.py").write_text("raise ImportError('trashlite must not be imported')")
    image = tiny_root / "val" / "Metal" / "000.jpg"
    command = [sys.executable, str(exported / "infer.py"), str(image)]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=True,
    )
    assert done.stdout.startswith(f"{image} Metal 0.")
    assert len(INFER.read_text().splitlines()) <= 80


def test_probabilities_are_those_of_the_predictor(predictor: Predictor, exported: Path, tiny_root: Path) -> None:
    ours = Predictor(predictor.network, predictor.class_names, predictor.preprocessing, Calibration(1.5, 0.4))
    classify = load_infer(exported).Classifier(exported / "model.onnx")
    for file in sorted((tiny_root / "val").rglob("*.jpg")):
        label, probability = classify(file)
        expected = ours(file)
        assert label == expected.label
        assert probability == pytest.approx(expected.probability, abs=1e-5)
