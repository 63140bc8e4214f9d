import io

from rich.console import Console
from torch import nn

from trashlite.compression.macs import count_macs
from trashlite.reports.macs import macs_table


def test_table_of_a_long_network_keeps_the_largest_layers_and_all_sums() -> None:
    layers = [nn.Conv2d(2, 2, 1 + 2 * (index == 7), padding=int(index == 7)) for index in range(30)]
    report = count_macs(nn.Sequential(*layers, nn.SiLU()), (2, 4, 4))
    table = macs_table(report, max_rows=5)
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    text = console.file.getvalue()
    assert "…" not in text  # nothing is cut at 80 columns
    assert len(table.rows) == 6
    assert "26 smaller layers" in text
    cells = [list(column.cells) for column in table.columns]
    assert sum(int(cell.replace(",", "")) for cell in cells[3]) == report.macs
    assert "7" in cells[0]
    for part in (
        "1×2×4×4",
        "thop",
        "flop_counter is torch's own count",
        f"{report.macs:,}",
        "has no formula for, and counts as 0: SiLU (1 layer)",
    ):
        assert part in text
