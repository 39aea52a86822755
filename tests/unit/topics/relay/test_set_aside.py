"""What arrived of what was set aside is forgotten, also by who was cut off while it did that."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest
from prometheus_client import CollectorRegistry

from telemetry.metrics import Metrics
from tests.unit.topics.relay.test_sinks import wal_row
from topics.relay.set_aside import SetAside
from topics.relay.slot import Key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from topics.contracts.envelope import OutboxRow
    from topics.relay.sinks.sink import OutgoingMessage, Session
    from topics.relay.slot import Postgres
    from topics.relay.watermark import Transaction

MESSAGE = wal_row(900)


@dataclass(slots=True)
class Table:
    """Postgres, as far as it has what is set aside: cut off the first time it is to forget it."""

    rows: list[OutboxRow]
    is_cut_off: bool = True
    forgotten: list[bytes] = field(default_factory=list)

    async def set_aside_of_key(self, *_: object) -> list[OutboxRow]:
        return self.rows

    async def forget_set_aside(self, _: str, ids: Sequence[bytes]) -> None:
        if self.is_cut_off:
            self.is_cut_off = False
            raise asyncio.CancelledError
        self.forgotten += ids


class Sender:
    """Sends what is released."""

    def settle(self, messages: Sequence[OutgoingMessage]) -> None:
        """Nothing is kept here."""

    def send_again(self, _: Session, rows: Sequence[OutboxRow]) -> Transaction:
        assert rows == [MESSAGE.row]
        return MESSAGE.transaction


async def test_who_is_cut_off_while_it_forgets_what_arrived_forgets_it_the_next_time() -> None:
    """A relay that is told to stop in that instant: the next one would hold the key back."""
    aside, table = SetAside("kafka", Metrics(CollectorRegistry())), Table([MESSAGE.row])
    postgres = cast("Postgres", table)
    aside.release(Key.of(MESSAGE.row))
    await aside.keep(postgres, Sender(), cast("Session", object()))
    aside.arrived([MESSAGE])
    with pytest.raises(asyncio.CancelledError):
        await aside.forget_arrived(postgres)
    await aside.forget_arrived(postgres)
    assert table.forgotten == [MESSAGE.row.id]
