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

import asyncio
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
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime, timedelta

    import asyncpg

    from payments.commands import WakePayment, WakeRefund
    from payments.payment import Payment, Provider
    from payments.refund import Refund

    # Of the command what it changed, or nothing if it was refused.
    Wake = Callable[[WakePayment | WakeRefund], Awaitable[Payment | Refund | None]]
    Pool = asyncpg.Pool[asyncpg.Record]
    Untaken = Callable[
        [Pool, datetime, timedelta, Mapping[Provider, int]],
        Awaitable[Sequence[tuple[Provider, WakePayment | WakeRefund]]],
    ]
    StillSent = Callable[[Pool, datetime, Sequence[SentAgain]], Awaitable[list[SentAgain]]]

# Of one provider, a look: what was left to Postgres by a lane goes on at this rate a second.
AT_ONCE: Final = 200
_KINDS: Final[tuple[tuple[Untaken, StillSent], ...]] = (
    (untaken_payments, sent_payments),
    (untaken_refunds, sent_refunds),
)


@dataclass(slots=True)
class Resending:
    """Through `wake`, of each of `providers`, what has waited for a stage for `patience`."""

    pool: Pool
    wake: Wake
    providers: Sequence[Provider]
    patience: timedelta
    at_once: int = AT_ONCE
    _sent: tuple[list[SentAgain], ...] = field(default_factory=lambda: ([], []))

    async def look(self, now: datetime) -> float:
        """Send again what there is room for, of payments and of refunds.

        Returns for how many seconds it read: behind an outage of one provider's, what is overdue
        of another's is looked for among all of the first's.
        """
        read_s = 0.0
        for (untaken, still_sent), sent in zip(_KINDS, self._sent, strict=True):
            began_at = monotonic()
            if sent:
                # Taken, ended, or overdue once more: what is none of these is still on its way.
                sent[:] = await still_sent(self.pool, now, sent)
            on_the_way = Counter(each.provider for each in sent)
            rooms = {each: self.at_once - on_the_way[each] for each in self.providers}
            due = await untaken(self.pool, now, self.patience, rooms)
            read_s += monotonic() - began_at
            woken = await asyncio.gather(*(self.wake(command) for _, command in due))
            sent.extend(
                SentAgain(provider, each.id, each.version)
                for (provider, _), each in zip(due, woken, strict=True)
                if each is not None
            )
        return read_s
