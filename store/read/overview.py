"""How payments, providers and the journal are doing, from as little as shows it.

A page that is looked at every few seconds must not cost more with every payment there is. So of
each stretch of time the newest few hundred are read; where there were more, what is said of the
stretch is an estimate, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from payments.payment import TERMINAL, PaymentStatus
from store.queries import bound, query
from store.read.id_ranges import first_id_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

# Sixty times as many rows are some tens of milliseconds.
_READ_OF_EACH_MAX: Final = 300
_OPEN_MAX: Final = 10_000
_CALLS_OF_MAX: Final = 1_000
_SEALS_MAX: Final = 20
_OPEN: Final = [each.value for each in PaymentStatus if each not in TERMINAL]


@dataclass(slots=True)
class Bucket:
    """A stretch of time: how many payments were accepted in it, and what became of them so far.

    Counts and amounts are whole numbers where all were read, and else estimates.
    """

    begins_at: datetime
    accepted: float = 0
    completed: float = 0
    failed: float = 0
    is_estimate: bool = False
    # Seconds from acceptance to the end: of half of them, of all but a twentieth.
    p50_s: float | None = None
    p95_s: float | None = None
    captured_minor: dict[str, float] = field(default_factory=dict)

    @property
    def under_way(self) -> float:
        """Those that have not ended."""
        return self.accepted - self.completed - self.failed


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of one kind to one provider that ended alike, or not yet; half took less."""

    provider: str
    operation: str
    outcome: str | None
    calls: int
    seconds: float | None


async def recent_payments(
    connection: PoolConnectionProxy,
    tenant_id: str,
    ends_at: datetime,
    step: timedelta,
    count: int,
) -> list[Bucket]:
    """So many stretches of a length up to a moment, the oldest first."""
    begins = [ends_at - step * (count - number) for number in range(count)]
    asked = bound(
        "recent_payments",
        tenant_id=tenant_id,
        first_ids=[first_id_of(each) for each in begins],
        end_ids=[first_id_of(each + step) for each in begins],
        rows_max=_READ_OF_EACH_MAX,
    )
    buckets = [Bucket(each) for each in begins]
    by_currency = []
    factors = [1.0] * count
    for row in await connection.fetch(*asked):
        at = row["number"] - 1
        if row["currency"] is not None:
            by_currency.append(row)
            continue
        factors[at] = _fill(buckets[at], row, step)
    for row in by_currency:
        at = row["number"] - 1
        buckets[at].captured_minor[row["currency"]] = row["captured_minor"] * factors[at]
    return buckets


def _fill(bucket: Bucket, row: Record, step: timedelta) -> float:
    """By how much to multiply what was read, to say it of the whole stretch."""
    factor = 1.0
    if row["read_count"] >= _READ_OF_EACH_MAX:
        read = bucket.begins_at + step - row["oldest_at"]
        factor = max(1.0, step / max(read, timedelta(milliseconds=1)))
        bucket.is_estimate = True
    bucket.accepted = row["read_count"] * factor
    bucket.completed = row["completed_count"] * factor
    bucket.failed = row["failed_count"] * factor
    bucket.p50_s, bucket.p95_s = row["seconds"] or (None, None)
    return factor


async def open_counts(connection: PoolConnectionProxy, tenant_id: str) -> dict[str, int]:
    """How many payments are in each state that is no end; ten thousand stands for more, too."""
    asked = bound("open_payments_counted", tenant_id=tenant_id, statuses=_OPEN, rows_max=_OPEN_MAX)
    return {row["status"]: row["payments"] for row in await connection.fetch(*asked)}


async def recent_calls(connection: PoolConnectionProxy, tenant_id: str) -> list[Calls]:
    """Those for the newest thousand payments."""
    asked = bound("recent_calls", tenant_id=tenant_id, rows_max=_CALLS_OF_MAX)
    return [Calls(**dict(row)) for row in await connection.fetch(*asked)]


async def living_provider_states(connection: PoolConnectionProxy) -> Sequence[Record]:
    """What each worker that lives says of each provider."""
    return await connection.fetch(query("living_provider_states"))


async def newest_seals(connection: PoolConnectionProxy, tenant_id: str) -> Sequence[Record]:
    """The newest seals over the tenant's ledger."""
    return await connection.fetch(*bound("newest_seals", tenant_id=tenant_id, rows_max=_SEALS_MAX))
