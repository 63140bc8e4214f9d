"""C source of a network: what depends on it, between the files of `templates/`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from textwrap import fill
from typing import Any

from trashlite.data.decode import kernel_of
from trashlite.deployment.graph import Graph, Operator, Pool, Window
from trashlite.deployment.spec import ExportSpec
from trashlite.errors import UserError

TEMPLATES = Path(__file__).parent / "templates"
FILES = ("trashlite.h", "trashlite.c", "main.c", "Makefile")


@dataclass
class Program:
    """Parts of the source that one network gives.

    Attributes:
        kernels: name of the template with the operators.
        features: operators that are used, all others are left out.
        constants, calls: C text.
    """

    kernels: str
    features: set[str] = field(default_factory=set)
    constants: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def array(self, kind: str, name: str, values: Iterable[float]) -> str:
        """Add a constant array; returns its name."""
        items = [_literal(value) if kind == "float" else str(int(value)) for value in values]
        self.constants.append(f"static const {kind} {name}[{len(items)}] = {{\n{fill(', '.join(items), 118)}\n}};")
        return name

    def call(self, operator: Operator, text: str, *features: str) -> None:
        """Add a call of an operator."""
        self.features.update(features)
        self.calls.append(f"{text} /* {re.sub(r'[^A-Za-z0-9_.]', '_', operator.layer)} */")


def numbers(*values: float) -> str:
    """Values as C literals in a row: int as int, float as float, infinite as the largest float."""
    return ", ".join(str(value) if isinstance(value, int) else _literal(value) for value in values)


def _literal(value: float) -> str:
    if abs(value) == float("inf"):
        return "FLT_MAX" if value > 0 else "-FLT_MAX"
    text = f"{value:.9g}"
    return text + ("f" if "." in text or "e" in text else ".0f")


def window_literal(graph: Graph, operator: Operator, window: Window) -> str:
    """Initialiser of a `struct window`."""
    before, after = graph.shapes[operator.inputs[0]], graph.shapes[operator.output]
    sizes = (before.height, before.width, before.channels, after.height, after.width, after.channels)
    return f"{{{numbers(*sizes, *window.kernel, *window.stride, *window.padding, *window.dilation)}}}"


def pool_feature(pool: Pool) -> str:
    """Name of the feature that a pooling needs."""
    return f"HAS_POOL_{pool.kind.upper()}"


def check_settings(preprocessing: Mapping[str, Any]) -> tuple[str, str]:
    """Resize mode and kernel of a preprocessing.

    Raises:
        UserError: the exports cannot do them.
    """
    mode, kernel = preprocessing["resize_mode"], kernel_of(preprocessing)
    if mode not in ("stretch", "letterbox", "landscape") or kernel not in ("bilinear", "box"):
        raise UserError(f"The C and HTML exports know no resize_mode={mode} with kernel={kernel}.")
    return mode, kernel


def write_program(program: Program, spec: ExportSpec, arena: int, folder: Path) -> None:
    """Write header, source, example and Makefile.

    Args:
        arena: size of the activations in values.

    Raises:
        UserError: images are resized in an unknown way.
    """
    height, width = spec.preprocessing["image_size"]
    mode, kernel = check_settings(spec.preprocessing)
    is_float = program.kernels == "network_float.c"
    header = {
        "name": spec.name,
        "classes": len(spec.class_names),
        "height": height,
        "width": width,
        "macs": spec.macs,
        "arena": arena * (4 if is_float else 1),
        "temperature": _literal(spec.temperature).removesuffix("f"),
        "threshold": _literal(spec.threshold).removesuffix("f"),
    }
    (folder / "trashlite.h").write_text(Template(_template("trashlite.h")).substitute(header))
    for name in ("main.c", "Makefile"):
        (folder / name).write_text(_template(name))

    defines = [f"MODE_{mode.upper()}", f"KERNEL_{kernel.upper()}", *sorted(program.features)]
    parts = [
        f"/* {spec.name}: written by trashlite; see trashlite.h. */",
        "\n".join(f"#include <{name}.h>" for name in ("float", "math", "stddef", "stdint", "string")),
        '#include "trashlite.h"',
        "\n".join(f"#define {name}" for name in defines)
        + "\n#define INPUT_HEIGHT TRASHLITE_HEIGHT\n#define INPUT_WIDTH TRASHLITE_WIDTH",
        f"const char *const trashlite_class_names[TRASHLITE_CLASSES] = {{{_strings(spec.class_names)}}};",
        *program.constants[: 2 if is_float else 0],
        _template("resize.c"),
        _template("window.c"),
        _template(program.kernels),
        _template("gather.c"),
        *program.constants[2 if is_float else 0 :],
        f"static value arena[{arena}];",
        "static uint8_t pixels[INPUT_HEIGHT * INPUT_WIDTH * 3];",
        "void trashlite_logits(const uint8_t *image, float *logits)\n{\n    " + "\n    ".join(program.calls) + "\n}",
        _template("classify.c"),
    ]
    (folder / "trashlite.c").write_text("\n\n".join(part.strip() for part in parts) + "\n")


def _template(name: str) -> str:
    return (TEMPLATES / name).read_text()


def _strings(names: Sequence[str]) -> str:
    """C string literals; whatever is not plain ASCII as octal bytes."""
    return ", ".join(
        '"' + "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in name.encode()) + '"'
        for name in names
    )
