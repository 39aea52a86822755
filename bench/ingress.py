"""What an ingress takes beside Postgres: of many accounts, of one, a second time, and too much.

With the relays and stages stopped for a few seconds it is asked by 256 connections: for payments of
ten thousand accounts, of one, and for these once more under the same keys. Then, with everything
running, for twice and for five times what it takes in a closed loop.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from bench import reference
from bench.accepted import CONNECTIONS, DOWNSTREAM, STOPPED_S_MAX
from bench.figures import Figure
from bench.load import Load, Outcome, generated

if TYPE_CHECKING:
    from bench.target import Target

ACCOUNTS: Final = 10_000
_MANY_CONNECTIONS: Final = 256
_TIMES: Final = (2, 5)
# Twice what a tenant may have waiting: the generator is not what gives up.
_IN_FLIGHT_MAX: Final = 4_096


async def measure(target: Target, seconds: float, count: int = ACCOUNTS) -> list[Figure]:
    """Closed loops on the ingress alone, pgbench, and open loops that are more than it can do."""
    accounts = await target.accounts(count)
    await target.at_rest()
    name = f"bench-{uuid4()}"
    uniform = await _alone(target, Load(target.url, accounts, seconds))
    hot = await _alone(target, Load(target.url, accounts[:1], seconds, name=name))
    again = Load(target.url, accounts[:1], seconds, name=name, payments_max=max(1, hot.accepted))
    replayed = await _alone(target, again)
    possible = await reference.measure(target, seconds)
    rate = _rate(uniform)
    alone = f"ingress and Postgres alone, {_MANY_CONNECTIONS} connections"
    return [
        Figure("payments accepted", rate, "/s", f"{alone}, {count:,} accounts"),
        Figure("accepted / pgbench", rate / possible, "", alone),
        Figure("one account / many", _rate(hot) / rate, "", alone),
        Figure("answers given again / accepted", _rate(replayed) / _rate(hot), "", alone),
        *await _goodput(target, accounts, seconds),
    ]


async def _alone(target: Target, load: Load) -> Outcome:
    short = min(load.seconds, STOPPED_S_MAX)
    with target.stopped(DOWNSTREAM):
        outcome = await generated(replace(load, seconds=short, connections=_MANY_CONNECTIONS))
    await target.at_rest()
    return outcome


async def _goodput(target: Target, accounts: list[str], seconds: float) -> list[Figure]:
    possible = _rate(await generated(Load(target.url, accounts, seconds, connections=CONNECTIONS)))
    await target.at_rest()
    figures = []
    for times in _TIMES:
        too_much = Load(target.url, accounts, seconds, rate=times * possible)
        outcome = await generated(replace(too_much, in_flight_max=_IN_FLIGHT_MAX))
        await target.at_rest()
        note = ", ".join(f"{count:,} of {status}" for status, count in outcome.statuses.items())
        figures.append(Figure(f"goodput at {times} x", _rate(outcome) / possible, "", note))
    return figures


def _rate(outcome: Outcome) -> float:
    return outcome.accepted / outcome.seconds
