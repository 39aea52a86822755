"""How a backlog ends: an hour's worth of payments, of which nothing was published meanwhile.

The relay to Kafka stands still while as many payments are accepted as come in in `seconds` at
100/s, as fast as they are taken. Then it goes on, and nothing more is sent.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

from bench.figures import Figure
from bench.load import Load, generated

if TYPE_CHECKING:
    from bench.target import Target

_ACCOUNTS: Final = 100
_CONNECTIONS: Final = 64
# Of a busy day.
_RATE: Final = 100.0
_ORDINARY_S: Final = 2.0
_AWAY: Final = {"relay-kafka"}
_ACCEPTED_WITHIN_S: Final = 3600.0
_AT_REST_WITHIN_S: Final = 3600.0
_MESSAGES: Final = """
SELECT count(*)::float / count(DISTINCT aggregateid)
FROM outbox
WHERE aggregateid IN (SELECT id::text FROM payments WHERE source_account_id = any($1::uuid[]))
"""


async def measure(target: Target, seconds: float) -> list[Figure]:
    """Seconds until nobody owes anything, and the messages it took."""
    ordinary = await target.accounts(_ACCOUNTS)
    await generated(Load(target.url, ordinary, _ORDINARY_S, rate=_RATE))
    await target.at_rest()
    accounts = await target.accounts(_ACCOUNTS)
    load = Load(
        target.url,
        accounts,
        _ACCEPTED_WITHIN_S,
        payments_max=max(1, round(_RATE * seconds)),
        connections=_CONNECTIONS,
    )
    with target.stopped(_AWAY):
        waiting = await generated(load)
    began = perf_counter()
    await target.at_rest(_AT_REST_WITHIN_S)
    took_s = perf_counter() - began
    messages = [await _messages_a_payment(target, each) for each in (accounts, ordinary)]
    note = f"{waiting.accepted:,} payments, accepted in {waiting.seconds:.0f} s"
    return [
        Figure("a backlog's end", took_s, "s", note),
        Figure("payments ended meanwhile", waiting.accepted / took_s, "/s"),
        Figure("messages a payment, ratio to ordinary ones", messages[0] / messages[1], ""),
    ]


async def _messages_a_payment(target: Target, accounts: list[str]) -> float:
    async with target.connected() as connection:
        return float(await connection.fetchval(_MESSAGES, accounts, timeout=600))
