"""What each hot statement costs in a database that has grown: its plan, its time, what it touches.

In a database of its own on the same server, filled by COPY; measured at a tenth of its size and at
all of it, so that what grows with the table is seen.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from bench.figures import Figure
from bench.grown import BUSY, QUIET_TENANT, TENANT, grow, id_of, instant
from store.migrations import migrate_up, read_migrations
from store.pool import connect, connect_single
from store.queries import bound
from store.read.id_ranges import FIRST_ID, LAST_ID, first_id_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    from bench.target import Target

ROWS: Final = 200_000
_DATABASE: Final = "bench_growth"
# The best of so many: the first reads what is not cached.
_TIMES: Final = 5

_PATIENCE: Final = timedelta(minutes=2)
_PAGE: Final = {"tenant_id": TENANT, "before_id": LAST_ID, "first_id": FIRST_ID, "rows_max": 21}
_ANY: Final = dict.fromkeys(
    ("status", "provider", "currency", "amount_minor", "provider_transaction_id",
     "created_from", "created_before")
)  # fmt: skip


def asked(count: int) -> Mapping[str, tuple[str, dict[str, object]]]:
    """Each statement, and its arguments, among so many payments: by what they ask for."""
    middle = instant(count // 2)
    page, first_id = _PAGE | _ANY, first_id_of(middle)
    past = {"tenant_id": TENANT, "account_id": BUSY, "instant": middle, "first_id": first_id}
    return {
        "newest payments": ("payments_page", page),
        "newest payments of a quiet tenant": ("payments_page", page | {"tenant_id": QUIET_TENANT}),
        "payments in review": ("payments_page_in_state", page | {"status": "review"}),
        "payments that failed": ("payments_page_in_state", page | {"status": "failed"}),
        "payments since an instant": (
            "payments_page",
            page | {"created_from": middle, "first_id": first_id},
        ),
        "payments of an account": ("payments_page_of_account", page | {"account_id": BUSY}),
        "where a filter gives up": (
            "payments_floor",
            {"tenant_id": TENANT, "before_id": LAST_ID, "first_id": FIRST_ID, "read_max": 5_000},
        ),
        "a statement": (
            "statement_page",
            {"tenant_id": TENANT, "account_id": BUSY, "before_id": LAST_ID, "rows_max": 21},
        ),
        "a balance in the past": ("balance_at", past),
        "a statement of a quiet account": (
            "statement_page",
            {"tenant_id": TENANT, "account_id": UUID(int=4), "before_id": LAST_ID, "rows_max": 21},
        ),
        "a payment": ("payment_by_id", {"tenant_id": TENANT, "id": id_of(count // 2)}),
        "what is due": (
            "due_payments",
            {"since": instant(0), "now": middle, "patience": _PATIENCE, "rows_max": 500},
        ),
        "settled between": (
            "settled_payments_between",
            {
                "provider": "stripe", "since": middle, "before": instant(count),
                "after_id": first_id, "before_id": first_id_of(instant(count)),
                "statuses": ["completed"], "rows_max": 1_000,
            },
        ),
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one statement: its scans, what they returned or threw away, and its time."""

    scans: tuple[str, ...]
    rows: int
    milliseconds: float


async def cost_of(connection: PoolConnectionProxy, name: str, arguments: dict[str, object]) -> Cost:
    """As EXPLAIN ANALYZE has it."""
    text, *ordered = bound(name, **arguments)
    told = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", *ordered)
    (explained,) = json.loads(told)
    scans = [each for each in _nodes(explained["Plan"]) if "Scan" in each["Node Type"]]
    return Cost(
        tuple(f"{each['Node Type']} {each.get('Index Name', '')}".strip() for each in scans),
        sum(map(_rows, scans)),
        explained["Execution Time"],
    )


async def measure(target: Target, seconds: float, *, rows: int = ROWS) -> list[Figure]:  # noqa: ARG001 - it takes as long as it takes
    """Times and touched rows at a tenth of `rows` payments and at all of them."""
    found: list[Figure] = []
    async with grown_database(target, _DATABASE) as pool, pool.acquire() as connection:
        few, touched = rows // 10, dict[str, int]()
        for before, count in ((0, few), (few, rows)):
            await grow(connection, count, before=before)
            for what, (name, arguments) in asked(count).items():
                costs = [await cost_of(connection, name, arguments) for _ in range(_TIMES)]
                best = min(costs, key=lambda cost: cost.milliseconds)
                note = f"{best.rows} rows, {', '.join(best.scans)}"
                found.append(Figure(f"{what}, {count:,}", best.milliseconds, "ms", note))
                if count == rows:
                    grown = best.rows / max(touched[what], 1)
                    found.append(Figure(f"{what}, rows touched", grown, "times as many"))
                touched[what] = best.rows
    return found


@asynccontextmanager
async def grown_database(target: Target, name: str) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    """A migrated database of its own, which is to grow; gone afterwards."""
    address = replace(target.database, database=name)
    async with target.connected() as administrator:
        await administrator.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await administrator.execute(f"CREATE DATABASE {name}")
    connection = await connect_single(address, application_name="bench")
    await migrate_up(connection, read_migrations())
    await connection.close()
    try:
        async with await connect(address, application_name="bench", size=1) as pool:
            yield pool
    finally:
        async with target.connected() as administrator:
            await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _rows(scan: dict[str, Any]) -> int:
    passed = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    return int(sum(scan.get(each, 0) for each in passed) * scan["Actual Loops"])
