"""A message handed over to its stream without a task, where nobody need wait.

Faust waits for that beside whatever may interrupt it, a rebalance or a stop: four tasks a message,
a third of what it takes, for what ends at once unless the buffer is full.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mode.services import Service, WaitResults

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from mode.services import WaitArgT
    from mode.utils.times import Seconds


class HandsOver(Service):
    """A service that begins what it waits for itself, and has tasks made only if it must wait."""

    async def wait_first(
        self,
        *coros: WaitArgT,
        timeout: Seconds = None,  # type: ignore[assignment]  # noqa: ASYNC109 - Faust's signature
    ) -> WaitResults:
        """Whichever ends first; the first has, if it need not wait."""
        first, *others = coros
        if not asyncio.iscoroutine(first):
            return await super().wait_first(*coros, timeout=timeout)
        try:
            awaited = first.send(None)
        except BaseException as end:
            for other in others:
                if asyncio.iscoroutine(other):
                    other.close()
            if not isinstance(end, StopIteration):
                raise
            return WaitResults([first], [end.value], stopped=False)
        return await super().wait_first(_Begun(first, awaited), *others, timeout=timeout)


class _Begun:
    """A coroutine that was begun, and waits for something: awaited, it goes on."""

    def __init__(self, coroutine: Coroutine[Any, Any, object], awaited: object) -> None:
        self._coroutine = coroutine
        self._awaited = awaited

    def __await__(self) -> Generator[object, object, object]:
        awaited = self._awaited
        while True:
            try:
                try:
                    sent = yield awaited
                except BaseException as error:  # noqa: BLE001 - handed on, a cancellation too
                    awaited = self._coroutine.throw(error)
                else:
                    awaited = self._coroutine.send(sent)
            except StopIteration as end:
                return end.value
