from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFilter

from trashlite.data.audit import measures
from trashlite.data.audit.measures import border_features, measure, measure_files


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    Image.fromarray(array.astype(np.uint8)).save(path, **options)
    return path


def test_figures_of_a_file(tmp_path: Path) -> None:
    picture = np.full((60, 100, 3), 255)
    picture[20:40, 30:70] = (200, 0, 0)
    found = measure(save(tmp_path / "a.png", picture))
    assert (found.width, found.height, found.why, found.oddities) == (100, 60, "", ())
    share = 20 * 40 / 6000
    assert found.brightness == pytest.approx(255 * (1 - share) + 0.299 * 200 * share, abs=0.01)
    assert found.contrast == pytest.approx(255 - 0.299 * 200, abs=0.01)
    assert found.border[:12].tolist() == [255.0] * 12
    assert found.border[12:].tolist() == [0, 0, 0, 0, 1, 0]
    assert (found.thumbnail.shape, found.pixels.shape) == ((32, 32, 3), (96, 96, 3))


def test_border_is_the_ring_of_four_sides() -> None:
    image = np.zeros((40, 50, 3), np.float32)
    image[0] = (240, 250, 240)
    means = border_features(image)
    assert means[:3].tolist() == [240, 250, 240]
    assert means[3:12].max() == 0
    ring = 40 * 50 - 38 * 48
    assert means[16] == pytest.approx(50 / ring)
    assert means[17] == pytest.approx(1 - 50 / ring)


def test_a_blurred_copy_is_less_sharp_whatever_its_contrast(tmp_path: Path) -> None:
    sharp = Image.fromarray(np.random.default_rng(0).integers(0, 2, (12, 12), np.uint8) * 255).resize((120, 120), 0)
    blurred = sharp.filter(ImageFilter.GaussianBlur(8))
    for name, image in {
        "sharp": sharp,
        "blurred": blurred,
        "faint": sharp.point(lambda value: 100 + value // 8),
    }.items():
        image.save(tmp_path / f"{name}.png")
    figures = {path.stem: measure(path).sharpness for path in tmp_path.iterdir()}
    assert figures["faint"] == pytest.approx(figures["sharp"], rel=0.1)
    assert figures["sharp"] > 0.9
    assert figures["blurred"] < 0.1


def test_oddities_and_unreadable_files_are_told(tmp_path: Path) -> None:
    grey = np.full((30, 50), 90)
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    save(tmp_path / "turned.jpg", grey, exif=turned)
    save(tmp_path / "really.jpg", grey, format="PNG")
    Image.new("RGBA", (9, 9), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("CMYK", (9, 9)).save(tmp_path / "print.jpg")
    Image.new("RGB", (9, 9)).save(tmp_path / "many.gif", save_all=True, append_images=[Image.new("RGB", (9, 9), "red")])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "turned.jpg").read_bytes()[:-400])
    (tmp_path / "folder.jpg").mkdir()
    found = {path.name: measure(path) for path in tmp_path.iterdir()}
    found["gone.jpg"] = measure(tmp_path / "gone.jpg")
    assert (found["turned.jpg"].width, found["turned.jpg"].height) == (30, 50)
    assert found["turned.jpg"].oddities == ("turned by EXIF", "grey")
    assert "PNG inside a .jpg" in found["really.jpg"].oddities
    assert "transparent" in found["clear.png"].oddities
    assert "CMYK" in found["print.jpg"].oddities
    assert "several frames" in found["many.gif"].oddities
    assert {name for name, each in found.items() if each.why} == {"empty.jpg", "cut.jpg", "folder.jpg", "gone.jpg"}


def test_processes_give_what_one_gives_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [save(tmp_path / f"{number}.png", np.full((8, 8 + number, 3), 9)) for number in range(12)]
    expected = [each.width for batch in measure_files(paths) for each in batch]
    monkeypatch.setattr(measures, "FEW", 4)
    monkeypatch.setattr(measures, "BATCH", 3)
    batches = list(measure_files(paths))
    assert [len(batch) for batch in batches] == [3, 3, 3, 3]
    assert [each.width for batch in batches for each in batch] == expected == list(range(8, 20))
