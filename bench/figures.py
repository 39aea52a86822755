"""What a benchmark says: named figures with their units, and how times are summed up."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Figure:
    """One number; `note` says under which circumstances it came about."""

    name: str
    value: float
    unit: str
    note: str = ""

    def __str__(self) -> str:
        digits = 0 if self.value >= 100 else 1 if self.value >= 10 else 2
        note = f"  ({self.note})" if self.note else ""
        return f"{self.name:<44} {self.value:>10,.{digits}f} {self.unit}{note}"


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed; 0 of none."""
    return ordered[max(ceil(len(ordered) * share) - 1, 0)] if ordered else 0.0
