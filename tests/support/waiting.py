"""How a test waits: for a condition, with a deadline, and never for time to pass."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from store.pool import AWAY

_T = TypeVar("_T")

_POLL_SECONDS: Final = 0.02
# A bound ends what hangs, and judges nothing: side by side each has a part of the machine only.
PATIENCE: Final = 4.0 if "PYTEST_XDIST_WORKER" in os.environ else 1.0


async def eventually(check: Callable[[], Awaitable[bool] | bool], within: float = 10.0) -> None:
    """Return as soon as `check` holds; fail when it has not held within so many seconds.

    Side by side with others it may take several times as long. A check that raises
    `AssertionError` does not hold yet; its last words end up in the failure.
    """
    within *= PATIENCE
    deadline = time.monotonic() + within
    last: AssertionError | None = None
    while True:
        try:
            outcome = check()
            if await outcome if isinstance(outcome, Awaitable) else outcome:
                return
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"did not become true within {within} s") from last
        await asyncio.sleep(_POLL_SECONDS)


async def answered(ask: Callable[[], Awaitable[_T]], within: float = 60.0) -> _T:
    """What Postgres answers, asked again while it is away; its error when that does not end."""
    deadline = time.monotonic() + within * PATIENCE
    while True:
        try:
            return await ask()
        except AWAY:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_POLL_SECONDS)


def in_time(seconds: float) -> asyncio.Timeout:
    """A bound around what a test awaits: so many seconds, and side by side as much longer."""
    return asyncio.timeout(seconds * PATIENCE)
