"""Reads API keys in batches: whatever is asked for while one question is out goes into the next.

So that strangers who try keys cost no more than a question at a time, however many they are.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from store.read.api_keys import ApiKey

    Found = asyncio.Future[ApiKey | None]


class KeyLookup:
    """Finds keys through `read`, which is given ids and answers with those that exist."""

    def __init__(self, read: Callable[[Sequence[str]], Awaitable[Mapping[str, ApiKey]]]) -> None:
        self._read = read
        self._wanted: dict[str, Found] = {}
        self._turn = asyncio.Lock()

    async def find(self, key_id: str) -> ApiKey | None:
        """The key, valid or not. Raises what reading raises."""
        found = self._wanted.get(key_id)
        if found is None:
            found = self._wanted[key_id] = asyncio.get_running_loop().create_future()
        async with self._turn:
            if not found.done():
                # Whoever's turn it is asks for all who came meanwhile.
                await self._ask()
        return found.result()

    async def _ask(self) -> None:
        wanted, self._wanted = self._wanted, {}
        try:
            keys = await self._read(list(wanted))
        except Exception as error:  # noqa: BLE001 - all who asked are told
            for each in wanted.values():
                each.set_exception(error)
                each.exception()  # seen, though its asker may have gone away
        except asyncio.CancelledError:
            # Its own request was given up; the others' are asked for by the next one.
            self._wanted = wanted | self._wanted
            raise
        else:
            for key_id, each in wanted.items():
                each.set_result(keys.get(key_id))
