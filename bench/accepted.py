"""Payments accepted a second over HTTP with everything running, as a ratio to pgbench.

The comparison is what a payment costs Postgres: pgbench makes the same writes, as one
call a transaction, with 16 clients, on the same server, right afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench import reference
from bench.figures import Figure
from bench.load import Load, generated

if TYPE_CHECKING:
    from bench.target import Target

_ACCOUNTS: Final = 100
CONNECTIONS: Final = 64


async def measure(target: Target, seconds: float) -> list[Figure]:
    """A closed loop of 64 connections on 100 accounts, then pgbench for as long."""
    accounts = await target.accounts(_ACCOUNTS)
    outcome = await generated(Load(target.url, accounts, seconds, connections=CONNECTIONS))
    await target.at_rest()
    possible = await reference.measure(target, seconds)
    rate = outcome.accepted / outcome.seconds
    share = outcome.cpu_seconds / outcome.seconds
    return [
        Figure("payments accepted", rate, "/s", f"{CONNECTIONS} connections, {_ACCOUNTS} accounts"),
        Figure("answered, p50", outcome.answer_p50_ms, "ms"),
        Figure("answered, p99", outcome.answer_p99_ms, "ms"),
        Figure("not accepted", sum(outcome.statuses.values()) - outcome.accepted, ""),
        Figure("the load generator's share of a core", share, ""),
        Figure("pgbench, the same writes", possible, "/s", f"{reference.CLIENTS} clients"),
        Figure("accepted / pgbench", rate / possible, ""),
    ]
