"""A person's verdicts on labels: a CSV file with the columns file,label, where the label may be `drop`."""

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trashlite.data.layout import UNLABELLED, Layout, Record, nfc
from trashlite.errors import UserError
from trashlite.files import sha256

DROP = "drop"


@dataclass(frozen=True)
class Verdicts:
    """Verdicts of a file: `labels` maps a path below the data root to a class name or `drop`."""

    source: Path
    labels: Mapping[str, str]

    @classmethod
    def read(cls, source: str | Path) -> "Verdicts":
        """Read a CSV file; further columns are notes of a person, rows without a label are undecided.

        Raises:
            UserError: no such file, no text, without the columns, or two verdicts on one image.
        """
        source = Path(source).expanduser()
        labels: dict[str, str] = {}
        try:
            with source.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
                rows = csv.DictReader(file)
                if not {"file", "label"} <= set(rows.fieldnames or ()):
                    raise UserError(f"{str(source)!r} must have the columns file,label (datamodule.relabel).")
                for row in rows:
                    name, label = _tidy(row["file"] or ""), nfc((row["label"] or "").strip())
                    if name and label and labels.setdefault(name, label) != label:
                        raise UserError(f"{source}: {name!r} is given both as {labels[name]!r} and as {label!r}.")
        except (OSError, csv.Error) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise UserError(f"datamodule.relabel={source} cannot be read: {why}.") from error
        return cls(source, labels)

    def apply(self, layout: Layout) -> tuple[Layout, dict[str, Any]]:
        """The layout with the verdicts in it, and an account of them for the record of a run.

        A dropped image loses its class but keeps its place, so that caches of decoded images stay valid.

        Returns:
            the layout; and file, sha256 (16 digits), changed ("Glass -> Metal": count), dropped, confirmed, and
            not_found (verdicts on no labelled image).

        Raises:
            UserError: a label that is no class, none of the images is here, or a verdict on an unlabelled image.
        """
        if DROP in layout.class_names:
            raise UserError(f"datamodule.relabel cannot be used: there is a class of the name {DROP!r}.")
        if unknown := sorted({*self.labels.values()} - {*layout.class_names, DROP}):
            raise UserError(
                f"{self.source} gives labels that are no classes: {', '.join(unknown)}. "
                f"Choose from {', '.join(layout.class_names)} or {DROP}."
            )
        if pseudo := sorted(name for name in self.labels if name.startswith(f"test/{UNLABELLED}/")):
            raise UserError(
                f"{self.source} gives a label to {pseudo[0]}: images of test/{UNLABELLED} are predicted, never "
                "trained on or left out."
            )
        changed: Counter[str] = Counter()
        found: Counter[str] = Counter()
        followed: set[str] = set()  # of which one may be on two images, whose names a disk spells in two ways

        def judged(record: Record) -> Record:
            name = nfc(record.path.relative_to(layout.root).as_posix())
            label = self.labels.get(name)
            if label is None or record.class_name is None:
                return record
            followed.add(name)
            found["dropped" if label == DROP else "changed" if label != record.class_name else "confirmed"] += 1
            if label == DROP:
                return replace(record, class_name=None)
            if label != record.class_name:
                changed[f"{record.class_name} -> {label}"] += 1
            return replace(record, class_name=label)

        train, val, test = ([judged(record) for record in part] for part in (layout.train, layout.val, layout.test))
        missing = len(self.labels) - len(followed)
        if self.labels and missing == len(self.labels):
            raise UserError(
                f"None of the {missing} images in {self.source} is in {str(layout.root)!r}, the first: "
                f"{next(iter(self.labels))}. Files are named as seen from there, e.g. train/<Class>/1.jpg."
            )
        account = {
            "file": str(self.source),
            "sha256": sha256(self.source)[:16],
            "changed": dict(changed.most_common()),
            "dropped": found["dropped"],
            "confirmed": found["confirmed"],
            "not_found": missing,
        }
        told = [f"{missing} of {len(self.labels)} verdicts in {self.source} are on no image here."] if missing else []
        return replace(layout, train=train, val=val, test=test, warnings=[*layout.warnings, *told]), account


def _tidy(name: str) -> str:
    return nfc(name.strip().replace("\\", "/").removeprefix("./"))
