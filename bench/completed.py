"""Payments completed a second, end to end: accepted, published, charged, settled.

Payments come in as fast as they are accepted, for a while, and then the rest is done;
what counts is the time from the first acceptance to the last completion.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import psutil

from bench.figures import Figure
from bench.load import Load, generated

if TYPE_CHECKING:
    from bench.target import Target

_ACCOUNTS: Final = 100
_CONNECTIONS: Final = 64
_COMPLETED: Final = """
SELECT
    count(*) AS accepted,
    count(*) FILTER (WHERE status = 'completed') AS completed,
    extract(epoch FROM max(completed_at) - min(created_at))::float AS seconds
FROM payments
WHERE source_account_id = any($1::uuid[])
"""


async def measure(target: Target, seconds: float) -> list[Figure]:
    """A closed loop of 64 connections on 100 accounts, then patience."""
    accounts = await target.accounts(_ACCOUNTS)
    load = Load(target.url, accounts, seconds, connections=_CONNECTIONS)
    before = _cpu_seconds(target)
    await generated(load)
    await target.at_rest()
    after = _cpu_seconds(target)
    async with target.connected() as connection:
        row = await connection.fetchrow(_COMPLETED, accounts)
    assert row is not None, "an aggregate is one row"
    note = f"{row['completed']:,} of {row['accepted']:,} in {row['seconds']:.1f} s"
    spent = {name: 1000 * (after[name] - before[name]) / row["completed"] for name in before}
    return [
        Figure("payments completed", row["completed"] / row["seconds"], "/s", note),
        Figure("CPU of a payment, all processes", sum(spent.values()), "ms"),
        *(
            Figure(f"CPU of a payment, {name}", spent[name], "ms")
            for name in sorted(spent, key=spent.__getitem__, reverse=True)
        ),
    ]


def _cpu_seconds(target: Target) -> dict[str, float]:
    """What each process and its children have used so far."""
    return {each.name: _family_seconds(each.pid) for each in target.record.processes}


def _family_seconds(pid: int | None) -> float:
    """A database's sessions come and go: one that has just ended counts no more."""
    if pid is None:
        return 0.0
    try:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    used = 0.0
    for one in family:
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            used += times.user + times.system
    return used
