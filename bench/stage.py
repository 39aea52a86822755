"""The charge stage alone: a backlog of payments, and how fast it is worked off.

The stage stands still while payments are accepted and published; then it has all of them
on its topic at once. The reference is a Faust agent that does nothing at all with the same
messages. Both are counted between the first and the last tenth, so that neither joining a
group nor running dry is part of it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from bench.figures import Figure
from bench.load import Load, generated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.target import Target

_ACCOUNTS: Final = 100
_CONNECTIONS: Final = 64
# What is accepted in the time for which the stage can stand still without being missed.
_BACKLOG_MAX: Final = 6_000
_BACKLOG_A_SECOND: Final = 500
_STOPPED_S_MAX: Final = 8.0
_SLOW_MS: Final = 200.0
_RATE: Final = """
WITH
bounds AS (
    SELECT
        percentile_disc(0.1) WITHIN GROUP (ORDER BY completed_at) AS first_tenth,
        percentile_disc(0.9) WITHIN GROUP (ORDER BY completed_at) AS last_tenth
    FROM payments
    WHERE source_account_id = any($1::uuid[]) AND completed_at IS NOT NULL
)

SELECT count(*) / extract(epoch FROM max(completed_at) - min(completed_at))::float AS rate
FROM payments, bounds
WHERE
    source_account_id = any($1::uuid[])
    AND completed_at BETWEEN bounds.first_tenth AND bounds.last_tenth
"""


async def measure(target: Target, seconds: float) -> list[Figure]:
    """A provider that answers at once, one that takes 200 ms, and Faust with nothing to do."""
    at_once = await _worked_off(target, seconds)
    async with _slow(target):
        slowly = await _worked_off(target, seconds)
    bare = await _bare(target)
    return [
        Figure("charge stage", at_once, "/s", "a provider that answers at once"),
        Figure("charge stage, slow provider", slowly, "/s", f"it takes {_SLOW_MS:.0f} ms"),
        Figure("a bare Faust agent", bare, "/s", "the same topic"),
        Figure("charge stage / bare Faust agent", at_once / bare, ""),
        Figure("slow provider / provider at once", slowly / at_once, ""),
    ]


async def _worked_off(target: Target, seconds: float) -> float:
    """Payments a second, of a backlog."""
    accounts = await target.accounts(_ACCOUNTS)
    with target.stopped({"charge"}):
        load = Load(
            target.url,
            accounts,
            min(seconds, _STOPPED_S_MAX),
            payments_max=min(_BACKLOG_MAX, int(seconds * _BACKLOG_A_SECOND)),
            connections=_CONNECTIONS,
        )
        await generated(load)
    await target.at_rest()
    async with target.connected() as connection:
        return float(await connection.fetchval(_RATE, accounts))


@asynccontextmanager
async def _slow(target: Target) -> AsyncIterator[None]:
    """The provider takes its time over charges, meanwhile."""
    fault: dict[str, str | float] = {
        "kind": "latency",
        "operation": "charge",
        "milliseconds": _SLOW_MS,
    }
    async with target.faulty(fault):
        yield


async def _bare(target: Target) -> float:
    """Events a second through a Faust agent without work, over all that is on the topic."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.bare_faust", target.record.addresses.kafka),
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the bare Faust agent ended with exit code {process.returncode}")
    return float(json.loads(printed)["rate"])
