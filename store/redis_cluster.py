"""Redis Cluster: a client that finds the server of each key, and batches over all of them.

One server that is away takes its own keys with it and no others. The client looks anew who has
which keys where one did not answer, once a second at most.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, Self

from redis.asyncio import Connection, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import RedisClusterException, RedisError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from process.addresses import RedisAddress, Tls

Command = tuple[bytes | str | int, ...]

_LOOK_AGAIN_SECONDS: Final = 1.0


class _NodeConnection(Connection):
    """To one server, which redis-py finds the place of."""

    def __init__(self, *, tls: Tls | None = None, **options: Any) -> None:  # noqa: ANN401 - redis-py's
        super().__init__(**options)
        self._tls = tls

    def _connection_arguments(self) -> Mapping[str, object]:
        ours: dict[str, object] = {} if self._tls is None else {"ssl": self._tls.context()}
        return {**super()._connection_arguments(), **ours}


class ClusterClient(RedisCluster):
    """Connects with its first command, as the client of one server does."""

    __slots__ = ("_finding", "_looks_again_from")

    def __init__(self, address: RedisAddress, **options: Any) -> None:  # noqa: ANN401 - redis-py's
        super().__init__(
            startup_nodes=[ClusterNode(host, port) for host, port in address.cluster],
            # What is left of it goes on.
            require_full_coverage=False,
            username=address.user or None,
            password=address.password or None,
            **options,
        )
        # It takes no class of connection, and its own with TLS believes whom the machine believes.
        known = self.nodes_manager
        known.connection_kwargs.update({"connection_class": _NodeConnection, "tls": address.tls})
        known.startup_nodes = {
            name: ClusterNode(node.host, node.port, **known.connection_kwargs)
            for name, node in known.startup_nodes.items()
        }
        self._looks_again_from = 0.0
        self._finding: asyncio.Task[object] | None = None

    async def __aenter__(self) -> Self:
        await self._increment_usage()  # which its own does too, and connects
        return self

    async def executed(self, commands: Sequence[Command]) -> list[object]:
        """The answer to each command, or the error, by one round trip to each server."""
        await self._found()
        by_server: defaultdict[object, list[int]] = defaultdict(list)
        for place, command in enumerate(commands):
            by_server[self._server_of(command)].append(place)
        answers: list[object] = [None] * len(commands)
        groups = by_server.values()
        # One pipeline over all would fail as a whole where one server cannot be connected to.
        answered = await asyncio.gather(
            *(self._executed_by_one([commands[place] for place in group]) for group in groups)
        )
        for group, results in zip(groups, answered, strict=True):
            for place, result in zip(group, results, strict=True):
                answers[place] = result
        if any(isinstance(each, self.ERRORS_ALLOW_RETRY) for each in answers):
            await self._look_again()
        return answers

    async def aclose(self) -> None:
        await super().aclose()
        # After an error it takes itself for not connected, and closes none.
        for nodes in ("nodes_cache", "startup_nodes"):
            await self.nodes_manager.aclose(nodes)

    async def __aexit__(self, *how: object) -> None:
        if self._finding is not None:
            self._finding.cancel()
            await asyncio.wait({self._finding})
        await super().__aexit__(*how)  # type: ignore[no-untyped-call]  # left bare

    async def _found(self) -> None:
        """Once it is known who has which keys: that takes longer than a command may.

        Whoever gives up waiting leaves it to the next.
        """
        if self._finding is None or self._finding.done():
            self._finding = asyncio.ensure_future(self.initialize())
            self._finding.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        await asyncio.shield(self._finding)

    def server_of(self, key: bytes | str) -> tuple[str, int]:
        """Host and port, as known by now. Raises redis-py's errors if nobody has it."""
        node = self.nodes_manager.get_node_from_slot(self.keyslot(key))
        return str(node.host), int(node.port)

    def _server_of(self, command: Command) -> tuple[str, int] | None:
        key = command[3 if command[0] == "EVAL" else 1]
        assert not isinstance(key, int), "a key of ours is a name"
        try:
            return self.server_of(key)
        except (RedisError, RedisClusterException):  # nobody has it now
            return None

    async def _executed_by_one(self, commands: Sequence[Command]) -> Sequence[object]:
        pipeline = self.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            return await pipeline.execute(raise_on_error=False)
        except (RedisError, RedisClusterException, OSError) as error:
            return [error] * len(commands)

    async def _look_again(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._looks_again_from:
            self._looks_again_from = now + _LOOK_AGAIN_SECONDS
            await self.aclose()
