"""How a backlog ends: an hour's worth of payments, during which somebody they need was away.

Each in turn stands still (the relay to Kafka, Redis, the schedule, the provider) while as many
payments are accepted as come in in `seconds` at 100/s, as fast as they are taken. Then it goes on,
and nothing more is sent. While the schedule is away, first tries are refused, so that there is
something for it to do.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from time import perf_counter
from typing import TYPE_CHECKING, Final

from bench.figures import Figure
from bench.load import Load, generated
from topics.names import SLOTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.target import Target

_ACCOUNTS: Final = 100
_CONNECTIONS: Final = 64
# Of a busy day.
_RATE: Final = 100.0
_ORDINARY_S: Final = 2.0
# Who stands still, and what the provider does meanwhile.
_AWAY: Final[Mapping[str, tuple[str, Mapping[str, str | float]]]] = {
    "the relay to Kafka": ("relay-kafka", {}),
    "Redis": ("valkey", {}),
    "the schedule": (
        "schedule",
        {"vendor": "stripe", "operation": "charge", "kind": "error_before", "status": 503},
    ),
    "the provider": ("simulator", {}),
}
_ACCEPTED_WITHIN_S: Final = 3600.0
_AT_REST_WITHIN_S: Final = 3600.0
_LOOK_EVERY_S: Final = 0.2
_UNPUBLISHED: Final = """
SELECT EXISTS (
    SELECT FROM pg_replication_slots
    WHERE slot_name = any($1::text[]) AND confirmed_flush_lsn < $2::text::pg_lsn
)
"""
_MESSAGES: Final = """
SELECT count(*)::float / count(DISTINCT aggregateid)
FROM outbox
WHERE aggregateid IN (SELECT id::text FROM payments WHERE source_account_id = any($1::uuid[]))
"""


async def measure(target: Target, seconds: float) -> list[Figure]:
    """Without each of them: seconds until nobody owes anything, and the messages it took."""
    ordinary = await target.accounts(_ACCOUNTS)
    await generated(Load(target.url, ordinary, _ORDINARY_S, rate=_RATE))
    await _at_rest(target)
    figures: list[Figure] = []
    for who, (process, fault) in _AWAY.items():
        accounts = await target.accounts(_ACCOUNTS)
        load = Load(
            target.url,
            accounts,
            _ACCEPTED_WITHIN_S,
            payments_max=max(1, round(_RATE * seconds)),
            connections=_CONNECTIONS,
        )
        async with target.faulty(fault) if fault else nullcontext():
            with target.stopped({process}):
                waiting = await generated(load)
        began = perf_counter()
        await _at_rest(target)
        took_s = perf_counter() - began
        messages = [await _messages_a_payment(target, each) for each in (accounts, ordinary)]
        note = f"{waiting.accepted:,} payments, accepted in {waiting.seconds:.0f} s"
        figures += [
            Figure(f"a backlog's end, without {who}", took_s, "s", note),
            Figure(f"payments ended then, without {who}", waiting.accepted / took_s, "/s"),
            Figure(f"messages a payment, without {who}, ratio", messages[0] / messages[1], ""),
        ]
    return figures


async def _at_rest(target: Target) -> None:
    """Nobody owes a provider anything, and all that was said is where it is to be read."""
    await target.at_rest(_AT_REST_WITHIN_S)
    async with target.connected() as connection, asyncio.timeout(_AT_REST_WITHIN_S):
        written = await connection.fetchval("SELECT pg_current_wal_lsn()::text")
        slots = [*SLOTS.values()]
        while await connection.fetchval(_UNPUBLISHED, slots, written):  # noqa: ASYNC110 - the relays do it
            await asyncio.sleep(_LOOK_EVERY_S)


async def _messages_a_payment(target: Target, accounts: list[str]) -> float:
    async with target.connected() as connection:
        return float(await connection.fetchval(_MESSAGES, accounts, timeout=600))
