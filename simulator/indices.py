"""Which ids carry a name: an index that lies where what it points to lies, and is as bounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import orjson

from simulator.spill import Spill, Spilled

# An id, and the number of the one before it under the same name.
_Node = tuple[str, str | None]


class Index:
    """Ids by the names they were added under, however many to a name."""

    def __init__(self, file: Spill) -> None:
        # One id a name is the rule, which takes one value: only those before it take another.
        self._newest: Final[Spilled[_Node]] = Spilled(file, _node)
        self._older: Final[Spilled[_Node]] = Spilled(file, _node)

    def add(self, name: str, one: str) -> None:
        """Put an id before those that the name has."""
        before = self._newest.get(name)
        number = None
        if before is not None:
            number = str(len(self._older))
            self._older[number] = before
        self._newest[name] = (one, number)

    def newest_first(self, name: str) -> Iterator[str]:
        """The ids of a name, as often as each was added. Nothing may be added meanwhile."""
        node = self._newest.get(name)
        while node is not None:
            yield node[0]
            node = None if node[1] is None else self._older[node[1]]


def _node(written: bytes) -> _Node:
    one, number = orjson.loads(written)
    return one, number
