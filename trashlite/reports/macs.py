"""MACs of a network's layers on the screen."""

from rich.table import Table

from trashlite.compression.macs import MacsReport, shape_text


def macs_table(report: MacsReport, max_rows: int = 12) -> Table:
    """The `max_rows` largest layers in the order of the network, the others in one row, total and notes."""
    table = Table(title=f"MACs of one image, input {shape_text(report.input_size)}", show_footer=True)
    table.add_column("layer", f"all {len(report.layers)} layers", no_wrap=True)
    table.add_column("output")
    table.add_column("parameters", f"{report.params:,}", justify="right")
    table.add_column(report.counter, f"{report.macs:,}", justify="right")
    table.add_column("flop_counter", f"{report.flop_counter_macs:,}", justify="right")

    def size(index: int) -> int:
        return max(report.layers[index].macs, report.layers[index].flop_counter_macs)

    largest = set(sorted(range(len(report.layers)), key=size, reverse=True)[:max_rows])
    rest = [layer for index, layer in enumerate(report.layers) if index not in largest]
    rows = [
        (layer.name, "×".join(map(str, layer.output_shape or [])), [layer])
        for layer in (report.layers[index] for index in sorted(largest))
    ]
    if rest:
        rows.append((f"{len(rest)} smaller layers", "", rest))
    for name, output, layers in rows:
        sums = (sum(getattr(layer, key) for layer in layers) for key in ("params", "macs", "flop_counter_macs"))
        table.add_row(name, output, *(f"{value:,}" for value in sums))
    notes = ["flop_counter is torch's own count of operations, halved: a MAC is two."]
    if report.not_counted:
        notes.append(f"{report.counter} has no formula for, and counts as 0: {', '.join(report.not_counted)}.")
    notes += [f"The two counters differ: {text}." for text in report.differences]
    table.caption, table.caption_justify = "\n".join(notes), "left"
    return table
