"""Sends again what was sent to a stage and never taken: little at once, until that is taken.

Work whose message waits somewhere (its relay is away, its stage stands or lags, its provider lets
nobody in) needs no second message, and a storm of them would keep a stage from ever catching up.
Work whose message is lost, or was left to Postgres, needs one. Nobody can tell the two apart; so
of what is overdue the newest is sent again first, so many of each provider's, and more only when
these have been taken. While something stands they are not, and hardly anything is sent; who lags
takes the newest last, when little else is overdue; and where nothing stands they are taken at
once, so that all that was lost is on its way within seconds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final

from store.read.due import (
    SentAgain,
    sent_payments,
    sent_refunds,
    untaken_payments,
    untaken_refunds,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime, timedelta

    import asyncpg

    from payments.commands import WakePayment, WakeRefund
    from payments.payment import Payment, Provider
    from payments.refund import Refund

    # Of each command what it changed, or nothing if it was refused.
    Wake = Callable[
        [Sequence[WakePayment | WakeRefund]], Awaitable[Sequence[Payment | Refund | None]]
    ]
    Pool = asyncpg.Pool[asyncpg.Record]
    Untaken = Callable[
        [Pool, datetime, timedelta, Provider, int], Awaitable[Sequence[WakePayment | WakeRefund]]
    ]
    StillSent = Callable[[Pool, datetime, Sequence[SentAgain]], Awaitable[list[SentAgain]]]

# Of one provider, a look.
AT_ONCE: Final = 200
# Behind an outage of one provider's, what is overdue of another's is looked for among all of the
# first's, many thousands: of each provider, payments and refunds, for so much of a core.
LOOK_SHARE: Final = 0.02
# However long it took: Postgres may have stood meanwhile.
LOOK_AGAIN_MAX_S: Final = 30.0


@dataclass(slots=True)
class _Kind:
    untaken: Untaken
    still_sent: StillSent
    # What is on its way again.
    sent: list[SentAgain] = field(default_factory=list)
    # When a provider's is looked for again, by the monotonic clock.
    again_at: dict[Provider, float] = field(default_factory=dict)


@dataclass(slots=True)
class Resending:
    """Through `wake`, of each of `providers`, what has waited for a stage for `patience`."""

    pool: Pool
    wake: Wake
    providers: Sequence[Provider]
    patience: timedelta
    at_once: int = AT_ONCE
    look_share: float = LOOK_SHARE
    _payments: _Kind = field(default_factory=lambda: _Kind(untaken_payments, sent_payments))
    _refunds: _Kind = field(default_factory=lambda: _Kind(untaken_refunds, sent_refunds))

    async def look(self, now: datetime) -> bool:
        """Send again what there is room for, of payments and of refunds; whether that filled it.

        Then there is likely to be more, of which as much may go as is taken of this. Where none
        could be sent the same would be found again.
        """
        is_more = False
        for kind in (self._payments, self._refunds):
            if kind.sent:
                # Taken, ended, or overdue once more: what is none of these is still on its way.
                kind.sent = await kind.still_sent(self.pool, now, kind.sent)
            on_the_way = Counter(each.provider for each in kind.sent)
            due: list[tuple[Provider, WakePayment | WakeRefund]] = []
            is_full = False
            for provider in self.providers:
                room = self.at_once - on_the_way[provider]
                found = await self._due(kind, now, provider, room)
                is_full = is_full or 0 < room <= len(found)
                due += [(provider, each) for each in found]
            woken = await self.wake([command for _, command in due]) if due else ()
            is_more = is_more or (is_full and any(each is not None for each in woken))
            kind.sent += [
                SentAgain(provider, each.id, each.version)
                for (provider, _), each in zip(due, woken, strict=True)
                if each is not None
            ]
        return is_more

    async def _due(
        self, kind: _Kind, now: datetime, provider: Provider, room: int
    ) -> Sequence[WakePayment | WakeRefund]:
        began_at = monotonic()
        if room <= 0 or began_at < kind.again_at.get(provider, began_at):
            return ()
        due = await kind.untaken(self.pool, now, self.patience, provider, room)
        ended_at = monotonic()
        pause_s = min((ended_at - began_at) / self.look_share, LOOK_AGAIN_MAX_S)
        kind.again_at[provider] = ended_at + pause_s
        return due
