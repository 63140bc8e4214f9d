"""Places of a graph's buffers in one block of memory: two share bytes where they are never needed at once."""

from dataclasses import dataclass

from trashlite.deployment.execute import last_uses
from trashlite.deployment.graph import Activation, Binary, Graph


@dataclass
class _Block:
    """Values with the first and the last step that need them; `buffers` hold them in turn."""

    size: int
    first: int
    last: int
    buffers: list[int]
    offset: int = 0


def place(graph: Graph) -> tuple[dict[int, int], int]:
    """Offset of each buffer, and the size of the whole, in values.

    Operator i runs at step i. An activation, and a sum or product, write over their first input where nobody needs it
    afterwards. The largest buffers are placed first, each at the lowest offset that is free for its lifetime.
    """
    last = last_uses(graph)
    sizes = [shape.size for shape in graph.shapes]
    block_of = {graph.source: _Block(sizes[graph.source], -1, last[graph.source], [graph.source])}
    for step, operator in enumerate(graph.operators):
        source, output = operator.inputs[0], operator.output
        fits = isinstance(operator, Activation | Binary) and sizes[source] == sizes[output]
        if fits and last[source] == step and block_of[source].last == step and operator.inputs.count(source) == 1:
            block_of[output] = block_of[source]
            block_of[output].buffers.append(output)
            block_of[output].last = last[output]
        else:
            block_of[output] = _Block(sizes[output], step, last[output], [output])
    blocks = list({id(block): block for block in block_of.values()}.values())
    blocks.sort(key=lambda block: -block.size)
    for count, block in enumerate(blocks):
        alive = [other for other in blocks[:count] if other.first <= block.last and block.first <= other.last]
        for other in sorted(alive, key=lambda other: other.offset):
            if other.offset - block.offset >= block.size:
                break
            block.offset = max(block.offset, other.offset + other.size)
    return (
        {buffer: block.offset for block in blocks for buffer in block.buffers},
        max(block.offset + block.size for block in blocks),
    )
