import pytest
import torch
from torch import nn

from trashlite.compression.freeze import freeze_layers
from trashlite.errors import UserError


@pytest.fixture
def network() -> nn.Sequential:
    chain = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.Conv2d(2, 4, 1))
    return nn.Sequential(
        chain, nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1, bias=False), nn.Flatten(), nn.Linear(4, 2)
    ).train()


@pytest.mark.parametrize(
    ("mode", "learning"),
    [
        ("none", ["0.0.weight", "0.1.weight", "0.1.bias", "1.weight", "1.bias", "2.weight", "4.weight", "4.bias"]),
        ("all_but_factors", ["0.0.weight", "0.1.weight", "0.1.bias"]),
        ("all_but_convs", ["0.0.weight", "0.1.weight", "0.1.bias", "2.weight"]),
    ],
)
def test_what_a_step_changes(network: nn.Sequential, mode: str, learning: list[str]) -> None:
    freeze_layers(network, mode, ["0"])  # type: ignore[arg-type]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1)
    network(torch.randn(8, 3, 1, 1)).square().sum().backward()
    optimizer.step()
    changed = [name for name, value in network.state_dict().items() if not torch.equal(value, before[name])]
    statistics = ["1.running_mean", "1.running_var", "1.num_batches_tracked"] if mode == "none" else []
    assert sorted(changed) == sorted(learning + statistics)


def test_nothing_to_train_is_told(network: nn.Sequential) -> None:
    with pytest.raises(UserError, match="all_but_factors"):
        freeze_layers(network, "all_but_factors", [])


def test_an_unknown_mode_names_the_choices(network: nn.Sequential) -> None:
    with pytest.raises(UserError, match=r"'head'.*all_but_convs"):
        freeze_layers(network, "head", [])  # type: ignore[arg-type]
