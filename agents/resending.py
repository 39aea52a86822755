"""Sends again what was sent to a stage and never taken: little at once, until that is taken.

Work whose message waits somewhere (its relay is away, its stage stands or lags, its provider lets
nobody in) needs no second message, and a storm of them would keep a stage from ever catching up.
Work whose message is lost, or was left to Postgres, needs one. Nobody can tell the two apart; so
of what is overdue the newest is sent again first, so many of each lane, and more only when these
have been taken: then twice as many as were taken since the last look. While something stands
none are, and hardly anything is sent; who lags takes the newest last, when little else is overdue;
and where nothing stands they are taken at once, so that all that was lost goes on as fast as it is
worked off.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final

from payments.outcome import Operation
from providers.circuits import circuit_of, operations_through
from store.read.due import (
    Lane,
    Look,
    SentAgain,
    sent_payments,
    sent_refunds,
    subject_of,
    untaken_payments,
    untaken_refunds,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

    import asyncpg

    from payments.commands import WakePayment, WakeRefund
    from payments.payment import Payment, Provider
    from payments.refund import Refund

    # Of each command what it changed, or nothing if it was refused.
    Wake = Callable[
        [Sequence[WakePayment | WakeRefund]], Awaitable[Sequence[Payment | Refund | None]]
    ]
    Pool = asyncpg.Pool[asyncpg.Record]
    Untaken = Callable[[Pool, Lane, Look], Awaitable[Sequence[WakePayment | WakeRefund]]]
    StillSent = Callable[[Pool, datetime, Sequence[SentAgain]], Awaitable[list[SentAgain]]]

# What a provider does not take of one kind says nothing of another: it is as in the stages' lanes.
_OF_REFUNDS: Final = (operations_through(circuit_of(Operation.REFUND)),)
_OF_PAYMENTS: Final = tuple(
    dict.fromkeys(
        operations_through(circuit_of(each)) for each in Operation if each is not Operation.REFUND
    )
)
# Of one lane, on their way at the same time: at the least, and so many times as many where all
# of them are taken between two looks. More than a second's work would lie before everybody else's.
AT_ONCE: Final = 200
_MORE_AT_ONCE: Final = 5
# Behind an outage of one provider's, what is overdue of another's is looked for among all of the
# first's, many thousands: of each lane for so much of a core.
LOOK_SHARE: Final = 0.01
# A look that finds as much as there is room for may take ten times as much of it.
_FOUND_SHARE: Final = 10
# However long it took: Postgres may have stood meanwhile.
LOOK_AGAIN_MAX_S: Final = 30.0
# What could not be sent, for somebody has locked it, is passed over so long, and so many of it.
_PASSED_OVER: Final = timedelta(seconds=30)
_PASSED_OVER_MAX: Final = 2_000


@dataclass(slots=True)
class _Kind:
    untaken: Untaken
    still_sent: StillSent
    circuits: Sequence[tuple[Operation, ...]]
    # What is on its way again.
    sent: list[SentAgain] = field(default_factory=list)
    # What could not be sent, and until when it is passed over.
    held: dict[UUID, datetime] = field(default_factory=dict)
    # When a lane's is looked for again, by the monotonic clock.
    again_at: dict[Lane, float] = field(default_factory=dict)


@dataclass(slots=True)
class Resending:
    """Through `wake`, of each of `providers`, what has waited for a stage for `patience`."""

    pool: Pool
    wake: Wake
    providers: Sequence[Provider]
    patience: timedelta
    at_once: int = AT_ONCE
    look_share: float = LOOK_SHARE
    _payments: _Kind = field(
        default_factory=lambda: _Kind(untaken_payments, sent_payments, _OF_PAYMENTS)
    )
    _refunds: _Kind = field(
        default_factory=lambda: _Kind(untaken_refunds, sent_refunds, _OF_REFUNDS)
    )

    async def look(self, now: datetime) -> bool:
        """Send again what there is room for, of payments and of refunds; whether that filled it.

        Then there is likely to be more, of which as much may go as is taken of this; and so there
        is where some were taken and enough are still on their way. Where none could be sent the
        same would be found again.
        """
        is_more = False
        for kind in (self._payments, self._refunds):
            # A clock that was set back makes nobody wait for as long.
            latest = now + _PASSED_OVER
            kind.held = {each: at for each, at in kind.held.items() if now < at <= latest}
            taken = await self._taken(kind, now)
            on_the_way = Counter(each.lane for each in kind.sent)
            due: list[tuple[Lane, WakePayment | WakeRefund]] = []
            is_full = False
            for lane in (Lane(each, of) for each in self.providers for of in kind.circuits):
                as_taken = min(2 * taken[lane], _MORE_AT_ONCE * self.at_once)
                room = max(self.at_once, as_taken) - on_the_way[lane]
                found = await self._due(kind, now, lane, room)
                is_full = is_full or 0 < room <= len(found)
                # It moves on: there will be room soon.
                is_more = is_more or room <= 0 < as_taken
                due += [(lane, each) for each in found]
            is_more = (await self._sent(kind, now, due) and is_full) or is_more
        return is_more

    async def _sent(
        self, kind: _Kind, now: datetime, due: Sequence[tuple[Lane, WakePayment | WakeRefund]]
    ) -> bool:
        """Whether any could be."""
        woken = await self.wake([command for _, command in due]) if due else ()
        known = len(kind.sent)
        for (lane, command), each in zip(due, woken, strict=True):
            if each is not None:
                kind.sent.append(SentAgain(lane, each.id, each.version, now))
            elif len(kind.held) < _PASSED_OVER_MAX:
                kind.held[subject_of(command)] = now + _PASSED_OVER
        return len(kind.sent) > known

    async def _taken(self, kind: _Kind, now: datetime) -> Counter[Lane]:
        """How many of each lane's were taken, or ended, since the last look.

        What is none of these, nor overdue once more, is still on its way.
        """
        if not kind.sent:
            return Counter()
        before, kind.sent = kind.sent, await kind.still_sent(self.pool, now, kind.sent)
        still = {each.id for each in kind.sent}
        return Counter(
            each.lane
            for each in before
            if each.id not in still and now < each.sent_at + self.patience
        )

    async def _due(
        self, kind: _Kind, now: datetime, lane: Lane, room: int
    ) -> Sequence[WakePayment | WakeRefund]:
        began_at = monotonic()
        if room <= 0 or began_at < kind.again_at.get(lane, began_at):
            return ()
        due = await kind.untaken(self.pool, lane, Look(now, self.patience, [*kind.held], room))
        ended_at = monotonic()
        share = self.look_share * (_FOUND_SHARE if len(due) >= room else 1)
        pause_s = min((ended_at - began_at) / share, LOOK_AGAIN_MAX_S)
        kind.again_at[lane] = ended_at + pause_s
        return due
