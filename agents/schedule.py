"""The schedule: puts what is due back on its topic, seals the ledger, and keeps house.

It reads Postgres, not a stream, so it is a plain loop and needs no broker. Any number
may run: a wake that comes second is refused by the decision, and changes nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final

import asyncpg
import structlog

from agents.durably import submit_durably
from agents.resending import LOOK_AGAIN_MAX_S, LOOK_SHARE, Resending
from payments.commands import ExpireAuthorization, WakeRefund
from payments.decision import Refused
from payments.payment import Payment
from payments.refund import Refund
from store.housekeeping import keep_house_by_both_clocks
from store.read.due import Look, Span, due_payments, due_refunds, subject_of, traces_of
from store.write.group_commit import Held, Submission
from store.write.seals import ROWS_MAX, seal_settled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from payments.commands import WakePayment
    from payments.payment import Provider
    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics
    from telemetry.tracing import Trace

    Due = WakePayment | ExpireAuthorization | WakeRefund

log = structlog.get_logger()

STAGE: Final = "schedule"
# Whose workers may die over what they have claimed.
_OF_LEASES: Final = ("charge", "refund")
# Retries wait a second at the least; a quarter of it is late enough to be cheap.
_LOOK_EVERY_S: Final = 0.25
# What became due a moment ago may be committed only now.
_OVERLAP: Final = timedelta(seconds=5)
_EVER: Final = datetime.fromtimestamp(0, UTC)
_SEND_AGAIN_EVERY_S: Final = 1.0
# While there is more: two hundred of a provider's each time, if those before were taken by then.
_SEND_MORE_AFTER_S: Final = 0.2
_PAGE_MAX: Final = 500
# So many pages of what somebody has locked are passed over, and one of them is tried each look.
_PAGES_KEPT: Final = 4
# A row that somebody has locked must not make all that is due wait for it.
_PATIENCE_S: Final = 1.0
_KEEP_HOUSE_EVERY_S: Final = 3600.0
# What was refused is tried again soon, and less and less often while it is.
_REFUSED_AGAIN_S: Final = 1.0
_REFUSED_AGAIN_MAX_S: Final = 300.0
# A row waits for its seal as long as clocks may differ anyway; a few seconds more are nothing.
_SEAL_EVERY_S: Final = 5.0


@dataclass(slots=True)
class Looks:
    """How far back to look for what is due: to the beginning, while that costs next to nothing.

    Behind an outage it is looked through many thousands that are due and wait for their stage. So
    that is done for `share` of a core at the most, and what becomes due meanwhile is looked at by
    itself: a retry comes at its time beside a backlog, too.
    """

    share: float = LOOK_SHARE
    # What was due and could not be woken, for it was locked: looked at again with what is due then.
    kept: list[Due] = field(default_factory=list)
    _seen_until: datetime = _EVER
    _through_again_at: float = 0.0

    def span(self, now: datetime) -> Span:
        """What to look at now."""
        if monotonic() < self._through_again_at and _EVER < self._seen_until <= now:
            return Span(self._seen_until - _OVERLAP, now)
        # Unless it says so itself: it may fail, or find nobody who can be woken.
        self._through_again_at = monotonic() + LOOK_AGAIN_MAX_S
        return Span(_EVER, now)

    def go_on(self, span: Span) -> None:
        """There is more of it."""
        if span.since == _EVER:
            self._through_again_at = 0.0

    def end(self, span: Span, seconds: float) -> None:
        """All that is due within it was looked at; reading took so long."""
        self._seen_until = span.until
        if span.since == _EVER:
            pause_s = min(seconds / self.share, LOOK_AGAIN_MAX_S)
            self._through_again_at = monotonic() + pause_s


@dataclass(frozen=True, slots=True)
class Schedule:
    """Wakes what is due by `clock`; the outbox is kept for `outbox_retention_s` seconds.

    House is kept over connections of `house`, for up to half an hour, which nothing else waits for.
    What has waited for its stage for `patience_s` seconds is sent again if it is of one of
    `providers`. What is due is read `page_max` rows at once.
    """

    pool: asyncpg.Pool[asyncpg.Record]
    house: asyncpg.Pool[asyncpg.Record]
    committer: GroupCommitter
    metrics: Metrics
    clock: Callable[[], datetime]
    outbox_retention_s: float
    patience_s: float
    providers: Sequence[Provider]
    looks: Looks = field(default_factory=Looks)
    page_max: int = _PAGE_MAX

    async def run(self, stopping: asyncio.Event) -> None:
        """Look, wake, look again, until `stopping` is set."""
        for stage in _OF_LEASES:
            self.metrics.stage.lease_expiries.labels(stage)
        async with asyncio.TaskGroup() as tasks:
            wake_due = partial(self.wake_due, stopping)
            tasks.create_task(self._every(_LOOK_EVERY_S, wake_due, stopping))
            resending = Resending(self.pool, self.sent_again, self.providers, self._patience)
            send_again = partial(self._send_again, resending, stopping)
            tasks.create_task(self._every(_SEND_AGAIN_EVERY_S, send_again, stopping))
            tasks.create_task(self._keep_house(stopping))
            seal = partial(self._seal, stopping)
            tasks.create_task(self._every(_SEAL_EVERY_S, seal, stopping))

    async def wake_due(self, stopping: asyncio.Event | None = None) -> None:
        """Wake all that is due, page by page until `stopping` is set.

        What somebody has locked is passed over from then on and tried once a look, so that a page
        of nothing else keeps nobody asleep that is due after it.
        """
        kept_max = _PAGES_KEPT * self.page_max
        tried, held = self.looks.kept[: self.page_max], self.looks.kept[self.page_max :]
        more = True
        while more and not (stopping and stopping.is_set()):
            span, began_at = self.looks.span(self.clock()), monotonic()
            passed_over = [*map(subject_of, (*tried, *held))]
            look = Look(span.until, self._patience, passed_over, self.page_max)
            payments = await due_payments(self.pool, span.since, look)
            refunds = await due_refunds(self.pool, span.since, look)
            read_s = monotonic() - began_at
            due = [*tried, *payments, *refunds]
            woken = await self._woken(due, "woken")
            locked = [each for each, outcome in zip(due, woken, strict=True) if outcome is None]
            held += locked
            tried, self.looks.kept = [], held[:kept_max]
            is_full = self.page_max in {len(payments), len(refunds)}
            # A page of refusals only would come back unchanged.
            is_through = all(isinstance(each, Refused) for each in woken) or len(held) > kept_max
            more = is_full and not is_through
            if more:
                self.looks.go_on(span)
            elif not is_full:
                self.looks.end(span, read_s)

    @property
    def _patience(self) -> timedelta:
        return timedelta(seconds=self.patience_s)

    async def _send_again(self, resending: Resending, stopping: asyncio.Event) -> None:
        while await resending.look(self.clock()) and not stopping.is_set():
            await _pause(_SEND_MORE_AFTER_S, stopping)

    async def sent_again(
        self, commands: Sequence[WakePayment | WakeRefund]
    ) -> list[Payment | Refund | None]:
        """What was sent to its stage again, of each command, if it was due."""
        woken = await self._woken(commands, "sent_again")
        return [None if isinstance(each, Refused) else each for each in woken]

    async def _woken(
        self, commands: Sequence[Due], what: str
    ) -> list[Payment | Refund | Refused | None]:
        """Each by itself, in the traces they were accepted in."""
        traces = await traces_of(self.pool, [*map(subject_of, commands)]) if commands else {}
        return await asyncio.gather(
            *(self._wake(each, what, traces.get(subject_of(each))) for each in commands)
        )

    async def _wake(
        self, command: Due, what: str, trace: Trace | None
    ) -> Payment | Refund | Refused | None:
        """What it is now, if it was due; None if that is not known, and it is to be kept."""
        submission = Submission(command, trace)
        try:
            outcome = await submit_durably(self.committer, submission, _PATIENCE_S)
        except Held:
            # It stays due, and is looked at again with the others that are due by then.
            self.metrics.stage.processed.labels(STAGE, "held").inc()
            return None
        except Exception:
            # One that cannot be woken must keep nobody else asleep; it stays due, and overdue.
            log.exception("a wake failed", command=command)
            self.metrics.stage.processed.labels(STAGE, "failed").inc()
            return None
        if isinstance(outcome, Refused):
            self.metrics.stage.processed.labels(STAGE, "not_due").inc()
            return outcome
        assert isinstance(outcome, Payment | Refund), "a wake changes what it wakes"
        said = "expired" if isinstance(command, ExpireAuthorization) else what
        self.metrics.stage.processed.labels(STAGE, said).inc()
        return outcome

    async def _keep_house(self, stopping: asyncio.Event) -> None:
        again_s = _REFUSED_AGAIN_S
        while not stopping.is_set():
            refused = False
            for kept in await keep_house_by_both_clocks(
                self.house, self.clock(), self.outbox_retention_s
            ):
                outcome = "refused" if kept.refusal else "done"
                self.metrics.stage.housekeeping.labels(kept.step, outcome).inc()
                if kept.refusal:
                    refused = True
                    log.warning("house-keeping is refused", step=kept.step, cause=kept.refusal)
            await _pause(again_s if refused else _KEEP_HOUSE_EVERY_S, stopping)
            again_s = min(2 * again_s, _REFUSED_AGAIN_MAX_S) if refused else _REFUSED_AGAIN_S

    async def _seal(self, stopping: asyncio.Event) -> None:
        """Seal what has come to rest. The log is one place where digests are kept elsewhere."""
        full = True
        while full and not stopping.is_set():
            seals = await seal_settled(self.pool, self.clock())
            for each in seals:
                log.info(
                    "sealed",
                    tenant_id=each.tenant_id,
                    seal=each.number,
                    rows=each.row_count,
                    digest=each.digest,
                )
            full = sum(each.row_count for each in seals) == ROWS_MAX

    async def _every(
        self, seconds: float, work: Callable[[], Awaitable[None]], stopping: asyncio.Event
    ) -> None:
        """With so many seconds in between."""
        while not stopping.is_set():
            try:
                await work()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("the schedule waits for Postgres", error=repr(error))
            await _pause(seconds, stopping)


async def _pause(seconds: float, stopping: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
