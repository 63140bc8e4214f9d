"""The report of a sweep as one HTML file: table, pictures and script inside, nothing to fetch."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from trashlite.reports.sweep.table import HEADINGS, NUMERIC, SweepTable

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; color: #222; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th { cursor: pointer; text-align: left; position: sticky; top: 0; background: #f4f4f4; user-select: none; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #e3e3e3; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.words { overflow-wrap: anywhere; min-width: 9rem; }
th[data-up]::after { content: " ▾"; } th[data-up="1"]::after { content: " ▴"; }
tr.front td { background: #fdf0ee; } tr.pruned, tr.unfinished { color: #888; } tr.failed { color: #b2182b; }
img { max-width: 100%; height: auto; } pre { background: #f4f4f4; padding: .8rem; overflow-x: auto; }
"""

# A click sorts, another turns the order round; empty cells stay at the end either way.
SCRIPT = """
for (const head of document.querySelectorAll("th")) head.addEventListener("click", () => {
  const body = head.closest("table").tBodies[0], place = head.cellIndex, up = head.dataset.up === "1" ? 0 : 1;
  for (const other of head.parentNode.cells) delete other.dataset.up;
  head.dataset.up = up;
  const key = row => row.cells[place].dataset.value ?? row.cells[place].textContent;
  const compare = (a, b) => head.classList.contains("number") ? a - b : a.localeCompare(b, undefined, {numeric: true});
  const rows = [...body.rows].map(row => [key(row), row]);
  rows.sort(([a], [b]) => a === "" || b === "" ? (a === "") - (b === "") : up ? compare(a, b) : compare(b, a));
  body.append(...rows.map(([, row]) => row));
});
"""


def page(
    title: str, table: SweepTable, pictures: Mapping[str, Path], notes: Sequence[str], experiment: str | None = None
) -> str:
    """Return the page.

    Args:
        pictures: caption -> PNG file.
        notes: what is left out, and why.
        experiment: YAML of the best job.
    """
    parts = [f"<h1>{escape(title)}</h1>", f"<p>{escape(table.counts())}.</p>"]
    for caption, path in pictures.items():
        data = base64.b64encode(path.read_bytes()).decode()
        parts.append(f'<h2>{escape(caption)}</h2>\n<img alt="{escape(caption)}" src="data:image/png;base64,{data}">')
    parts += [f"<p>{escape(note)}</p>" for note in notes]
    parts.append("<h2>Jobs</h2>\n<p>A click on a heading sorts. Shaded: no other job has both a higher F1 and fewer "
                 f"MACs.</p>\n{html_table(table)}")  # fmt: skip
    parts += [f"<p>All jobs: {escape(table.common)}</p>"] if table.common else []
    if experiment:
        parts.append(f"<h2>The best job as an experiment</h2>\n<pre>{escape(experiment)}</pre>")
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n<script>{SCRIPT}</script>\n</body></html>\n"
    )


def html_table(table: SweepTable) -> str:
    headings = [*HEADINGS, "reason"]
    head = "".join(f'<th class="{kind(heading)}">{escape(heading)}</th>' for heading in headings)
    rows = []
    for job in table.jobs:
        exact = {"trial": job.trial, "F1": job.f1, "MACs": job.macs, "params": job.params, "score": job.score,
                 "minutes": job.minutes}  # fmt: skip
        cells = "".join(
            f'<td class="{kind(heading)}"'
            + (f' data-value="{"" if exact[heading] is None else exact[heading]}"' if heading in exact else "")
            + f">{escape(cell)}</td>"
            for heading, cell in zip(headings, [*table.cells(job), job.reason], strict=True)
        )
        style = "front" if job.name in table.front else job.state
        rows.append(f'<tr class="{style}">{cells}</tr>')
    body = "\n".join(rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def kind(heading: str) -> str:
    if heading in NUMERIC:
        return "number"
    return "words" if heading in ("overrides", "checkpoint", "reason") else "word"
