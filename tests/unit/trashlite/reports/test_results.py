import pytest
import torch

from trashlite.reports.results import class_table, worst_mistakes


def test_the_table_against_figures_by_hand() -> None:
    target, predicted = torch.tensor([0, 0, 1, 1, 2, 0]), torch.tensor([0, 1, 1, 1, 0, 2])
    rows = {row[0]: row[1:] for row in class_table(target, predicted, ["Glass", "Metal", "유리", "absent"])}
    assert rows["Glass"] == [3, pytest.approx(1 / 2), pytest.approx(1 / 3), pytest.approx(0.4)]
    assert rows["Metal"] == [2, pytest.approx(2 / 3), 1, pytest.approx(0.8)]
    assert rows["유리"] == [1, 0, 0, 0]
    assert rows["absent"] == [0, 0, 0, 0]


def test_right_images_are_no_mistakes_however_unsure() -> None:
    logits = torch.tensor([[0.1, 0.0], [9.0, 0.0], [0.2, 0.0]])
    target = torch.tensor([0, 1, 1])
    assert worst_mistakes(logits, target, 5) == [1, 2]
    assert worst_mistakes(logits, target, 1) == [1]
    assert worst_mistakes(logits, torch.zeros(3, dtype=torch.long), 5) == []
