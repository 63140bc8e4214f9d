"""Figures of an export on the screen."""

from rich.console import Console

from trashlite.deployment.formats import FORMATS
from trashlite.deployment.table import ExportRow, Judgement, remarks, screen_table

JUDGED = Judgement(logit_difference=0.42, agreement=0.969, f1=0.7633, f1_difference=-0.0035, low=-0.0128, high=0.0061)
ROWS = [
    *(ExportRow(name, "golden images agree to 3.4e-01", False, 933, 1205, JUDGED, 12.345, 123.456) for name in FORMATS),
    ExportRow("broken", "failed: no compiler", failed=True, notes=["a note"]),
]


def test_figures_of_all_formats_fit_into_80_columns_uncut() -> None:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(screen_table(ROWS))
    heading, *lines = capture.get().splitlines()
    assert heading.split() == [*FORMATS, "broken"]
    figures = {line[:16].strip(): line[16:].split() for line in lines}
    assert figures["same answers"] == ["96.9%"] * len(FORMATS) + ["–"]
    assert figures["F1 less torch's"] == ["-0.0035"] * len(FORMATS) + ["–"]
    assert figures["ms, 95 % within"] == ["123.456"] * len(FORMATS) + ["–"]
    assert "…" not in capture.get()


def test_remarks_tell_how_each_format_fared() -> None:
    assert remarks(ROWS)[-2:] == ["html: golden images agree to 3.4e-01", "broken: failed: no compiler; a note"]
