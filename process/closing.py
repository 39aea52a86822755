"""How what is under way is ended: within a time, whatever its library makes of being told.

A cancellation can be lost: by redis-py at about half of its awaits, by aiokafka and others before
Python 3.12, where `asyncio.wait_for` loses one that meets its result. So it is repeated until the
task has ended. Nothing of ours is imported, so that whoever has something to end may.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# Longer than it takes to say goodbye to a server that is there, which should not be cut short.
_CANCEL_AGAIN_S: Final = 0.5


async def end(
    tasks: Iterable[asyncio.Task[object]],
    within_s: float | None = None,
    again_s: float = _CANCEL_AGAIN_S,
) -> bool:
    """Cancel tasks, again and again, until they have ended or the time is over; whether they have.

    How they ended they tell whoever asks. Cancelled itself, it ends them all the same.
    """
    loop = asyncio.get_running_loop()
    until = float("inf") if within_s is None else loop.time() + within_s
    pending = {task for task in tasks if not task.done()}
    was_cancelled = False
    while pending and (left := until - loop.time()) > 0:
        for task in pending:
            task.cancel()
        try:
            await asyncio.wait(pending, timeout=min(left, again_s))
        except asyncio.CancelledError:
            was_cancelled = True
        pending = {task for task in pending if not task.done()}
    if was_cancelled:
        raise asyncio.CancelledError
    return not pending
