"""The formats that a network can be exported to, by the name that `make export FORMAT=` takes."""

from importlib import import_module

from trashlite.deployment.spec import Format
from trashlite.errors import UserError

FORMATS = {  # the module here whose `export` it is, imported when asked for: each needs packages of its own
    "onnx": "onnx",
    "int8": "int8",
    "c": "c",
    "c_int8": "c_int8",
    "html": "page",
}


def load_format(name: str) -> Format:
    """The function that writes a format.

    Raises:
        UserError: there is no such format, or a package that it needs is not installed.
    """
    if name not in FORMATS:
        raise UserError(f"There is no export format {name!r}; choose from {', '.join(FORMATS)}.")
    try:
        return import_module(f"trashlite.deployment.{FORMATS[name]}").export
    except ModuleNotFoundError as error:
        raise UserError(f"The format {name} needs the package {error.name}: make setup-deploy installs it.") from error
