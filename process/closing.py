"""How what is under way is ended: within a time, whatever its library makes of being told.

A cancellation can be lost: by redis-py at about half of its awaits, by aiokafka and others before
Python 3.12, where `asyncio.wait_for` loses one that meets its result. So it is repeated until the
task has ended. Nothing of ours is imported, so that whoever has something to end may.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

# Longer than it takes to say goodbye to a server that is there, which should not be cut short.
_CANCEL_AGAIN_S: Final = 0.5

T = TypeVar("T")


async def end(tasks: Iterable[asyncio.Future[T]], within_s: float | None = None) -> bool:
    """Cancel tasks until they have ended, or after so many seconds did not; whether they have.

    How they ended they tell whoever asks. Cancelled itself, it goes on until that.
    """
    loop = asyncio.get_running_loop()
    until = None if within_s is None else loop.time() + within_s
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        left = _CANCEL_AGAIN_S if until is None else min(_CANCEL_AGAIN_S, until - loop.time())
        if left <= 0:
            return False
        _, pending = await asyncio.wait(pending, timeout=left)
    return True
