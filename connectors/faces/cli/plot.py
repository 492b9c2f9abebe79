"""A small plot for the terminal: columns of eighths of a character, with an axis."""

from collections.abc import Sequence
from typing import Final

EIGHTHS: Final = " ▁▂▃▄▅▆▇█"


def columns(values: Sequence[float], *, height: int, labels: Sequence[str], unit: str) -> list[str]:
    """Lines of a plot, one character a value; `labels` are spread under it, the largest value stands at the top."""
    top = max(max(values, default=0.0), 1e-9)
    margin = max(len(f"{top:,.0f} {unit}"), 4)
    lines = []
    for row in range(height, 0, -1):
        cells = [max(0.0, min(1.0, value / top * height - (row - 1))) for value in values]
        scale = f"{top:,.0f} {unit}" if row == height else "0" if row == 1 else ""
        lines.append(f"{scale:>{margin}} ┤" + "".join(EIGHTHS[round(cell * 8)] for cell in cells))
    axis = [" "] * (len(values) + max((len(label) for label in labels), default=0))
    for index, label in enumerate(labels):
        at = index * (len(values) - 1) // max(len(labels) - 1, 1)
        axis[at : at + len(label)] = label
    lines.append(" " * (margin + 2) + "".join(axis).rstrip())
    return lines
