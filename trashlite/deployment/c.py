"""C export in float32: one header and one source without dependencies, resize and landscape turn inside."""

from pathlib import Path

from torch import nn

from trashlite.deployment.c_build import artefact
from trashlite.deployment.c_float import float_program
from trashlite.deployment.c_source import write_program
from trashlite.deployment.spec import Artefact, ExportSpec
from trashlite.deployment.trace import trace


def export(network: nn.Module, spec: ExportSpec, folder: Path) -> Artefact:
    """Write `trashlite.h`, `trashlite.c`, an example and a Makefile.

    Raises:
        UserError: the network holds an operator that cannot be expressed.
    """
    settings = spec.preprocessing
    height, width = settings["image_size"]
    graph = trace(network, (3, height, width))
    program, arena = float_program(graph, settings["mean"], settings["std"])
    write_program(program, spec, arena, folder)
    return artefact(folder, spec)
