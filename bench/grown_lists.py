"""Lists that have grown: letters, breaks, disputes, deliveries and the like, by COPY.

Half of the rows are a loud tenant's, whose letters are all parked and whose breaks all open; the
others are of a tenant whose own are over, but for a rare one, and a few of a quiet one. No row has
what the rarest filter asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from bench.grown import (
    BEGAN_AT,
    BUSY,
    PART,
    QUIET_TENANT,
    RARE_EVERY,
    TENANT,
    id_of,
    instant,
    open_account,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

LOUD_TENANT: Final = "loud"
# Of the tenant: takes every event; and pays with what is declined.
ENDPOINT: Final = UUID(int=(1 << 127) + 1)
DECLINED: Final = UUID(int=(1 << 127) + 2)
_OTHERS: Final = UUID(int=(1 << 127) + 4)
# A list reads some thousand rows for a page, and takes as long to fill as all the payments.
LISTED_MAX: Final = 1_000_000
# Before the payments: what is settled among those is read by the ids of the ledger's rows.
_HELD_AT: Final = BEGAN_AT - timedelta(days=1_000)
_ENDPOINT: Final = (
    "id", "tenant_id", "url", "event_types", "api_version", "description", "state", "key_id",
    "secret_number", "changed_by", "version", "created_at", "updated_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _List:
    table: str
    columns: tuple[str, ...]
    row: Callable[[int], tuple[object, ...]]


async def grow_lists(
    connection: asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy,
    count: int,
    *,
    before: int = 0,
) -> None:
    """So many rows of each list, of which `before` are there, among at least so many payments.

    They are analyzed, as autovacuum would.
    """
    await open_account(connection, _OTHERS, TENANT, BEGAN_AT)
    if not before:
        await connection.copy_records_to_table(
            "webhook_endpoints",
            records=[_endpoint_of(ENDPOINT, TENANT, "enabled", 1)],
            columns=_ENDPOINT,
        )
    for each in _LISTS:
        for first in range(before, count, PART):
            numbers = range(first + 1, min(first + PART, count) + 1)
            await connection.copy_records_to_table(
                each.table, records=map(each.row, numbers), columns=each.columns
            )
    tables = ", ".join(sorted({each.table for each in _LISTS}))
    await connection.execute(f"VACUUM ANALYZE {tables}", timeout=3600)


def _tenant(number: int) -> str:
    if number % 2 == 0:
        return LOUD_TENANT
    return QUIET_TENANT if number % 1_000 == 5 else TENANT


def _is_open(number: int) -> bool:
    return number % 2 == 0 or number % RARE_EVERY == 3


def _letter(number: int) -> tuple[object, ...]:
    at, is_open = instant(number), _is_open(number)
    ended_at, ended_by = (None, None) if is_open else (at, "ada")
    return (
        id_of(number), _tenant(number), "charge", "handler_error", "boom", "payments.charges",
        0, number, "{}", 1, "parked" if is_open else "redriven", at, at, ended_at, ended_by, 1,
    )  # fmt: skip


def _break(number: int) -> tuple[object, ...]:
    at, is_open = instant(number), _is_open(number)
    ended_at, resolution = (None, None) if is_open else (at, "it came")
    return (
        id_of(number), _tenant(number), "stripe", "missing_here", "charge", at, at, at, at,
        "open" if is_open else "resolved", ended_at, resolution,
    )  # fmt: skip


def _dispute(number: int) -> tuple[object, ...]:
    at = instant(number)
    return (
        id_of(number), _tenant(number), id_of(number), "stripe", f"dp_{number}", "dispute", 100,
        "USD", "won", 0, at, at, 1,
    )  # fmt: skip


def _entry(number: int) -> tuple[object, ...]:
    target = f"/api/v1/dead-letters/{number}"
    return (
        id_of(number), _tenant(number), "ada", "api", "redrive_dead_letter", target, "{}", "done",
        "r", instant(number),
    )  # fmt: skip


def _endpoint(number: int) -> tuple[object, ...]:
    tenant_id = _tenant(number)
    state = "deleted" if tenant_id == TENANT else "paused"
    return _endpoint_of(id_of(number), tenant_id, state, number)


def _endpoint_of(endpoint_id: UUID, tenant_id: str, state: str, number: int) -> tuple[object, ...]:
    at = instant(number)
    return (
        endpoint_id, tenant_id, "https://example.com", [], "2026-01-01", "", state, "k", 1, "ada",
        1, at, at,
    )  # fmt: skip


def _event(number: int) -> tuple[object, ...]:
    at = instant(number)
    return id_of(number), TENANT, "payment.created", id_of(number), 1, "{}", at, at


def _delivery(number: int) -> tuple[object, ...]:
    at = instant(number)
    return (
        id_of(number), TENANT, ENDPOINT, id_of(number), "payment.created", id_of(number), 1,
        "delivered", at, at, at,
    )  # fmt: skip


def _method(number: int) -> tuple[object, ...]:
    at, account_id = instant(number), BUSY if number % 2 else _OTHERS
    return id_of(number), TENANT, account_id, "stripe", f"pm_{number}", "detached", 1, at, at


def _hold(number: int) -> tuple[object, ...]:
    """Of a payment that is declined: nothing of it is in the statement."""
    return (
        id_of(number, _HELD_AT), TENANT, "pending", DECLINED, UUID(int=3), 100, "USD", "payment",
        1_000, instant(number, _HELD_AT),
    )  # fmt: skip


_LISTS: Final = (
    _List(
        "dead_letters",
        ("id", "tenant_id", "stage", "reason", "error", "topic", "message_partition",
         "message_offset", "message_headers", "attempts", "state", "first_failed_at",
         "last_failed_at", "resolved_at", "resolved_by", "version"),
        _letter,
    ),
    _List(
        "reconciliation_breaks",
        ("id", "tenant_id", "provider", "type", "kind", "began_at", "occurred_at",
         "first_found_at", "last_found_at", "state", "resolved_at", "resolution"),
        _break,
    ),
    _List(
        "disputes",
        ("id", "tenant_id", "payment_id", "provider", "reference", "kind", "amount_minor",
         "currency", "state", "withdrawn_minor", "created_at", "updated_at", "version"),
        _dispute,
    ),
    _List(
        "audit_log",
        ("id", "tenant_id", "actor", "via", "action", "target", "asked", "outcome", "request_id",
         "recorded_at"),
        _entry,
    ),
    _List("webhook_endpoints", _ENDPOINT, _endpoint),
    _List(
        "webhook_events",
        ("id", "tenant_id", "type", "payment_id", "sequence", "data", "occurred_at",
         "recorded_at"),
        _event,
    ),
    _List(
        "webhook_deliveries",
        ("id", "tenant_id", "endpoint_id", "event_id", "event_type", "payment_id", "sequence",
         "state", "created_at", "updated_at", "delivered_at"),
        _delivery,
    ),
    _List(
        "payment_methods",
        ("id", "tenant_id", "account_id", "provider", "reference", "state", "version",
         "created_at", "updated_at"),
        _method,
    ),
    _List(
        "ledger_transfers",
        ("id", "tenant_id", "state", "debit_account_id", "credit_account_id", "amount_minor",
         "currency", "transaction_type", "debit_balance_after", "recorded_at"),
        _hold,
    ),
)  # fmt: skip
