"""Which cells of the fault matrix `make test` runs: a few that stay, or others by the number given.

`MATRIX_SEED=5 make test` draws as many as there usually are from all of them, and the same ones
whenever it is given the same number.
"""

from __future__ import annotations

import os
from random import Random
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

_SEED: Final = "MATRIX_SEED"

CellT = TypeVar("CellT")


def chance(about: str) -> Random:
    """What is random in this run, of one thing apart from another's."""
    return Random(f"{os.environ.get(_SEED)} {about}")


def sample(about: str, cells: Sequence[CellT], usual: Sequence[CellT]) -> Sequence[CellT]:
    """The usual ones, unless a number is given."""
    strangers = [each for each in usual if each not in cells]
    assert not strangers, f"there is no {strangers}"
    return chance(about).sample(cells, len(usual)) if _SEED in os.environ else usual
