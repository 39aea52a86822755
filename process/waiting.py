"""Waiting for a server: one that is away is waited for, one that refuses us is not.

Whoever waits here is cancelled when the process is told to stop (see `lifecycle`).
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import structlog

from process.lifecycle import CannotBegin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

log = structlog.get_logger()

T = TypeVar("T")
Errors: TypeAlias = tuple[type[Exception], ...]

_FIRST_WAIT_S: Final = 0.1
# A server that failed over is back within seconds; asking it twice a second hurts nobody.
_LONGEST_WAIT_S: Final = 2.0


async def until_reached(
    server: str, attempt: Callable[[], Awaitable[T]], *, away: Errors, refused: Errors = ()
) -> T:
    """The result of `attempt` as soon as it has one; the server is away while it raises `away`.

    Raises CannotBegin for what it raises of `refused`, which may be kinds of `away`.
    """
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            with naming(server, refused):
                return await attempt()
        except away as error:
            log.warning("waiting", what=server, error=repr(error), seconds=wait_s)
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, _LONGEST_WAIT_S)


@contextmanager
def naming(server: str, refused: Errors) -> Iterator[None]:
    """Raise CannotBegin where the server refuses us: neither waiting nor a restart mends that."""
    try:
        yield
    except refused as error:
        raise CannotBegin(f"{server} refuses us: {error}") from error
