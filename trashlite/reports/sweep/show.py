"""Report of a sweep on the screen: ten rows, why jobs have no result, and where the rest lies."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from trashlite.reports.sweep.report import PAGE, Report, reasons_of
from trashlite.reports.sweep.table import DATA, FRONT_MARK, SweepTable

ROWS, REASONS, WIDTH = 10, 10, 80
GAP = 2  # columns between columns
SHOWN = ("front", "job", DATA, "F1", "MACs", "score", "minutes", "overrides")
STYLES = {"completed": None, "pruned": "dim", "failed": "red", "unfinished": "yellow"}


def show(report: Report, console: Console) -> None:
    """Print the report; a file gets the same lines as a screen of 80 columns."""
    width = console.width if console.is_terminal else WIDTH
    console.print(console_table(report.table, width), width=width)
    table, reasons = report.table, reasons_of(report.table)
    lines = [(f"{FRONT_MARK} {table.meaning}.", "dim")] if table.front else []
    lines += [(f"{table.counts()}.", "")]
    lines += [(line, "red" if " failed: " in line else "yellow") for line in reasons[:REASONS]]
    if len(reasons) > REASONS:
        lines.append((f"{len(reasons) - REASONS} more reasons in report.md", "yellow"))
    lines += [(note, "dim") for note in report.notes]
    lines += [(f"best job again: {report.again}", "")] if report.again else []
    lines += [(f"page: {short_path(table.folder / PAGE)}", "")]
    for line, style in lines:
        console.print(Text(line, style), soft_wrap=True)


def console_table(table: SweepTable, width: int = WIDTH) -> Table:
    """The first rows; of the settings only those in which jobs differ, and what fits into two lines."""
    rows = table.jobs[:ROWS]
    title = f"Jobs of {escape(str(short_path(table.folder)))}"
    shown = Table(
        title=title, title_justify="left", caption_justify="left", box=None, pad_edge=False, padding=(0, GAP, 0, 0)
    )
    if len(table.jobs) > len(rows):
        shown.caption = f"{len(table.jobs) - len(rows)} more rows in {PAGE}"
    headings = [heading for heading in SHOWN if heading in table.headings]
    names = [{"front": "", "overrides": "settings", "minutes": "min"}.get(heading, heading) for heading in headings]
    lines = []
    for job in rows:
        cells = {**dict(zip(table.headings, table.cells(job), strict=True)), "job": job.name}
        lines.append([cells[heading] for heading in headings[:-1]])
    widths = [max(map(len, column)) for column in zip(names, *lines, strict=False)]
    room = max(width, WIDTH) - sum(widths) - GAP * len(widths)
    for heading, name in zip(headings, names, strict=True):
        is_word = heading in ("job", DATA, "overrides", "front")
        shown.add_column(name, no_wrap=heading != "overrides", justify="left" if is_word else "right", overflow="fold")
    for job, line in zip(rows, lines, strict=True):
        settings = cut(" ".join(map(last_key, table.differing(job))), 2 * room)
        shown.add_row(*map(escape, [*line, settings]), style=STYLES[job.state])
    return shown


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"


def last_key(override: str) -> str:
    """`lr=0.1` of `optimizer.lr=0.1`."""
    key, _, value = override.partition("=")
    return f"{key.rpartition('.')[2]}={value}"


def short_path(path: Path) -> Path:
    """As seen from the working directory, where it lies below it."""
    absolute, here = path.resolve(), Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
