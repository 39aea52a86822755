"""Notices that a Kafka broker went away, even if it is back before anything is sent.

A client reconnects without a word and sends on. That is right for a broker that keeps what it
acknowledged, and wrong for one that forgot its last seconds: later messages would stand before
the lost ones. So the relay holds one connection of its own and asks on it all the time; when that
ends it reads back what the broker has before it sends anything more.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from typing import Final

from process.addresses import KafkaAddress
from topics.kafka import bare_connection
from topics.relay.failures import SinkFailure

# A proxy may hold our side open though the broker is gone, so we ask. Well below the producer's
# own pause before it sends again (`retry_backoff_ms`), which is what this must outrun.
_ASK_EVERY_SECONDS: Final = 0.25
_ANSWER_SECONDS_MAX: Final = 10.0
_CLIENT_ID: Final = b"payments-relay-watch"
# ApiVersions, version 0: the one request every broker answers to everybody.
_BODY: Final = struct.pack(">hhih", 18, 0, 0, len(_CLIENT_ID)) + _CLIENT_ID
_SIZE: Final = struct.Struct(">i")
_REQUEST: Final = _SIZE.pack(len(_BODY)) + _BODY


@contextlib.asynccontextmanager
async def watched(address: KafkaAddress) -> AsyncIterator["BrokerWatch"]:
    """A connection to the first broker of the list that answers. Raises `ConnectionError`."""
    reader, writer = await bare_connection(address)
    try:
        yield BrokerWatch(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class BrokerWatch:
    """One connection; `run` raises `SinkFailure` when it ends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def run(self) -> None:
        while True:
            try:
                self._writer.write(_REQUEST)
                async with asyncio.timeout(_ANSWER_SECONDS_MAX):
                    (size,) = _SIZE.unpack(await self._reader.readexactly(_SIZE.size))
                    await self._reader.readexactly(size)
            except (OSError, asyncio.IncompleteReadError) as error:
                raise SinkFailure(f"the broker went away: {error!r}") from error
            await asyncio.sleep(_ASK_EVERY_SECONDS)
