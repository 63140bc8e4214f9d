"""Parts of the page: tables, charts, what is folded away."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from trashlite.reports.data_report.thumbnails import text


def images(count: int) -> str:
    """So many images, in words."""
    return f"{count:,} image{'' if count == 1 else 's'}"


def folded(summary: str, html: str) -> str:
    """HTML that a click on its summary unfolds."""
    return f"<details><summary>{summary}</summary>{html}</details>"


def table(headings: Sequence[str], rows: Any) -> str:
    """Table of plain cells; the first column is of names, numbers stand to the right."""
    head = "".join(f"<th{_kind(place)}>{heading}</th>" for place, heading in enumerate(headings))
    body = "".join(
        "<tr>" + "".join(f"<td{_kind(place, cell)}>{_cell(cell)}</td>" for place, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _kind(place: int, cell: Any = 0) -> str:
    if place == 0:
        return ' class="file"'
    number = isinstance(cell, int) or str(cell).lstrip("+-").replace(".", "").isdecimal()
    return ' class="number"' if number else ""


def _cell(cell: Any) -> str:
    return f"{cell:,}" if isinstance(cell, int) else text(str(cell))


def chart(pictures: Mapping[str, bytes], name: str, alt: str) -> str:
    """A chart by its name; nothing where it was not drawn."""
    if name not in pictures:
        return ""
    data = base64.b64encode(pictures[name]).decode()
    return f'<div class="chart"><img alt="{alt}" src="data:image/png;base64,{data}"></div>'
