"""Messages a sink refuses for their content: set aside in Postgres, where an operator sees them.

A refused message holds back its own key and nothing else: what comes after it with the same key
is set aside behind it, in order. Once that is kept, the WAL need not bring it again. An operator
has the first of a key sent again, or skipped; then the others follow in order, until one of them
is refused.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from telemetry.metrics import Metrics
from topics.contracts.envelope import OutboxRow
from topics.relay.sinks.sink import OutgoingMessage, Session
from topics.relay.slot import Key, Postgres
from topics.relay.watermark import Transaction

log = structlog.get_logger()

_ROWS_AT_ONCE: Final = 200


class Outlet(Protocol):
    """What is told of rows that need not be sent, and sends others that were kept."""

    def settle(self, messages: Sequence[OutgoingMessage]) -> None: ...

    def send_again(self, session: Session, rows: Sequence[OutboxRow]) -> Transaction: ...


@dataclass(slots=True)
class _Held:
    """A key that is held back; `is_released` once somebody said so, until one is refused again."""

    is_released: bool = False
    on_their_way: set[bytes] = field(default_factory=set)


class SetAside:
    """What is set aside of one sink, while one stream lasts.

    What is released is sent while `is_sending`; otherwise it waits.
    """

    def __init__(self, sink: str, metrics: Metrics) -> None:
        self.is_sending = True
        self._sink = sink
        self._refusals = metrics.relay.refused.labels(sink)
        self._count = metrics.relay.set_aside.labels(sink)
        self._oldest = metrics.relay.set_aside_oldest.labels(sink)
        self._held: dict[Key, _Held] = {}
        self._to_keep: list[tuple[OutgoingMessage, str | None]] = []
        self._arrived: list[bytes] = []

    async def load(self, postgres: Postgres, present: Collection[bytes]) -> None:
        """Begin with what was set aside before; of that the sink has what was `present` in it.

        Whoever released a key may have been cut off: the first that is left of it was not refused.
        """
        if await postgres.keys_set_aside(self._sink):
            await postgres.forget_set_aside(self._sink, present)
        keys = await postgres.keys_set_aside(self._sink)
        self._held = {key: _Held(is_released=not refused) for key, refused in keys.items()}

    def without_held(self, messages: Sequence[OutgoingMessage]) -> Sequence[OutgoingMessage]:
        """Take those whose key is held back; returns the others."""
        if not self._held:
            return messages
        held = [message for message in messages if Key.of(message.row) in self._held]
        self._to_keep += [(message, None) for message in held]
        return [message for message in messages if Key.of(message.row) not in self._held]

    def refuse(self, messages: Sequence[OutgoingMessage], reason: str) -> None:
        """The sink refused the first of these, and has not been sent the others of its key."""
        refused = messages[0].row
        self._refusals.inc()
        log.error(
            "the sink refuses a message, which holds back its key until somebody decides",
            sink=self._sink,
            id=refused.id.decode(),
            topic=refused.aggregatetype.decode(),
            key=refused.aggregateid.decode(),
            bytes=len(refused.payload),
            reason=reason,
        )
        held = self._held.setdefault(Key.of(refused), _Held())
        held.is_released = False
        held.on_their_way.difference_update(message.row.id for message in messages)
        self._to_keep.append((messages[0], reason))
        self._to_keep += [(message, None) for message in messages[1:]]

    def arrived(self, messages: Sequence[OutgoingMessage]) -> None:
        """The sink has these: among them may be some that had been set aside."""
        if not self._held:
            return
        for message in messages:
            held = self._held.get(Key.of(message.row))
            if held is not None and message.row.id in held.on_their_way:
                held.on_their_way.discard(message.row.id)
                self._arrived.append(message.row.id)

    def release(self, key: Key) -> None:
        """Send what is set aside of a key, in order."""
        self._held.setdefault(key, _Held()).is_released = True

    async def keep(self, postgres: Postgres, outlet: Outlet, session: Session) -> None:
        """Bring the table up to date, and send what is released."""
        if self._to_keep:
            kept, self._to_keep = self._to_keep, []
            await postgres.set_aside(self._sink, [(each.row, why) for each, why in kept])
            outlet.settle([message for message, _ in kept])
        await self.forget_arrived(postgres)
        for key, held in list(self._held.items()):
            if self.is_sending and held.is_released and not held.on_their_way:
                await self._send(key, held, postgres, outlet, session)

    async def forget_arrived(self, postgres: Postgres) -> None:
        """What arrived is set aside no more.

        Before a checkpoint says that the sink has it: whoever begins behind that one reads it back
        no more, and would hold back its key.
        """
        while there := [*self._arrived]:
            await postgres.forget_set_aside(self._sink, there)
            # Not before: whoever is cut off in it asks once more.
            del self._arrived[: len(there)]

    async def measure(self, postgres: Postgres) -> None:
        count, seconds = await postgres.count_set_aside(self._sink) if self._held else (0, 0.0)
        self._count.set(count)
        self._oldest.set(seconds)

    async def _send(
        self, key: Key, held: _Held, postgres: Postgres, outlet: Outlet, session: Session
    ) -> None:
        rows = await postgres.set_aside_of_key(self._sink, key, _ROWS_AT_ONCE)
        if rows:
            held.on_their_way = {row.id for row in rows}
            outlet.send_again(session, rows)
        elif not any(Key.of(message.row) == key for message, _ in self._to_keep):
            # Nothing of it is left: from here on it goes the way of all others.
            del self._held[key]
