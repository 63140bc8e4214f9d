import json
from pathlib import Path

import pytest

from trashlite.data.new_folder import MARKER, make_folder
from trashlite.errors import UserError


def test_what_another_process_has_put_there_meanwhile_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def fill(folder: Path) -> dict[str, int]:
        (folder / "ours").touch()
        out.mkdir()
        (out / "theirs").touch()
        return {"files": 1}

    with pytest.raises(UserError, match="nothing in it was touched"):
        make_folder(out, {"source": "ours"}, fill)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in out.iterdir()] == ["theirs"]


def test_two_processes_that_make_the_same_end_in_one_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def fill(folder: Path) -> dict[str, int]:
        (folder / "image").touch()
        out.mkdir()
        (out / MARKER).write_text(json.dumps({"made_from": {"source": "same"}, "result": {"files": 1}}))
        return {"files": 1}

    assert make_folder(out, {"source": "same"}, fill) == make_folder(out, {"source": "same"}, fill) == {"files": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
