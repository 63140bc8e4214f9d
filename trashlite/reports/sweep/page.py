"""The report of a sweep as one HTML file: table, pictures and script inside, nothing to fetch."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from trashlite.reports.sweep.records import Job
from trashlite.reports.sweep.table import NUMERIC, SweepTable, relative

FOLDED = 40  # characters of settings that are shown before a click
STYLE = """
:root { color-scheme: light dark; --ink: #222; --soft: #888; --paper: #fff; --band: #f4f4f4; --line: #e3e3e3;
  --front: #fdf0ee; --bad: #b2182b; --link: #0b57a4; }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --soft: #8a8a8a; --paper: #16181b; --band: #24272b;
  --line: #34383d; --front: #3a2422; --bad: #ff8a80; --link: #7db7f0; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 1200px; padding: 0 1rem;
  color: var(--ink); background: var(--paper); }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; } a { color: var(--link); }
.scroll { overflow: auto; max-height: 80vh; }
table { border-collapse: collapse; font-size: 13px; }
th { cursor: pointer; text-align: left; position: sticky; top: 0; background: var(--band); user-select: none; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.words { overflow-wrap: anywhere; min-width: 9rem; max-width: 28rem; } td.word { white-space: nowrap; }
th[data-up]::after { content: " ▾"; } th[data-up="1"]::after { content: " ▴"; }
tr.front td { background: var(--front); }
tr.pruned, tr.unfinished { color: var(--soft); } tr.failed { color: var(--bad); }
details summary { cursor: pointer; white-space: nowrap; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
pre { background: var(--band); padding: .8rem; overflow-x: auto; }
@media (max-width: 600px) { body { margin: .8rem auto; padding: 0 .6rem; } th, td { padding: .25rem .35rem; }
  table { font-size: 12px; } td.words { min-width: 14rem; } }
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
    shaded = f" Shaded: {escape(table.meaning)}." if table.front else ""
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(table.counts())}. A click on a heading sorts.{shaded}</p>",
        html_table(table),
    ]
    parts += [f"<p>All jobs: {escape(table.common)}</p>"] if table.common else []
    for caption, path in pictures.items():
        data = base64.b64encode(path.read_bytes()).decode()
        large = escape(quote(relative(str(path), table.folder)))  # a phone shows it small
        image = f'<img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
        parts.append(f'<h2>{escape(caption)}</h2>\n<a href="{large}">{image}</a>')
    parts += [f"<p>{escape(note)}</p>" for note in notes]
    if experiment:
        parts.append(f"<h2>The best job as an experiment</h2>\n<pre>{escape(experiment)}</pre>")
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n<script>{SCRIPT}</script>\n</body></html>\n"
    )


def html_table(table: SweepTable) -> str:
    cells_of = [[*table.cells(job), job.reason] for job in table.jobs]
    headings = [*table.headings, "reason"]
    used = [place for place, _ in enumerate(headings) if any(cells[place] for cells in cells_of)]
    headings = [headings[place] for place in used]
    names = {"front": ""}
    head = "".join(f'<th class="{kind(heading)}">{escape(names.get(heading, heading))}</th>' for heading in headings)
    rows = []
    for job, all_cells in zip(table.jobs, cells_of, strict=True):
        exact = {
            "trial": job.trial,
            "F1": job.f1,
            "MACs": job.macs,
            "params": job.params,
            "score": job.score,
            "minutes": job.minutes,
        }
        cells = []
        for heading, cell in zip(headings, [all_cells[place] for place in used], strict=True):
            value = ""
            if heading in exact:
                value = f' data-value="{"" if exact[heading] is None else exact[heading]}"'
            elif heading == "job":
                value = f' data-value="{escape(cell)}"'
            shown = html_cell(cell, heading, table, job)
            cells.append(f'<td class="{kind(heading)}"{value}>{shown}</td>')
        style = "front" if job.name in table.front else job.state
        rows.append(f'<tr class="{style}">{"".join(cells)}</tr>')
    body = "\n".join(rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def html_cell(cell: str, heading: str, table: SweepTable, job: Job) -> str:
    """Text, a link to the folder of a job, or long settings that a click unfolds."""
    if heading == "job":
        return f'<a href="{escape(quote(relative(str(job.folder), table.folder)))}/">{escape(cell)}</a>'
    if heading == "overrides" and len(cell) > FOLDED:
        return f"<details><summary>{escape(cell[:FOLDED])}…</summary>{escape(cell)}</details>"
    return escape(cell)


def kind(heading: str) -> str:
    if heading in NUMERIC:
        return "number"
    return "words" if heading in ("overrides", "checkpoint", "reason") else "word"
