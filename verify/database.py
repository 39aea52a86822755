"""The invariants that one moment of the database shows, and what others are compared with.

Everything here reads in one REPEATABLE READ transaction, so a system at work looks as
it did at one moment. The statements are in `store/sql/verify_*.sql`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from store.queries import bound, queries, query
from verify.invariants import EXAMPLES_MAX, INVARIANTS, CheckResult, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

# The schedule looks every second; what is due for a minute is looked after by nobody.
FORGOTTEN_AFTER_S: Final = 60.0
# Rows this close to the end of the outbox's retention may just have been dropped.
_RETENTION_MARGIN_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A message as the outbox holds it; `digest` is the MD5 of its bytes."""

    topic: str
    key: str
    sequence: int | None
    recorded_at: datetime
    digest: bytes


@dataclass(frozen=True, slots=True)
class Baseline:
    """What one moment of the database says; the outbox keeps what is of `kept_since` or later."""

    results: tuple[CheckResult, ...]
    outbox: Mapping[UUID, OutboxEntry]
    charges: Mapping[UUID, ExpectedCharge]
    taken_at: datetime
    kept_since: datetime


@dataclass(frozen=True, slots=True)
class ExpectedCharge:
    """What a provider should have done for a payment, in minor units.

    `is_named`: an open dead letter or reconciliation break says that something is different.
    """

    version: int
    provider: str
    status: str
    currency: str
    captured_minor: int
    refunded_minor: int
    refund_pending_minor: int
    disputed_minor: int = 0
    owes_void: bool = False
    is_named: bool = False


async def read_baseline(connection: Connection, *, outbox_retention_s: float) -> Baseline:
    """Check what the database shows alone, and read what topics and journal are held against."""
    arguments = {
        "forgotten_after_s": FORGOTTEN_AFTER_S,
        "kept_s": max(outbox_retention_s - _RETENTION_MARGIN_S, 0.0),
    }
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        taken_at: datetime = await connection.fetchval("SELECT now()")
        sizes = dict(await _one(connection, "verify_sizes"))
        results = [
            CheckResult(
                invariant.id,
                "database",
                sizes[looked_at],
                await violations(connection, statement, **_named(statement, arguments)),
            )
            for invariant in INVARIANTS
            for statement, looked_at in invariant.statements.items()
        ]
        return Baseline(
            results=tuple(results),
            outbox=await _published(connection),
            charges=await expected_charges(connection),
            taken_at=taken_at,
            kept_since=taken_at - timedelta(seconds=arguments["kept_s"]),
        )


def _named(statement: str, arguments: Mapping[str, float]) -> dict[str, float]:
    """Those of the arguments that a statement asks for."""
    return {each: arguments[each] for each in queries()[statement].parameters}


async def violations(
    connection: Connection, statement: str, **arguments: object
) -> tuple[Violation, ...]:
    """What a statement of violations returns, up to as many as anybody looks at."""
    async with connection.transaction():
        cursor = await connection.cursor(*bound(statement, **arguments))
        rows = await cursor.fetch(EXAMPLES_MAX)
    return tuple(Violation(row["subject"], row["problem"]) for row in rows)


async def expected_charges(
    connection: Connection, payment_ids: Sequence[UUID] | None = None
) -> dict[UUID, ExpectedCharge]:
    """What the provider should have done, for all external payments or for some."""
    ids = None if payment_ids is None else list(payment_ids)
    return {
        row["id"]: ExpectedCharge(
            version=row["version"],
            provider=row["provider"],
            status=row["status"],
            currency=row["currency"],
            captured_minor=row["captured_minor"],
            refunded_minor=row["refunded_minor"],
            refund_pending_minor=row["refund_pending_minor"],
            disputed_minor=row["disputed_minor"],
            owes_void=row["owes_void"],
            is_named=row["is_named"],
        )
        for row in await connection.fetch(query("verify_charges"), ids)
    }


async def published_later(
    connection: Connection, ids: Sequence[UUID], since: datetime
) -> dict[UUID, tuple[str, bytes]]:
    """Topic and digest of those messages, if the outbox has them by now."""
    rows = await connection.fetch(*bound("verify_published_later", ids=list(ids), since=since))
    return {row["id"]: (row["topic"], row["digest"]) for row in rows}


async def parked(connection: Connection) -> dict[tuple[str, bytes], range]:
    """How often each message may have been sent, by topic and digest: as often as it was parked.

    A letter that was redriven came again, and may have become another letter.
    """
    rows = await connection.fetch(query("verify_poison"))
    return {
        (row["topic"], row["digest"]): range(row["letters"] - row["redriven"], row["letters"] + 1)
        for row in rows
    }


async def existing(connection: Connection, subjects: Sequence[UUID]) -> set[UUID]:
    """Those of the ids that are payments or refunds."""
    return {row["id"] for row in await connection.fetch(query("verify_subjects"), list(subjects))}


async def _published(connection: Connection) -> dict[UUID, OutboxEntry]:
    return {
        row["id"]: OutboxEntry(
            row["topic"], row["key"], row["sequence"], row["recorded_at"], row["digest"]
        )
        async for row in connection.cursor(query("verify_published"), prefetch=5_000)
    }


async def _one(connection: Connection, statement: str) -> asyncpg.Record:
    row = await connection.fetchrow(query(statement))
    assert row is not None, f"{statement} always returns a row"
    return row
