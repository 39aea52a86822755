"""Connections to Redis that never reconnect by themselves: what was lost must be noticed.

Whoever connected last is the only writer; the server holds its token, and the script that appends
compares it. A server that forgot the token has forgotten what was in its streams too. Of a cluster
each stream is at a server of its own, and with it, in the same slot, who writes to it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

import redis.exceptions
from redis.asyncio import Connection

import store.redis
from process.addresses import RedisAddress
from topics.relay.failures import SinkFailure
from topics.relay.sinks import resp

WRITER_KEY: Final = b"payments:relay:writer"
_ANSWER_SECONDS_MAX: Final = 30.0


class Shard(NamedTuple):
    """One server, the streams that are there, and the key that says who writes to them."""

    server: "RedisServer"
    writer_key: bytes
    topics: tuple[str, ...]


@contextlib.asynccontextmanager
async def connected(
    address: RedisAddress, topics: Sequence[str]
) -> AsyncIterator[tuple[Shard, ...]]:
    """One connection, or one for each stream of a cluster. Raises `SinkFailure`."""
    async with contextlib.AsyncExitStack() as stack:
        shards = [
            Shard(await stack.enter_async_context(_connected(server)), writer_key, there)
            for server, writer_key, there in await _places(address, topics)
        ]
        yield tuple(shards)


async def _places(
    address: RedisAddress, topics: Sequence[str]
) -> list[tuple[RedisAddress, bytes, tuple[str, ...]]]:
    if not address.cluster:
        return [(address, WRITER_KEY, tuple(topics))]
    try:
        servers = await store.redis.servers_of(address, topics)
    except store.redis.AWAY as error:
        raise SinkFailure(f"Redis does not answer: {error}") from error
    # What stands in braces decides about the slot.
    return [
        (server, b"{%b}:relay:writer" % topic.encode(), (topic,))
        for topic, server in zip(topics, servers, strict=True)
    ]


@contextlib.asynccontextmanager
async def _connected(address: RedisAddress) -> AsyncIterator["RedisServer"]:
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

    async def take_over(self, writer_key: bytes) -> bytes:
        """Become the only writer; returns a token no connection of this server had before."""
        connection = await self.ask(b"CLIENT", b"ID")
        server = await self.ask(b"INFO", b"server")
        token = f"{_run_id(server)}-{connection}".encode()
        await self.ask(b"SET", writer_key, token)
        return token


def _run_id(answer: object) -> str:
    """What tells one run of the server from the next, so that numbers of connections may repeat."""
    if isinstance(answer, bytes):
        for line in answer.splitlines():
            name, _, value = line.partition(b":")
            if name == b"run_id":
                return value.decode()
    raise SinkFailure("Redis does not say which server it is")
