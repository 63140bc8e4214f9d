"""Read an offline W&B run back from its transaction log, so that tests see what was really kept.

The log (`run-<id>.wandb`) is LevelDB's: blocks of 32 KiB of records `crc32, length, type, bytes`
(https://github.com/google/leveldb/blob/main/doc/log_format.md) after a header of 7 bytes; a record is a
`wandb_internal_pb2.Record`.
"""

import json
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2 as pb

from tests.harness import HANGS

BLOCK = 32 * 1024
FILE_HEADER_SIZE = 7  # ":W&B", magic, version
RECORD_HEADER = struct.Struct("<IHB")  # checksum, length, type
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass
class OfflineRun:
    """Records of one job in W&B. Nested keys of config and summary are nested dicts."""

    project: str = ""
    name: str = ""
    group: str = ""
    job_type: str = ""
    tags: list[str] = field(default_factory=list)
    notes: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    exit_code: int | None = None  # None: the run was never finished
    record_types: set[str] = field(default_factory=set)

    def values(self, key: str) -> list[Any]:
        """The logged values of one metric, in order."""
        return [row[key] for row in self.history if key in row]


def find_offline_runs(folder: str | Path) -> list[Path]:
    """The offline run folders anywhere under a folder, in the order of their paths."""
    runs = [path.parent for path in Path(folder).rglob("run-*.wandb")]
    return sorted(run for run in runs if run.name.startswith("offline-run-"))


def read_offline_run(run_dir: str | Path) -> OfflineRun:
    """Read `<save_dir>/wandb/offline-run-*`; files lists what lies under its `files/`.

    W&B's service writes the last records shortly after `finish` returned: wait for them.

    Raises:
        ValueError: there is not exactly one log in the folder, or it is not a W&B log.
    """
    deadline = time.monotonic() + HANGS
    while (run := _read(Path(run_dir))).exit_code is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return run


def _read(run_dir: Path) -> OfflineRun:
    logs = list(run_dir.glob("run-*.wandb"))
    if len(logs) != 1:
        raise ValueError(f"{run_dir}: expected one run-*.wandb, found {len(logs)}")
    run = OfflineRun()
    for data in _records(logs[0].read_bytes()):
        record = pb.Record.FromString(data)
        kind = record.WhichOneof("record_type")
        run.record_types.add(kind)
        match kind:
            case "run":
                run.project, run.name = record.run.project, record.run.display_name
                run.group, run.job_type = record.run.run_group, record.run.job_type
                run.tags, run.notes = list(record.run.tags), record.run.notes
                _update(run.config, record.run.config.update)
            case "config":
                _update(run.config, record.config.update)
            case "history":
                row: dict[str, Any] = {}
                _update(row, record.history.item)
                run.history.append(row)
            case "summary":
                _update(run.summary, record.summary.update)
            case "artifact":
                artifact = record.artifact
                run.artifacts.append(
                    {
                        "name": artifact.name,
                        "type": artifact.type,
                        "aliases": list(artifact.aliases),
                        "metadata": json.loads(artifact.metadata or "{}"),
                        "files": [entry.path for entry in artifact.manifest.contents],
                    }
                )
            case "exit":
                run.exit_code = record.exit.exit_code
    files = run_dir / "files"
    run.files = sorted(str(path.relative_to(files)) for path in files.rglob("*") if path.is_file())
    return run


def _records(data: bytes) -> Iterator[bytes]:
    if not data:
        return  # nothing written yet
    if not data.startswith(b":W&B"):
        raise ValueError("not a W&B log")
    position = FILE_HEADER_SIZE
    pieces: list[bytes] = []
    while position + RECORD_HEADER.size <= len(data):
        left = BLOCK - position % BLOCK
        if left < RECORD_HEADER.size:
            position += left  # the tail of a block too small for a header is padding
            continue
        _, length, kind = RECORD_HEADER.unpack_from(data, position)
        position += RECORD_HEADER.size
        if position + length > len(data):
            return  # still being written
        pieces.append(data[position : position + length])
        position += length
        if kind in (FULL, LAST):
            yield b"".join(pieces)
            pieces = []
        elif kind not in (FIRST, MIDDLE):
            return  # a run still being written ends in zeros


def _update(target: dict[str, Any], items: Iterable[Any]) -> None:
    """Apply updates; a nested key `["a", "b"]` becomes `target["a"]["b"]`."""
    for item in items:
        *parents, key = item.nested_key or [item.key]
        place = target
        for parent in parents:
            place = place.setdefault(parent, {})
        place[key] = json.loads(item.value_json)
