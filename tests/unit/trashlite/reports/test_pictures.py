import unicodedata
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from trashlite.reports.pictures import confusion_matrix_figure, image_grid, save_figure

CONFUSION = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
NAMES = ["Glass", "Metal", "Paper"]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_each_cell_of_the_confusion_matrix_has_its_count_and_share_of_the_row() -> None:
    figure = confusion_matrix_figure(CONFUSION, NAMES)
    cells = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert cells == {(0, 0): "3\n75%", (1, 0): "1\n25%", (1, 1): "4\n100%"}


def test_the_colour_is_the_share_of_the_true_class_also_of_an_empty_one() -> None:
    shown = confusion_matrix_figure(CONFUSION, NAMES).axes[0].images[0].get_array()
    np.testing.assert_allclose(shown, [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]])


def test_rows_are_labelled_true_and_columns_predicted() -> None:
    axes = confusion_matrix_figure(CONFUSION, NAMES, title="val").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Glass (4)", "Metal (4)", "Paper (0)"]
    assert [label.get_text() for label in axes.get_xticklabels()] == NAMES
    assert axes.get_xlabel() == "predicted"
    assert axes.get_title() == "val: 87.5% of 8 images right"


def test_the_matrix_grows_with_the_classes_so_that_numbers_do_not_overlap() -> None:
    figure = confusion_matrix_figure(np.full((30, 30), 123), [f"class {i}" for i in range(30)])
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 900
    assert not any(a.overlaps(b) for a, b in pairwise(boxes))
    assert not any(a.overlaps(b) for a, b in zip(boxes, boxes[30:], strict=False))


def test_very_many_classes_are_drawn_without_numbers() -> None:
    assert texts(confusion_matrix_figure(np.eye(60, dtype=int), ["x"] * 60)) == []


def test_a_confusion_matrix_of_another_size_than_the_names_is_refused() -> None:
    with pytest.raises(ValueError, match="2 class names"):
        confusion_matrix_figure(CONFUSION, NAMES[:2])


@pytest.mark.parametrize("name", ["건전지", unicodedata.normalize("NFD", "건전지"), "$x_{", "a\nb", "w" * 300])
def test_any_class_name_can_be_drawn_without_a_warning(name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(confusion_matrix_figure(np.eye(2, dtype=int), [name, "b"]), tmp_path / "c.png")
        image = np.zeros((8, 8, 3), np.uint8)
        save_figure(image_grid([image], [f"{name} → b"], title=name), tmp_path / "g.png")
    assert Image.open(tmp_path / "c.png").size[0] < 2000
    assert Image.open(tmp_path / "g.png").size[0] < 2000


def test_names_in_pieces_are_drawn_composed() -> None:
    figure = confusion_matrix_figure(np.eye(1, dtype=int), [unicodedata.normalize("NFD", "유리")])
    assert figure.axes[0].get_xticklabels()[0].get_text() == "유리"


def test_the_grid_shows_every_image_in_order_with_its_title() -> None:
    images = [np.full((4 + i, 6, 3), i, np.uint8) for i in range(5)]
    figure = image_grid(images, [f"title {i}" for i in range(5)], columns=3)
    assert [axes.get_title() for axes in figure.axes] == [f"title {i}" for i in range(5)]
    for axes, image in zip(figure.axes, images, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), image)
    left = [axes.get_position().x0 for axes in figure.axes]
    assert left[0] == pytest.approx(left[3])
    assert left[0] < left[1] < left[2]
    assert figure.axes[3].get_position().y1 < figure.axes[0].get_position().y0


def test_titles_do_not_overlap_their_neighbours() -> None:
    titles = ["Plasticbag → Styrofoam and more words than fit in the two lines there are"] * 4
    figure = image_grid([np.zeros((8, 8, 3), np.uint8)] * 4, titles, columns=2)
    figure.canvas.draw()
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    assert not any(boxes[i].overlaps(boxes[j]) for i in range(4) for j in range(i))
    assert titles[0] != figure.axes[0].get_title()
    assert figure.axes[0].get_title().endswith("…")


def test_the_grid_shows_the_pixels_it_was_given(tmp_path: Path) -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 0] = (200, 30, 60)
    save_figure(image_grid([image], ["x"]), tmp_path / "g.png")
    pixels = np.asarray(Image.open(tmp_path / "g.png").convert("RGB"))
    share = (pixels == (200, 30, 60)).all(axis=2).sum() / (pixels == 0).all(axis=2).sum()
    assert share == pytest.approx(1 / 3, rel=0.1)


@pytest.mark.parametrize(("images", "titles"), [([], []), ([np.zeros((2, 2, 3), np.uint8)], ["a", "b"])])
def test_a_grid_needs_images_and_a_title_for_each(images: list[np.ndarray], titles: list[str]) -> None:
    with pytest.raises(ValueError, match="image"):
        image_grid(images, titles)


def test_saving_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "picture.png"
    assert save_figure(Figure(figsize=(1, 1)), path) == path
    save_figure(Figure(figsize=(2, 1)), path)
    assert Image.open(path).size == (240, 120)
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_save_keeps_the_former_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_figure(Figure(figsize=(1, 1)), tmp_path / "picture.png")
    former = path.read_bytes()

    def fail_half_way(self: Figure, target: Path, **kwargs: object) -> None:
        target.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", fail_half_way)
    with pytest.raises(OSError, match="No space left"):
        save_figure(Figure(), path)
    assert path.read_bytes() == former
    assert list(tmp_path.iterdir()) == [path]
