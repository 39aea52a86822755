"""Payments accepted a second over HTTP, as a ratio to pgbench making the same writes.

Twice: with everything running, where relays, stages, broker and provider take their part
of the cores at the same time; and with the relays and stages stopped for a few seconds,
which leaves what the ingress and Postgres can do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench import reference
from bench.figures import Figure
from bench.load import Load, Outcome, generated

if TYPE_CHECKING:
    from bench.target import Target

_ACCOUNTS: Final = 100
CONNECTIONS: Final = 64
DOWNSTREAM: Final = frozenset(
    {"relay-kafka", "relay-redis", "charge", "refund", "schedule", "dead-letters", "webhooks"}
)
# Shorter than the session timeout of a consumer group: nobody takes the stopped for dead.
STOPPED_S_MAX: Final = 6.0


async def measure(target: Target, seconds: float) -> list[Figure]:
    """Closed loops of 64 connections on 100 accounts, then pgbench for as long."""
    accounts = await target.accounts(_ACCOUNTS)
    busy = await generated(Load(target.url, accounts, seconds, connections=CONNECTIONS))
    await target.at_rest()
    with target.stopped(DOWNSTREAM):
        limit = min(seconds, STOPPED_S_MAX)
        alone = await generated(Load(target.url, accounts, limit, connections=CONNECTIONS))
    await target.at_rest()
    possible = await reference.measure(target, seconds)
    return [
        *_figures("everything running", busy, possible),
        *_figures("ingress and Postgres alone", alone, possible),
        Figure("pgbench, the same writes", possible, "/s", f"{reference.CLIENTS} clients"),
    ]


def _figures(how: str, outcome: Outcome, possible: float) -> list[Figure]:
    rate = outcome.accepted / outcome.seconds
    share = outcome.cpu_seconds / outcome.seconds
    return [
        Figure("payments accepted", rate, "/s", f"{how}, {CONNECTIONS} connections"),
        Figure("accepted / pgbench", rate / possible, "", how),
        Figure("answered, p50", outcome.answer_p50_ms, "ms", how),
        Figure("answered, p99", outcome.answer_p99_ms, "ms", how),
        Figure("not accepted", sum(outcome.statuses.values()) - outcome.accepted, "", how),
        Figure("the load generator's share of a core", share, "", how),
    ]
