"""Predictions of many images."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from trashlite.deployment.predict import BATCH, SHOWN, collect
from trashlite.deployment.predictor import Predictor
from trashlite.deployment.sources import Shot, Source, open_source


@pytest.fixture(scope="module")
def predictor(tiny_checkpoint: Path) -> Predictor:
    return Predictor.from_checkpoint(tiny_checkpoint)


def test_every_file_has_its_row_the_unreadable_too(predictor: Predictor, tiny_root: Path, tmp_path: Path) -> None:
    for number, file in enumerate(sorted(tiny_root.rglob("*.jpg"))):
        (tmp_path / f"{number:03d}.jpg").write_bytes(file.read_bytes())
    (tmp_path / "001.jpg").write_bytes(b"broken")
    (tmp_path / "002.jpg").write_bytes(b"")
    told: list[str] = []
    found = collect(predictor, open_source(str(tmp_path)), lambda answer: told.append(answer.shot.name))
    files = sorted(tmp_path.iterdir())
    assert found.columns == ["file", "label", "probability", "Glass", "Metal", "Plastic bag"]
    assert told == [row[0] for row in found.rows] == [file.name for file in files]
    assert found.bad == [("001.jpg", "not an image in a known format"), ("002.jpg", "the file is empty")]
    assert found.rows[1] == ["001.jpg", "", "", "", "", ""]
    for file, row in zip(files, found.rows, strict=True):
        if row[1]:
            expected = predictor(file)
            assert row[1] == expected.label
            chances = [expected.probability, *expected.probabilities.values()]
            assert [float(text) for text in row[2:]] == pytest.approx(chances, abs=2e-6)
    assert found.labels.total() == len(files) - 2
    assert len(found.thumbnails) == len(found.titles) == len(files) - 2


def frames(count: int, stop: BaseException | None = None) -> Iterator[Shot]:
    for number in range(count):
        yield Shot(str(number), np.full((30, 40, 3), number % 256, np.uint8), number / 10)
    if stop:
        raise stop


def test_a_long_film_has_a_sample_of_thumbnails_spread_over_it(predictor: Predictor) -> None:
    count = 5 * BATCH + 7
    found = collect(predictor, Source("film", frames(count), frames=True))
    assert [row[:2] for row in found.rows[:2]] == [["0", "0.000"], ["1", "0.100"]]
    assert len(found.rows) == count
    assert SHOWN <= len(found.thumbnails) < 2 * SHOWN
    greys = [int(image[0, 0, 0]) for image in found.thumbnails]
    every = greys[1] - greys[0]
    assert greys == [number % 256 for number in range(0, count, every)]


def test_a_camera_is_answered_frame_by_frame_until_ctrl_c(predictor: Predictor) -> None:
    seen: list[str] = []

    def watched() -> Iterator[Shot]:
        for shot in frames(4, KeyboardInterrupt()):
            assert len(seen) == int(shot.name)  # all earlier ones are answered before the next is taken
            yield shot

    found = collect(
        predictor, Source("camera 0", watched(), frames=True, live=True), lambda a: seen.append(a.shot.name)
    )
    assert len(found.rows) == 4


def test_ctrl_c_elsewhere_ends_all(predictor: Predictor) -> None:
    with pytest.raises(KeyboardInterrupt):
        collect(predictor, Source("film", frames(4, KeyboardInterrupt()), frames=True))
