"""Record and figures that a run, the job of a sweep or one by itself, leaves in its folder."""

import json
from pathlib import Path
from typing import Any

RECORD = "run.json"
VAL_PREDICTIONS = "val_predictions.csv"


def read_record(folder: Path) -> dict[str, Any]:
    """The record a job left in its folder; empty where it left none, with an `error` where it is broken."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        return {"error": f"{RECORD} cannot be read: {error}"}
    return record if isinstance(record, dict) else {"error": f"{RECORD} holds no record"}
