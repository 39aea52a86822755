"""What each page of the console costs the server with millions of payments behind it.

In a database of its own, grown as `growth.py`'s, whose last payment was made a moment ago; an
ingress of its own serves from it. Each page is asked for again and again, one request at a time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Final

import aiohttp

from bench.figures import Figure, percentile
from bench.grown import BUSY, grow, id_of
from bench.growth import ROWS, grown_database

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncpg.pool import PoolConnectionProxy

    from bench.target import Target

_DATABASE: Final = "bench_console"
# Enough that the 95th percentile is not the worst.
_TIMES: Final = 40
# Of the first requests the server plans statements and reads templates.
_WARM: Final = 3
_FOUND: Final = frozenset({200, 302, 303, 404})


def pages(count: int, began_at: datetime | None = None) -> Mapping[str, str]:
    """What is asked for among so many payments, by name."""
    began_at = began_at or _began_at(count)
    payments = "/console/payments"
    middle = id_of(count // 2, began_at)
    return {
        "overview": "/console",
        "overview, a day": "/console?span=24h",
        "payments": payments,
        "payments that failed": f"{payments}?status=failed",
        "payments in review": f"{payments}?status=review",
        "payments of an account": f"{payments}?account_id={BUSY}",
        "payments of a rare currency": f"{payments}?currency=KWD",
        "payments of a rare amount": f"{payments}?currency=USD&amount=77.77",
        "payments of a rare provider": f"{payments}?provider=paypal",
        "a payment": f"{payments}/{middle}",
        "search by id": f"/console/search?q={middle}",
        "search by what nobody knows": "/console/search?q=nobody-knows",
        "an account": f"/console/accounts/{BUSY}",
        "streams": "/console/streams",
        "dead letters": "/console/dead-letters",
        "providers": "/console/providers",
        "books": "/console/books",
        "webhook endpoints": "/console/webhook-endpoints",
        "audit log": "/console/audit-log",
    }


async def measure(target: Target, seconds: float, *, rows: int = ROWS) -> list[Figure]:  # noqa: ARG001 - it takes as long as it takes
    """The 95th percentile of each page's time, with so many payments."""
    began_at = _began_at(rows)
    own = {"PAYMENTS_AUTH_MODE": "open", "PAYMENTS_DATABASE_DATABASE": _DATABASE}
    with TemporaryDirectory(prefix="payments-console-") as folder:
        async with grown_database(target, _DATABASE) as pool:
            async with pool.acquire() as connection:
                await _grow(connection, rows, began_at)
            async with (
                target.another_ingress(Path(folder), own) as url,
                aiohttp.ClientSession(url) as http,
            ):
                return [
                    Figure(
                        f"{name}, p95",
                        percentile(sorted(await _times(http, path)), 0.95),
                        "ms",
                        f"{rows:,} payments",
                    )
                    for name, path in pages(rows, began_at).items()
                ]


async def _grow(connection: PoolConnectionProxy, rows: int, began_at: datetime) -> None:
    await grow(connection, rows, began_at=began_at)
    await connection.execute("ANALYZE", timeout=3600)


async def _times(http: aiohttp.ClientSession, path: str) -> list[float]:
    """Milliseconds until the whole page was there."""
    found: list[float] = []
    for _ in range(_WARM + _TIMES):
        began = perf_counter()
        async with http.get(path, allow_redirects=False) as answer:
            await answer.read()
        found.append((perf_counter() - began) * 1_000)
        assert answer.status in _FOUND, f"{path}: {answer.status}"
    return found[_WARM:]


def _began_at(count: int) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=count)
