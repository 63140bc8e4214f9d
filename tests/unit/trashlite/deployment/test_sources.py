"""Sources of images by name."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trashlite.deployment.sources import open_source
from trashlite.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.PNG", "sub/c.jpeg", ".hidden.jpg", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_a_folder_with_its_subfolders_in_order_and_what_is_no_image_counted(folder: Path) -> None:
    source = open_source(str(folder))
    assert [shot.name for shot in source.shots] == ["a.PNG", "b.jpg", "sub/c.jpeg"]
    assert (source.total, source.others, source.frames, source.live) == (3, 1, False, False)


def test_a_file_and_a_pattern(folder: Path) -> None:
    file = open_source(str(folder / "b.jpg"))
    assert [(shot.name, shot.image) for shot in file.shots] == [(str(folder / "b.jpg"), folder / "b.jpg")]
    pattern = open_source(str(folder / "**" / "*.jp*g"))
    assert [Path(shot.name).name for shot in pattern.shots] == ["b.jpg", "c.jpeg"]
    assert pattern.total == 2


def test_what_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    for text, message in {
        str(tmp_path): "no images in the folder",
        str(tmp_path / "*.jpg"): "No file fits the pattern",
        "nowhere": "There is no 'nowhere'",
    }.items():
        with pytest.raises(UserError, match=message):
            open_source(text)


def write_video(path: Path, greys: list[int]) -> None:
    cv2 = pytest.importorskip("cv2", reason="make setup-deploy installs opencv-python-headless")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))
    for grey in greys:
        frame = np.full((48, 64, 3), (grey, 0, 0), np.uint8)  # OpenCV's order: blue first
        writer.write(frame)
    writer.release()


def test_frames_of_a_video_in_rgb_with_their_times(tmp_path: Path) -> None:
    write_video(tmp_path / "belt.avi", [50, 150, 250])
    source = open_source(str(tmp_path / "belt.avi"))
    shots = list(source.shots)
    assert (source.total, source.frames, source.live) == (3, True, False)
    assert [(shot.name, shot.second) for shot in shots] == [("0", 0), ("1", 0.2), ("2", 0.4)]
    for shot, blue in zip(shots, (50, 150, 250), strict=True):
        np.testing.assert_allclose(shot.image.mean((0, 1)), [0, 0, blue], atol=8)  # JPEG


def test_a_damaged_video_and_a_camera_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="make setup-deploy installs opencv-python-headless")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match="cannot be read"):
        open_source(str(tmp_path / "broken.mp4"))
    for number in ("97", "99999999999"):
        with pytest.raises(UserError, match=f"There is no camera {number}"):
            open_source(number)


def test_without_the_package_for_videos_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    (tmp_path / "belt.mp4").touch()
    for text in (str(tmp_path / "belt.mp4"), "0"):
        with pytest.raises(UserError, match="opencv-python-headless: make setup-deploy"):
            open_source(text)


def test_a_picture_called_like_a_camera_is_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (4, 4)).save(tmp_path / "0", "PNG")
    assert open_source("0").total == 1
