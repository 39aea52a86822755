"""Sends again what was sent to a stage and never taken: little at once, until that is taken.

Work whose message waits somewhere (its relay is away, its stage stands or lags, its provider lets
nobody in) needs no second message, and a storm of them would keep a stage from ever catching up.
Work whose message is lost, or was left to Postgres, needs one. Nobody can tell the two apart; so
of what is overdue the newest is sent again first, so many of each provider's, and more only when
these have been taken: then twice as many as were taken since the last look. While something stands
none are, and hardly anything is sent; who lags takes the newest last, when little else is overdue;
and where nothing stands they are taken at once, so that all that was lost goes on as fast as it is
worked off.
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

# Of one provider, on their way at the same time: at the least, and so many times as many where all
# of them are taken between two looks. More than a second's work would lie before everybody else's.
AT_ONCE: Final = 200
_MORE_AT_ONCE: Final = 5
# Behind an outage of one provider's, what is overdue of another's is looked for among all of the
# first's, many thousands: of each provider, payments and refunds, for so much of a core.
LOOK_SHARE: Final = 0.02
# A look that finds as much as there is room for may take ten times as much of it.
_FOUND_SHARE: Final = 10
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

        Then there is likely to be more, of which as much may go as is taken of this; and so there
        is where some were taken and enough are still on their way. Where none could be sent the
        same would be found again.
        """
        is_more = False
        for kind in (self._payments, self._refunds):
            taken = await self._taken(kind, now)
            on_the_way = Counter(each.provider for each in kind.sent)
            due: list[tuple[Provider, WakePayment | WakeRefund]] = []
            is_full = False
            for provider in self.providers:
                as_taken = min(2 * taken[provider], _MORE_AT_ONCE * self.at_once)
                room = max(self.at_once, as_taken) - on_the_way[provider]
                found = await self._due(kind, now, provider, room)
                is_full = is_full or 0 < room <= len(found)
                # It moves on: there will be room soon.
                is_more = is_more or room <= 0 < as_taken
                due += [(provider, each) for each in found]
            woken = await self.wake([command for _, command in due]) if due else ()
            is_more = is_more or (is_full and any(each is not None for each in woken))
            kind.sent += [
                SentAgain(provider, each.id, each.version, now)
                for (provider, _), each in zip(due, woken, strict=True)
                if each is not None
            ]
        return is_more

    async def _taken(self, kind: _Kind, now: datetime) -> Counter[Provider]:
        """How many of each provider's were taken, or ended, since the last look.

        What is none of these, nor overdue once more, is still on its way.
        """
        if not kind.sent:
            return Counter()
        before, kind.sent = kind.sent, await kind.still_sent(self.pool, now, kind.sent)
        still = {each.id for each in kind.sent}
        return Counter(
            each.provider
            for each in before
            if each.id not in still and now < each.sent_at + self.patience
        )

    async def _due(
        self, kind: _Kind, now: datetime, provider: Provider, room: int
    ) -> Sequence[WakePayment | WakeRefund]:
        began_at = monotonic()
        if room <= 0 or began_at < kind.again_at.get(provider, began_at):
            return ()
        due = await kind.untaken(self.pool, now, self.patience, provider, room)
        ended_at = monotonic()
        share = self.look_share * (_FOUND_SHARE if len(due) >= room else 1)
        pause_s = min((ended_at - began_at) / share, LOOK_AGAIN_MAX_S)
        kind.again_at[provider] = ended_at + pause_s
        return due
