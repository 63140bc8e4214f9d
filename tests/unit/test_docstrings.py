"""Docstrings begin with what a thing is, not with a riddle about it."""

import ast
from pathlib import Path

from tests.harness import PROJECT

RIDDLES = {"What", "When", "Which", "Where", "How", "Who", "Whose", "Why"}
NOT_OURS = {"data", "logs", "wandb"}  # ignored by git
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> list[Path]:
    rooms = [path for path in PROJECT.iterdir() if path.is_dir() and path.name[0] != "." and path.name not in NOT_OURS]
    return [PROJECT / "run.py", *(path for room in rooms for path in room.rglob("*.py"))]


def test_docstrings_begin_with_the_noun() -> None:
    found = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = ast.get_docstring(node) if isinstance(node, DOCUMENTED) else None
            if text and text.split(maxsplit=1)[0] in RIDDLES:
                found.append(f"{path.relative_to(PROJECT)}: {text.splitlines()[0]}")
    assert not found, "\n".join(found)
