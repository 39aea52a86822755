"""Reads the outbox's table in the order of its positions, for a Postgres that decodes no WAL.

Positions are drawn before rows are committed, so the table is read no further than to one of
which it is certain that nothing below it is still to come: every transaction that was at work
when it had been drawn has ended. One that writes for long holds up what comes behind it.
"""

import asyncio
from collections.abc import Collection
from typing import Final

from topics.contracts.envelope import unix_ms
from topics.relay.pgoutput import Begin, Commit, Keepalive, WalEvent
from topics.relay.positions import Settled
from topics.relay.recovery import next_page, position_of
from topics.relay.slot import Postgres
from topics.relay.source import Server

_LOOK_EVERY_SECONDS: Final = 0.1
_MILLISECONDS: Final = 1000


class TableStream:
    """What is new in the table, as the WAL would tell it: places are positions."""

    server = Server("", "0")

    def __init__(self, postgres: Postgres, topics: Collection[str]) -> None:
        self._postgres = postgres
        self._topics = topics
        self._position = 0
        self._settled = Settled()
        self._rows_max = next_page([])

    def begin(self, position: int) -> None:
        """Read what lies behind a position."""
        self._position = position

    def confirm(self, lsn: int) -> None:
        """Nobody keeps anything for us: a checkpoint says how far we are."""

    async def read(self, limit: int) -> list[WalEvent]:
        """At least one event; of rows a page. Waits until there is something new."""
        while True:
            await self._settle()
            rows = await self._postgres.page(
                self._topics, self._position, self._settled.position, min(limit, self._rows_max)
            )
            if rows:
                self._rows_max = next_page(rows)
                self._position = position_of(rows[-1])
                began_at = unix_ms(rows[0].recorded_at) / _MILLISECONDS
                return [Begin(None, began_at), *rows, Commit(self._position)]
            if self._settled.position > self._position:
                self._position = self._settled.position
                return [Keepalive(self._position, reply_requested=False)]
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    async def _settle(self) -> None:
        """Find out up to which position nothing is still to come."""
        drawn = await self._postgres.drawn_position()
        if drawn == self._settled.position:
            # A look takes a number of those that transactions have: not ten a second for nothing.
            return
        now = await self._postgres.transactions()
        self._settled.look(drawn, now.xmin, now.newest)
