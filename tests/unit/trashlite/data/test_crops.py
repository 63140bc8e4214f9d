import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trashlite.data import crops
from trashlite.data.categories import read_categories
from trashlite.data.coco import area, read_coco
from trashlite.data.crop_plan import Crop, CropSettings, crop_corners
from trashlite.data.crops import main, make_crops, sample
from trashlite.data.photograph import PhotographFile
from trashlite.errors import UserError

CATEGORIES = [{"id": 1, "name": "Can"}, {"id": 2, "name": "Bag"}, {"id": 3, "name": "Leaf"}]
Made = Callable[..., tuple[Path, Path]]


@pytest.fixture
def coco(tmp_path: Path) -> Made:
    """Function that writes twelve photographs, black with a white rectangle in each box, and their annotations."""

    def make(extra: list[Any] | None = None, suffix: str = ".jpg", **changes: Any) -> tuple[Path, Path]:
        folder = tmp_path / "photographs"
        folder.mkdir(exist_ok=True)
        images, annotations = [], []
        for number in range(12):
            pixels = np.zeros((120, 200, 3), np.uint8)
            for which, (left, top) in enumerate([(20, 30), (120, 40)]):
                pixels[top : top + 40, left : left + 60] = 255
                entry = {"id": 10 * number + which, "image_id": number, "category_id": 1 + which % 2}
                annotations.append({**entry, "bbox": [left, top, 60, 40], "area": 2400, "iscrowd": 0})
            Image.fromarray(pixels).save(folder / f"{number}{suffix}")
            images.append({"id": number, "file_name": f"{number}{suffix}", "width": 200, "height": 120})
        content = {"images": images, "annotations": [*annotations, *(extra or [])], "categories": CATEGORIES, **changes}
        file = tmp_path / "annotations.json"
        file.write_text(json.dumps(content))
        return file, folder

    return make


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_crops_hold_their_boxes_and_a_photograph_is_in_one_part(coco: Made, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = make_crops(*coco(suffix=".png"), out, settings=CropSettings(val=0.25))
    listed = rows(out / "crops.csv")
    assert result["objects"] == len(listed) == 24 == len(list(out.glob("*/*/*.png")))
    for row in listed:
        pixels = np.asarray(Image.open(out / row["file"]))[..., 0]
        # 10 % of the longer side, 6 pixels, on each side of 60 x 40
        assert pixels.shape == (52, 72)
        assert (pixels[6:-6, 6:-6] == 255).all()
        assert pixels.sum() == 255 * 2400
        assert row["file"] == f"{row['part']}/{row['class']}/{row['image_id']}_{row['annotation_id']}.png"
    parts = {row["image_id"]: set() for row in listed}
    for row in listed:
        parts[row["image_id"]].add(row["part"])
    assert all(len(found) == 1 for found in parts.values())
    assert sum(found == {"val"} for found in parts.values()) == 3
    assert (out / "contact_sheet.jpg").is_file()


def test_every_object_is_accounted_for(coco: Made, tmp_path: Path) -> None:
    base = {"image_id": 0, "category_id": 1, "bbox": [20, 30, 60, 40]}
    odd = [
        {**base, "id": 500, "category_id": 3},
        {**base, "id": 501, "iscrowd": 1},
        {**base, "id": 502, "bbox": [400, 30, 60, 40]},
        {**base, "id": 503, "bbox": [20, 30, 0, 40]},
        {**base, "id": 504, "bbox": [20, 30, 10, 10]},
        {**base, "id": 505, "bbox": [20, None, 10, 10]},
        {**base, "id": 511, "bbox": [20, 30, 1e300, 40]},
        {**base, "id": 506, "image_id": 99},
        {**base, "id": 507, "category_id": 99},
        {**base, "id": 0},
        {**base, "id": "../../evil"},
        {**base, "id": 508, "image_id": 700},
        {**base, "id": 509, "image_id": 701},
        {**base, "id": 510, "bbox": [170, 90, 60, 60]},
        "no annotation",
    ]
    file, folder = coco(odd)
    content = json.loads(file.read_text())
    content["images"] += [{"id": 700, "file_name": "gone.jpg"}, {"id": 701, "file_name": "broken.jpg"}]
    file.write_text(json.dumps(content))
    (folder / "broken.jpg").write_bytes(b"no image")
    categories = tmp_path / "map.yaml"
    categories.write_text("Metal: Can\nPlasticbag: [Bag]\n")
    out = tmp_path / "out"
    result = make_crops(file, folder, out, categories)
    assert result["left_out"] == {
        "its category is not in the map": 1,
        "crowd": 1,
        "box outside the image": 1,
        "zero area": 1,
        "smaller than 24 pixels": 1,
        "no usable box": 2,
        "its image is not in the annotation file": 1,
        "its category is not in the annotation file": 1,
        "duplicate annotation id": 1,
        "no usable id": 2,
        "no such image file": 1,
        "its image cannot be read (not an image)": 1,
    }
    assert result["objects"] == 24 + len(odd) == len(rows(out / "crops.csv")) + len(rows(out / "left_out.csv"))
    assert result["notes"] == {"boxes clipped at the edge": 1}
    assert result["unmapped"] == {"Leaf": 1}
    assert {path.name for path in (out / "train").iterdir()} == {"Metal", "Plasticbag"}


def test_objects_of_no_class_may_go_to_unknown(coco: Made, tmp_path: Path) -> None:
    categories = tmp_path / "map.yaml"
    categories.write_text("Metal: Can\n")
    result = make_crops(*coco(), tmp_path / "out", categories, CropSettings(keep_unmapped=True))
    assert result["images"]["unknown"] == {"unknown": 12}
    assert len(list((tmp_path / "out" / "unknown").glob("*.jpg"))) == 12


# A mirrored image has the size of the upright one: its boxes count as upright.
@pytest.mark.parametrize("suffix", [".png", ".tif"])  # Pillow turns a TIFF's size before anybody asks
@pytest.mark.parametrize(
    ("orientation", "told"),
    [
        (number, told)
        for number in range(1, 9)
        for told in ("upright", "lying", "half")
        if told != "lying" or number > 4
    ],
)
def test_boxes_follow_the_orientation(coco: Made, tmp_path: Path, orientation: int, told: str, suffix: str) -> None:
    """The white rectangle is found whole, whichever image the annotations are for."""
    upright = np.zeros((100, 160, 3), np.uint8)
    upright[20:60, 90:150] = 255
    # How a camera lays down what has this orientation: the inverse of what Pillow's table does.
    lay = [None, None, 0, 3, 1, 5, 2, 6, 4][orientation]
    raw = Image.fromarray(upright) if lay is None else Image.fromarray(upright).transpose(Image.Transpose(lay))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file, folder = coco()
    raw.save(folder / f"0{suffix}", exif=exif)
    lying = np.asarray(raw)[..., 0] == 255
    box = {"upright": (90, 20, 60, 40), "half": (45, 10, 30, 20)}.get(told)
    width, height = {"upright": (160, 100), "half": (80, 50), "lying": raw.size}[told]
    if told == "lying":
        y, x = np.nonzero(lying)
        box = (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)
    assert box is not None
    content = json.loads(file.read_text())
    content["images"] = [{"id": 0, "file_name": f"0{suffix.upper()}", "width": width, "height": height}]
    content["annotations"] = [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [int(side) for side in box]}]
    file.write_text(json.dumps(content))
    make_crops(file, folder, tmp_path / "out", settings=CropSettings(val=0, pad=0))
    [crop] = (tmp_path / "out/train/Can").iterdir()
    pixels = np.asarray(Image.open(crop))
    assert pixels.shape == (40, 60, 3)
    assert (pixels == 255).all()


def test_crops_of_one_file_name_do_not_overwrite_each_other(coco: Made, tmp_path: Path) -> None:
    images = [{"id": name, "file_name": "0.jpg", "width": 200, "height": 120} for name in ("s_1", "s")]
    objects = [
        {"id": name, "image_id": image, "category_id": 1, "bbox": [20, 30, 60, 40]}
        for name, image in (("7", "s_1"), ("1_7", "s"), ("a", "s"), ("A", "s"))  # on some disks, A is a
    ]
    result = make_crops(*coco(images=images, annotations=objects), tmp_path / "out", settings=CropSettings(val=0))
    assert result["images"] == {"Can": {"train": 2}}
    assert result["left_out"] == {"another crop has its file name": 2}
    assert len(list((tmp_path / "out").glob("train/*/*"))) == 2


def test_the_photograph_of_the_very_name_is_taken_before_one_of_another_case(tmp_path: Path) -> None:
    for name in ("0.JPG", "0.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name, "JPEG")
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this disk does not tell cases apart")
    found = PhotographFile.below(tmp_path, ["0.JPG", "0.jpg", "0.Jpg"])
    assert [found[name].path.name for name in ("0.JPG", "0.jpg")] == ["0.JPG", "0.jpg"]
    assert "0.Jpg" in found


def test_photographs_behind_links_and_other_spellings_are_found(coco: Made, tmp_path: Path) -> None:
    file, folder = coco()
    batch = tmp_path / "batch"
    batch.mkdir()
    composed, split = "\uc720.jpg", "\u110b\u1172.jpg"  # one syllable, and its two letters
    (folder / "0.jpg").rename(batch / split)
    (folder / "linked").symlink_to(batch)
    (folder / "1.jpg").unlink()
    (folder / "1.jpg").symlink_to("nowhere.jpg")
    content = json.loads(file.read_text())
    content["images"][0]["file_name"] = f"linked/{composed}"
    file.write_text(json.dumps(content))
    assert make_crops(file, folder, tmp_path / "out")["left_out"] == {"no such image file": 2}  # behind the dead link


def test_annotations_for_another_shape_of_the_photograph_are_left_out(coco: Made, tmp_path: Path) -> None:
    file, folder = coco()
    content = json.loads(file.read_text())
    content["images"][0]["height"] = 122  # of 120: rounded by some program
    content["images"][1]["height"] = 132
    file.write_text(json.dumps(content))
    result = make_crops(file, folder, tmp_path / "out", settings=CropSettings(val=0))
    assert result["left_out"] == {"the annotations are for another image size": 2}


def test_a_second_run_changes_nothing_and_other_settings_are_refused(coco: Made, tmp_path: Path) -> None:
    file, folder = coco()
    out = tmp_path / "out"
    first = make_crops(file, folder, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert make_crops(file, folder, out) == first
    with pytest.raises(UserError, match="not made from the same"):
        make_crops(file, folder, out, settings=CropSettings(pad=0.3))
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert {path.name for path in tmp_path.iterdir()} == {"out", "photographs", "annotations.json"}


@pytest.mark.parametrize("content", ["{", "[]", '{"images": [], "annotations": []}', "[" * 100_000])
def test_a_broken_annotation_file_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "broken.json"
    file.write_text(content)
    with pytest.raises(UserError, match=r"broken\.json"):
        make_crops(file, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("Metal: [Can]\nPaper: [Can]", "two classes"),
        ("../x: [Can]", "cannot be called"),
        ("Metal: [Tin]", "names no category"),
        ("[Can]", "must hold lines"),
        ("Metal: {Can: 1}", "gives 'Metal' something else than a list"),
        ("Metal: [Can, Paper: Carton]", "gives 'Metal' something else than a list"),
        ("a: [", "no YAML"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(coco: Made, tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "map.yaml").write_text(content)
    with pytest.raises(UserError, match=why):
        make_crops(*coco(), tmp_path / "out", tmp_path / "map.yaml")


def test_names_of_a_map_are_texts_whatever_yaml_makes_of_them(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("no: [Off]\n1.0: 12\n")
    assert read_categories(tmp_path / "map.yaml", ["Off", "12"]) == {"Off": "no", "12": "1.0"}


@pytest.mark.parametrize("val", [0.0, 0.3])
def test_no_crop_at_all_is_told_with_the_reasons(
    coco: Made, tmp_path: Path, capsys: pytest.CaptureFixture, val: float
) -> None:
    file, _ = coco()
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit):
        main([str(file), str(tmp_path / "empty"), str(tmp_path / "out"), f"--val={val}"])
    said = capsys.readouterr().err
    assert said.startswith("None of ")
    assert ": no such image file\n" in said
    assert not (tmp_path / "out").exists()


def test_the_least_side_is_allowed(coco: Made, tmp_path: Path) -> None:
    """Boxes are of 60 x 40 pixels."""
    settings = CropSettings(pad=0, min_side=40)
    assert make_crops(*coco(), tmp_path / "out", settings=settings)["left_out"] == {}
    with pytest.raises(UserError, match=r"gives a crop\.\n24: smaller than 41 pixels"):
        make_crops(*coco(), tmp_path / "out2", settings=settings._replace(min_side=41))


def test_too_few_photographs_for_the_parts(coco: Made, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="too few to be shared out over train, val: give a share of 0"):
        make_crops(*coco(), tmp_path / "out", settings=CropSettings(group_by="folder"))


def test_corners_are_clipped() -> None:
    assert crop_corners((10.4, 20, 20, 50), (100, 100), 0.1) == (5, 15, 36, 75)
    assert crop_corners((-5, 80, 20, 50), (100, 100), 0) == (0, 80, 15, 100)
    assert crop_corners((100, 0, 20, 50), (100, 100), 0.5) is None


def test_areas() -> None:
    box = (0, 0, 10, 10)
    assert area({"area": 42}, box) == 42
    assert area({"segmentation": [[0, 0, 4, 0, 4, 3]]}, box) == 6
    assert area({"segmentation": {"counts": [5, 7, 8, 9], "size": [10, 10]}}, box) == 16
    assert area({"area": -1, "segmentation": [["x"]]}, box) == 100


def test_odd_image_and_category_entries_are_notes(coco: Made) -> None:
    file, _ = coco()
    content = json.loads(file.read_text())
    content["images"] += [{"id": 0, "file_name": "again.jpg"}, {"id": None}, 5, {"id": True, "file_name": "x.jpg"}]
    content["categories"] += [{"id": 1, "name": "Tin"}, {"id": 8}, {"id": 9, "name": "x\ud800"}]
    file.write_text(json.dumps(content))
    found = read_coco(file)
    assert len(found.objects) == 24
    assert dict(found.notes) == {
        "images with the id of another, which counts": 1,
        "images without a usable id or file name": 3,
        "categories with the id of another, which counts": 1,
        "categories without a usable id or name": 2,
    }


def test_crops_none_of_which_is_shown_need_no_sheet(
    coco: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crops, "sample", lambda *_: set())  # as where the photographs of all that it chose are broken
    assert make_crops(*coco(), tmp_path / "out")["objects"] == 24
    assert not (tmp_path / "out" / "contact_sheet.jpg").exists()


def test_a_stop_in_the_middle_leaves_nothing(coco: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, folder = coco()
    save, saved = Image.Image.save, []

    def save_then_stop(self: Image.Image, *args: Any, **kwargs: Any) -> None:
        save(self, *args, **kwargs)
        saved.append(args[0])
        if len(saved) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", save_then_stop)
    with pytest.raises(KeyboardInterrupt):
        make_crops(file, folder, tmp_path / "out")
    assert saved
    assert {path.name for path in tmp_path.iterdir()} == {"photographs", "annotations.json"}
    monkeypatch.undo()
    assert make_crops(file, folder, tmp_path / "out")["objects"] == 24


def test_the_contact_sheet_shows_every_class_alike(coco: Made) -> None:
    file, folder = coco()
    objects = read_coco(file).objects
    source = PhotographFile.read(folder / "0.jpg")
    names = ["rare" if item.id == "0" else item.category for item in objects]
    planned = [Crop(item, name, source, (0, 0, 9, 9), item.box, "") for item, name in zip(objects, names, strict=True)]
    chosen = sample(planned, 9)
    classes = Counter(crop.class_name for crop in planned if crop.object.id in chosen)
    assert classes == {"rare": 1, "Can": 3, "Bag": 3}
