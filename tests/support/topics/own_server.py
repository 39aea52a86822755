"""A broker or a Redis of a test's own, which can be replaced by an empty one at its address."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.embedded import valkey
from local.program import free_port, running
from process.addresses import RedisAddress
from tests.support.fixtures.kafka import broker
from tests.support.topics.destinations import KafkaDestination, RedisDestination

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.support.topics.destinations import Destination


@dataclass
class OwnServer:
    """Runs until the block ends in which it was opened."""

    destination: Destination
    start: Callable[[int], AbstractAsyncContextManager[object]]
    stack: AsyncExitStack
    lives: int = 0

    async def replace(self) -> None:
        """End the server, and start another that has nothing."""
        await self.stack.aclose()
        self.lives += 1
        await self.stack.enter_async_context(self.start(self.lives))


@asynccontextmanager
async def own_server(kind: str, folder: Path) -> AsyncIterator[OwnServer]:
    port = free_port()
    destination: Destination
    if kind == "kafka":
        destination = KafkaDestination(f"127.0.0.1:{port}")

        def start(life: int) -> AbstractAsyncContextManager[object]:
            return broker(folder / f"kafka-{life}", port)

    else:
        destination = RedisDestination(RedisAddress(host="127.0.0.1", port=port))

        def start(life: int) -> AbstractAsyncContextManager[object]:
            return _redis(folder / f"redis-{life}", port)

    async with AsyncExitStack() as stack:
        server = OwnServer(destination, start, stack)
        await server.replace()
        yield server


@asynccontextmanager
async def _redis(folder: Path, port: int) -> AsyncIterator[object]:
    folder.mkdir()
    program = await valkey.prepare(folder, port, log=folder / "log", durable=False)
    async with running(program):
        yield program
