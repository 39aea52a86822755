"""Reads API keys in batches: whatever is asked for while one question is out goes into the next.

So that strangers who try keys cost no more than a question at a time, however many they are; and
who asks for a key that is being asked for has that answer, or that failure, and waits for no other.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from process.closing import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from store.read.api_keys import ApiKey

    Found = asyncio.Future[ApiKey | None]


class KeyLookup:
    """Finds keys through `read`, which is given ids and answers with those that exist.

    By a task that lives as long as `running()`.
    """

    def __init__(self, read: Callable[[Sequence[str]], Awaitable[Mapping[str, ApiKey]]]) -> None:
        self._read = read
        # Of the question that is out, and of the next one.
        self._asked: dict[str, Found] = {}
        self._wanted: dict[str, Found] = {}
        self._something = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Keys can be found until the context is left."""
        asking = asyncio.create_task(self._ask_on(), name="key-lookup")
        try:
            yield self
        finally:
            await end([asking])

    async def find(self, key_id: str) -> ApiKey | None:
        """The key, valid or not. Raises what reading raises."""
        found = self._asked.get(key_id) or self._wanted.get(key_id)
        if found is None:
            found = self._wanted[key_id] = asyncio.get_running_loop().create_future()
            self._something.set()
        # Others may wait for the same.
        return await asyncio.shield(found)

    async def _ask_on(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            self._asked, self._wanted = self._wanted, {}
            try:
                keys = await self._read(list(self._asked))
            except Exception as error:  # noqa: BLE001 - all who asked are told
                for each in self._asked.values():
                    each.set_exception(error)
                    each.exception()  # seen, though its asker may have gone away
            else:
                for key_id, each in self._asked.items():
                    each.set_result(keys.get(key_id))
            self._asked = {}
