"""The schedule: puts what is due back on its topic, seals the ledger, and keeps house.

It reads Postgres, not a stream, so it is a plain loop and needs no broker. Any number
may run: a wake that comes second is refused by the decision, and changes nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import asyncpg
import structlog

from agents.durably import submit_durably
from payments.commands import ExpireAuthorization
from payments.decision import Refused
from store.housekeeping import keep_house
from store.read.due import due_payments, due_refunds
from store.write.group_commit import Held, Submission
from store.write.seals import ROWS_MAX, seal_settled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from payments.commands import WakePayment, WakeRefund
    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics

log = structlog.get_logger()

STAGE: Final = "schedule"
# Retries wait a second at the least; a quarter of it is late enough to be cheap.
_LOOK_EVERY_S: Final = 0.25
_DUE_MAX: Final = 500
# A row that somebody has locked must not make all that is due wait for it.
_PATIENCE_S: Final = 1.0
_KEEP_HOUSE_EVERY_S: Final = 3600.0
# A row waits for its seal as long as clocks may differ anyway; a few seconds more are nothing.
_SEAL_EVERY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Wakes what is due by `clock`; the outbox is kept for `outbox_retention_s` seconds."""

    pool: asyncpg.Pool[asyncpg.Record]
    committer: GroupCommitter
    metrics: Metrics
    clock: Callable[[], datetime]
    outbox_retention_s: float

    async def run(self, stopping: asyncio.Event) -> None:
        """Look, wake, look again, until `stopping` is set."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._every(_LOOK_EVERY_S, self.wake_due, stopping))
            tasks.create_task(self._every(_KEEP_HOUSE_EVERY_S, self._keep_house, stopping))
            seal = partial(self._seal, stopping)
            tasks.create_task(self._every(_SEAL_EVERY_S, seal, stopping))

    async def wake_due(self) -> None:
        """Wake all that is due; a full page means there is more."""
        full = True
        while full:
            now = self.clock()
            payments = await due_payments(self.pool, now, _DUE_MAX)
            refunds = await due_refunds(self.pool, now, _DUE_MAX)
            woken = await asyncio.gather(*map(self._wake, [*payments, *refunds]))
            # A page of refusals only would come back unchanged.
            full = _DUE_MAX in {len(payments), len(refunds)} and any(woken)

    async def _wake(self, command: WakePayment | ExpireAuthorization | WakeRefund) -> bool:
        try:
            outcome = await submit_durably(self.committer, Submission(command), _PATIENCE_S)
        except Held:
            # It stays due, and is looked at again with the others that are due by then.
            self.metrics.stage.processed.labels(STAGE, "held").inc()
            return False
        except Exception:
            # One that cannot be woken must keep nobody else asleep; it stays due, and overdue.
            log.exception("a wake failed", command=command)
            self.metrics.stage.processed.labels(STAGE, "failed").inc()
            return False
        if isinstance(outcome, Refused):
            self.metrics.stage.processed.labels(STAGE, "not_due").inc()
            return False
        what = "expired" if isinstance(command, ExpireAuthorization) else "woken"
        self.metrics.stage.processed.labels(STAGE, what).inc()
        return True

    async def _keep_house(self) -> None:
        await keep_house(self.pool, self.clock(), self.outbox_retention_s)

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
        while not stopping.is_set():
            try:
                await work()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("the schedule waits for Postgres", error=repr(error))
            try:
                async with asyncio.timeout(seconds):
                    await stopping.wait()
            except TimeoutError:
                continue
