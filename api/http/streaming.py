"""An answer that is sent as it comes to be: chunk by chunk, to one who reads it as it comes.

Whoever takes nothing for too long is cut off, so that nothing piles up for them here.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from aiohttp.payload import Payload

from store.write.group_commit import Answer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from aiohttp.abc import AbstractStreamWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed(Answer):
    """Its body is `chunks`; `cut_off` is called for who has not taken one for `patience_s`."""

    chunks: AsyncGenerator[bytes, None]
    patience_s: float
    cut_off: Callable[[], None]


class StreamBody(Payload):
    """What aiohttp sends of it."""

    def __init__(self, answer: Streamed) -> None:
        super().__init__(answer.chunks)
        self._answer = answer

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> NoReturn:
        """There is no such text: it is not known before its end."""
        raise TypeError(f"a stream cannot be decoded ({encoding}, {errors})")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send it, to its end."""
        answer = self._answer
        async with aclosing(answer.chunks) as chunks:
            async for chunk in chunks:
                try:
                    async with asyncio.timeout(answer.patience_s):
                        await writer.write(chunk)
                except TimeoutError:
                    answer.cut_off()
                    raise ConnectionError("the client takes nothing") from None
