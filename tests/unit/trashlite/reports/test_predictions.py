"""Files of predictions: what is written comes back, what is wrong is told with its line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trashlite.errors import UserError
from trashlite.reports.predictions import read_predictions, write_predictions

CLASSES = ["file", 'p_x, "y"', "유리"]  # names that could be taken for columns


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "val_predictions.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_what_is_written_comes_back_sorted_by_file(tmp_path: Path) -> None:
    probabilities = np.array([[0.125, 0.5, 0.375], [0, 1, 0], [1 / 3, 1 / 3, 1 / 3]])
    files = ["val/b.jpg", "val/a, b.jpg", "val/c.jpg"]
    path = tmp_path / "val_predictions.csv"
    write_predictions(path, CLASSES, files, [CLASSES[2], CLASSES[0], CLASSES[1]], probabilities, {"fold": ["1/2"] * 3})
    found = read_predictions(path)
    assert found.class_names == CLASSES
    assert found.files == ["val/a, b.jpg", "val/b.jpg", "val/c.jpg"]
    assert found.labels.tolist() == [0, 2, 1]
    np.testing.assert_allclose(found.probabilities, probabilities[None, [1, 0, 2]], atol=1e-7)
    assert found.predicted.tolist() == [[1, 1, 0]]


def test_rows_of_one_file_are_its_seeds(table: Callable[[str], Path]) -> None:
    found = read_predictions(
        table("file,label,seed,p_a,p_b\nx,a,1,0.9,0.1\ny,b,1,0.6,0.4\ny,b,2,0.1,0.9\nx,a,2,0.3,0.7\n")
    )
    assert found.probabilities.shape == (2, 2, 2)
    assert found.predicted.tolist() == [[0, 0], [1, 1]]
    assert found.mean_predicted.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no CSV file with a head"),
        ("file,label\nx,a\n", "its columns must be"),
        ("file,label,p_a,p_b\n", "no row below its head"),
        ("file,label,p_a,p_b\nx,c,0.5,0.5\n", "line 2: 'c' is none of the classes a, b"),
        ("file,label,p_a,p_b\nx,a,0.5,0.5\nx,b,0.5,0.5\n", "line 3: x is called b here and a before"),
        ("file,label,p_a,p_b\nx,a,0.5,0.5\nx,a,0.5,0.5\ny,b,0,1\n", "some files have 1 rows and some 2"),
        ("file,label,p_a,p_b\nx,a,0.5\n", "line 2: 3 cells instead of 4"),
        ("file,label,p_a,p_b\nx,a,half,0.5\n", "line 2: could not convert"),
        ("file,label,p_a,p_b\nx,a,0.5,0.9\n", "line 2: the probabilities"),
        ("file,label,p_a,p_b\nx,a,nan,0.9\n", "line 2: the probabilities"),
    ],
)
def test_mistakes_are_told_in_one_line(table: Callable[[str], Path], text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_predictions(table(text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv cannot be read: No such file"):
        read_predictions(tmp_path / "none.csv")
