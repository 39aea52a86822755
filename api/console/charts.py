"""Charts as numbers for SVG: bars in stacks and lines, in a box of a hundred by a hundred.

Nothing here is markup; a template draws what is said, and a chart without figures says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_BOX: Final = 100.0
# Between two bars, of the width of one.
_GAP: Final = 0.25


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a stack, in the box's units; `tone` is its colour."""

    x: float
    y: float
    width: float
    height: float
    tone: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn, and the value at its top."""

    bars: Sequence[Bar]
    lines: Sequence[str]
    top: float


def stacks(columns: Sequence[Sequence[tuple[str, float]]]) -> Chart:
    """A stack for each column, of parts with their tones, from the ground up."""
    top = max((sum(value for _, value in parts) for parts in columns), default=0.0)
    step = _BOX / max(len(columns), 1)
    bars = [
        bar
        for number, parts in enumerate(columns)
        for bar in _stack(parts, number * step + step * _GAP / 2, step * (1 - _GAP), top)
    ]
    return Chart(bars, (), top)


def lines(series: Sequence[Sequence[float | None]]) -> Chart:
    """A line for each series; where nothing is known it has a gap."""
    top = max((value for each in series for value in each if value is not None), default=0.0)
    return Chart((), [_path(each, top) for each in series], top)


def _stack(parts: Iterable[tuple[str, float]], x: float, width: float, top: float) -> Iterable[Bar]:
    ground = _BOX
    for tone, value in parts:
        if value > 0:
            height = _BOX * value / top
            ground -= height
            yield Bar(round(x, 2), round(ground, 2), round(width, 2), round(height, 2), tone)


def _path(values: Sequence[float | None], top: float) -> str:
    step, said, pen = _BOX / max(len(values), 1), [], "M"
    for number, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        y = _BOX - _BOX * value / top if top else _BOX
        # A value without neighbours is a dot.
        said.append(f"{pen}{(number + 0.5) * step:.2f} {y:.2f}" + ("h0" if pen == "M" else ""))
        pen = "L"
    return "".join(said)
