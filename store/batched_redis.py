"""Redis for a busy process: the commands of concurrent tasks share one round trip.

Redis only ever saves work here, so it is never waited for long: a command fails fast while
the server is away, and whoever asked goes on without it. One pipeline is in flight at a
time; what comes in meanwhile is the next one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Self

import structlog

from store.redis import TIMEOUT_SECONDS
from store.redis_cluster import ClusterClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from redis.asyncio import Redis

log = structlog.get_logger()

Argument = bytes | str | int

# While Redis is away this is how often somebody finds out whether it is back.
_PAUSE_SECONDS: Final = 1.0
_BATCH_MAX: Final = 256
# Some seconds of requests: more waiting than that means that nobody answers.
_QUEUE_MAX: Final = 10_000


class RedisAway(Exception):
    """Redis did not answer: do without."""


class BatchedRedis:
    """Sends commands in shared pipelines, by a task that lives as long as `running()`."""

    def __init__(self, client: Redis | ClusterClient) -> None:
        self._client = client
        self._queue: deque[tuple[tuple[Argument, ...], asyncio.Future[object] | None]] = deque()
        self._arrived = asyncio.Event()
        self._away_until = 0.0
        self._is_away = False
        self._stopping = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Send until the context is left, and then what is queued still."""
        self._stopping = False
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_all(), name="batched-redis")
            try:
                yield self
            finally:
                # Told, not cancelled: a client cancelled in the middle of an exchange may
                # swallow it, and each exchange ends within its timeout by itself.
                self._stopping = True
                self._arrived.set()

    async def ask(self, *command: Argument) -> object:
        """The answer to one command. Raises RedisAway."""
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if not self._enqueue(command, answer):
            raise RedisAway
        return await answer

    def tell(self, *command: Argument) -> bool:
        """Send one command and forget it; False when it was not even queued."""
        return self._enqueue(command, None)

    def _enqueue(
        self, command: tuple[Argument, ...], answer: asyncio.Future[object] | None
    ) -> bool:
        if self._is_away and asyncio.get_running_loop().time() < self._away_until:
            return False
        if len(self._queue) >= _QUEUE_MAX:
            return False
        self._queue.append((command, answer))
        self._arrived.set()
        return True

    async def _send_all(self) -> None:
        while not self._stopping:
            await self._arrived.wait()
            self._arrived.clear()
            while self._queue:
                await self._send()

    async def _send(self) -> None:
        size = min(_BATCH_MAX, len(self._queue))
        batch = [self._queue.popleft() for _ in range(size)]
        answers = [answer for _, answer in batch]
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                results = await self._executed([command for command, _ in batch])
        except Exception as error:  # noqa: BLE001 - argued in the next line
            # Whatever the client raises, Redis only ever saves work: go on without it.
            self._went_away(error)
            self._fail(answers)
            return
        except asyncio.CancelledError:
            self._fail(answers)
            raise
        self._is_away = False
        for answer, result in zip(answers, results, strict=True):
            if answer is None or answer.done():
                continue
            if isinstance(result, Exception):
                answer.set_exception(RedisAway(repr(result)))
            else:
                answer.set_result(result)

    async def _executed(self, commands: Sequence[tuple[Argument, ...]]) -> list[object]:
        if isinstance(self._client, ClusterClient):
            return await self._client.executed(commands)
        async with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            results: list[object] = await pipeline.execute(raise_on_error=False)
        return results

    def _went_away(self, error: Exception) -> None:
        if not self._is_away:
            log.warning("redis is away", error=repr(error))
        self._is_away = True
        self._away_until = asyncio.get_running_loop().time() + _PAUSE_SECONDS

    @staticmethod
    def _fail(answers: Sequence[asyncio.Future[object] | None]) -> None:
        for answer in answers:
            if answer is not None and not answer.done():
                answer.set_exception(RedisAway())
