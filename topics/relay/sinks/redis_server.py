"""One connection to Redis that never reconnects by itself: what was lost must be noticed.

Whoever connected last is the only writer; the server holds its token, and the script that appends
compares it. A server that forgot the token has forgotten what was in its streams too.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import redis.exceptions
from redis.asyncio import Connection

import store.redis
from process.addresses import RedisAddress
from topics.relay.failures import SinkFailure
from topics.relay.sinks import resp

WRITER_KEY: Final = b"payments:relay:writer"
_ANSWER_SECONDS_MAX: Final = 30.0


@contextlib.asynccontextmanager
async def connected(address: RedisAddress) -> AsyncIterator["RedisServer"]:
    """A connection of our own. Raises `SinkFailure`."""
    # With a timeout of its own it sends by `asyncio.wait_for`, which can lose a cancellation
    # before Python 3.12: see `send`.
    connection = store.redis.connection(address, client_name="payments-relay")
    try:
        await connection.connect()  # type: ignore[no-untyped-call]  # the library leaves it bare
    except (redis.exceptions.RedisError, OSError) as error:
        raise SinkFailure(f"Redis does not answer: {error}") from error
    try:
        yield RedisServer(connection)
    finally:
        await connection.disconnect(nowait=True)


class RedisServer:
    """Sends one command at a time. Every method raises `SinkFailure`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._free = asyncio.Lock()

    async def ask(self, *arguments: bytes) -> object:
        return await self.send([resp.command(arguments)])

    async def send(self, packed: list[bytes]) -> object:
        """Send a command that is already encoded; returns its answer."""
        async with self._free:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS_MAX):
                    return await self._exchange(packed)
            except (redis.exceptions.RedisError, OSError) as error:
                raise SinkFailure(f"Redis refused or went away: {error}") from error

    async def _exchange(self, packed: list[bytes]) -> object:
        await self._connection.send_packed_command(packed, check_health=False)
        answer: object = await self._connection.read_response(disable_decoding=True)
        return answer

    async def take_over(self) -> bytes:
        """Become the only writer; returns a token no connection of this server had before."""
        connection = await self.ask(b"CLIENT", b"ID")
        server = await self.ask(b"INFO", b"server")
        token = f"{_run_id(server)}-{connection}".encode()
        await self.ask(b"SET", WRITER_KEY, token)
        return token


def _run_id(answer: object) -> str:
    """What tells one run of the server from the next, so that numbers of connections may repeat."""
    if isinstance(answer, bytes):
        for line in answer.splitlines():
            name, _, value = line.partition(b":")
            if name == b"run_id":
                return value.decode()
    raise SinkFailure("Redis does not say which server it is")
