"""Whose turn it is of those that are set aside: by a clock that each try moves on."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Final

from store.write.commit import Submission
from store.write.set_aside import SetAside
from store.write.waiting import Waiting
from tests.support.factories import pay
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

_MANY: Final = 256
# Whatever was set aside is due again by then.
_TRY_S: Final = 1.0


class Held:
    """All that is tried is held still; `order` tells of whom each try was."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []
        self.aside = SetAside(self.again, 1_000, lambda: self.now)
        self._named: dict[Waiting, tuple[str, int]] = {}

    def put(self, name: str, together_max: int, count: int = 1, then_max: int = 0) -> None:
        """So many more that wait, of which so many may be tried at once; then so many, if said."""
        answer = asyncio.get_running_loop().create_future
        put = [Waiting(Submission(pay(uuid.uuid4())), answer(), 0.0) for _ in range(count)]
        self._named |= dict.fromkeys(put, (name, then_max or together_max))
        self.aside.put(put, together_max)

    async def again(self, batch: Sequence[Waiting]) -> None:
        self.now += _TRY_S
        self.order.append(" ".join(sorted({self._named[each][0] for each in batch})))
        for each in batch:
            self.aside.put([each], self._named[each][1])
        await asyncio.sleep(0)

    async def tried(self, tries: int) -> list[str]:
        """Of whom so many tries are, once all is due."""
        self.now += _TRY_S
        self.order = []
        running = asyncio.ensure_future(self.aside.run())
        await eventually(lambda: len(self.order) >= tries)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return self.order[:tries]


async def test_who_waits_for_a_row_waits_for_one_try_of_the_others_at_the_most() -> None:
    """However many there are that each have a try wait, and however long they have been due."""
    held = Held()
    for number in range(5):
        held.put(f"key {number}", 1)
    assert "row" not in await held.tried(7)
    held.put("row", _MANY, count=3)
    order = await held.tried(8)
    assert order[::2] == ["row"] * 4
    assert "row" not in order[1::2]


async def test_who_waits_for_a_row_keeps_nobody_else_waiting() -> None:
    """Of the others it is each one's turn, whoever has been due longest first."""
    held = Held()
    for number in range(3):
        held.put(f"key {number}", 1)
        held.now += _TRY_S / 100
    held.put("table", 8, count=8)
    held.put("row", _MANY, count=3)
    assert await held.tried(10) == [
        *("row", "key 0", "row", "key 1", "row", "key 2", "row", "table", "row", "key 0")
    ]


async def test_who_stood_still_for_a_row_after_all_is_one_of_the_many_again() -> None:
    """It is told with them whether the row is free, and not by a try of its own."""
    held = Held()
    held.put("row", _MANY, count=2)
    held.put("other", 1, then_max=_MANY)
    assert await held.tried(2) == ["row", "other"]
    assert await held.tried(1) == ["other row"]


async def test_as_many_are_tried_at_once_as_may_be_and_nothing_else_with_them() -> None:
    """What stood still together makes nobody stand still beside it."""
    held = Held()
    held.put("table", 2, count=4)
    held.put("row", _MANY, count=_MANY + 1)
    assert await held.tried(5) == ["row", "table", "row", "table", "row"]
    assert len(held.aside) == _MANY + 5
