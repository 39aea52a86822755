"""What each statement costs in a database that has grown: its plan, its time, what it touches.

In a database of its own on the same server, filled by COPY; measured at a tenth of its size and at
all of it, so that what grows with the table is seen.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from bench.asked import asked
from bench.figures import Figure
from bench.grown import grow
from bench.grown_lists import LISTED_MAX, grow_lists
from store.migrations import migrate_up, read_migrations
from store.pool import connect, connect_single
from store.queries import bound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    from bench.asked import Asked
    from bench.target import Target

ROWS: Final = 200_000
_DATABASE: Final = "bench_growth"
# The best of so many: the first reads what is not cached.
_TIMES: Final = 5


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one statement: its scans, what they returned or threw away, and its time."""

    scans: tuple[str, ...]
    rows: int
    milliseconds: float


async def cost_of(connection: PoolConnectionProxy, what: Asked) -> Cost:
    """As EXPLAIN ANALYZE has it, planned as for who has asked for the same before."""
    prepare, execute = prepared(what.name, what.arguments)
    await connection.execute(prepare)
    for _ in range(what.times_before):
        await connection.execute(execute)
    told = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {execute}")
    await connection.execute("DEALLOCATE asked")
    (explained,) = json.loads(told)
    scans = [each for each in _nodes(explained["Plan"]) if _reads_rows(each["Node Type"])]
    return Cost(
        tuple(f"{each['Node Type']} {each.get('Index Name', '')}".strip() for each in scans),
        sum(map(_rows, scans)),
        explained["Execution Time"],
    )


def prepared(name: str, arguments: Mapping[str, object]) -> tuple[str, str]:
    """How a statement is prepared as `asked`, and how that is executed."""
    text, *ordered = bound(name, **arguments)
    return f"PREPARE asked AS {text}", f"EXECUTE asked ({', '.join(map(_literal, ordered))})"


async def measure(target: Target, seconds: float, *, rows: int = ROWS) -> list[Figure]:  # noqa: ARG001 - it takes as long as it takes
    """Times and touched rows at a tenth of `rows` payments and at all of them."""
    found: list[Figure] = []
    async with grown_database(target, _DATABASE) as pool, pool.acquire() as connection:
        few, touched = rows // 10, dict[str, int]()
        for before, count in ((0, few), (few, rows)):
            await grow(connection, count, before=before)
            listed, known = min(count, LISTED_MAX), min(before, LISTED_MAX)
            await grow_lists(connection, listed, before=known)
            for what, each in asked(count).items():
                costs = [await cost_of(connection, each) for _ in range(_TIMES)]
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


def _literal(value: object) -> str:
    """As a prepared statement is given it: its parameters' types are known."""
    match value:
        case None:
            return "NULL"
        case list():
            return _literal(f"{{{','.join(map(str, value))}}}")
        case _:
            return "'" + str(value).replace("'", "''") + "'"


def _reads_rows(node_type: str) -> bool:
    """Of a subquery the rows were read below."""
    return "Scan" in node_type and node_type != "Subquery Scan"


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _rows(scan: dict[str, Any]) -> int:
    passed = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    return int(sum(scan.get(each, 0) for each in passed) * scan["Actual Loops"])
