"""Parts that the data commands share: messages, tables, CSV files and a digest of what a folder was made from."""

import csv
import hashlib
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trashlite.errors import UserError
from trashlite.files import sha256, write_text


@contextmanager
def shown() -> Iterator[None]:
    """Show a UserError as plain text, and end with exit code 1."""
    try:
        yield
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write rows below a heading."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    write_text(path, text.getvalue())


def content_digest(path: Path) -> str:
    """Hash of what a file holds, 16 hex digits."""
    return sha256(path)[:16]


def state_digest(paths: Iterable[Path]) -> str:
    """Hash of names, sizes and times of files, 16 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        state = path.stat()
        digest.update(os.fsencode(path) + repr((state.st_size, state.st_mtime_ns)).encode())
    return digest.hexdigest()[:16]


def account_table(result: dict[str, Any], out: Path) -> None:
    """Print what became of all that was found: images by class and part, and why the rest was left out."""
    console = Console()
    classes = result["images"] if "images" in result else result["crops"]  # as folders of before have it
    parts = [part for part in ("train", "val", "test", "unknown") if any(part in counts for counts in classes.values())]
    table = Table("class", *parts, title=f"{result['objects']} found")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, counts in classes.items():
        table.add_row(escape(name), *(str(counts.get(part, "")) for part in parts))
    table.add_section()
    totals = [sum(counts.get(part, 0) for counts in classes.values()) for part in parts]
    table.add_row(f"{sum(totals)} images", *map(str, totals))
    console.print(table)
    for why, count in result["left_out"].items():
        print(f"left out {count}: {why}")
    if result.get("unmapped"):
        print("not in the map: " + ", ".join(f"{name} {count}" for name, count in result["unmapped"].items()))
    for note, count in result["notes"].items():
        print(f"{count} {note}")
    print(f"Written to {out}")
