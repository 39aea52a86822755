"""From POST to `completed`, at 200 and at 500 payments a second, as a consumer sees it.

The clock starts when a payment should have been sent and stops when its
`payment.completed` comes out of Kafka; both are one process's clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.figures import Figure
from bench.load import Load, generated

if TYPE_CHECKING:
    from bench.target import Target

# A gentle one, and one that leaves two cores little to spare.
_RATES: Final = (200.0, 500.0)
_ACCOUNTS: Final = 100


async def measure(target: Target, seconds: float) -> list[Figure]:
    """An open loop on 100 accounts, at one rate and then at the other."""
    return [figure for rate in _RATES for figure in await _at(target, seconds, rate)]


async def _at(target: Target, seconds: float, rate: float) -> list[Figure]:
    accounts = await target.accounts(_ACCOUNTS)
    outcome = await generated(
        Load(target.url, accounts, seconds, rate=rate, kafka=target.record.addresses.kafka)
    )
    note, missing = f"at {rate:.0f}/s", outcome.accepted - outcome.completed
    return [
        Figure(f"POST to completed, {note}, p50", outcome.completed_p50_ms, "ms"),
        Figure(f"POST to completed, {note}, p99", outcome.completed_p99_ms, "ms"),
        Figure(f"POST answered, {note}, p50", outcome.answer_p50_ms, "ms"),
        Figure(f"POST answered, {note}, p99", outcome.answer_p99_ms, "ms"),
        Figure(f"accepted and not completed, {note}", missing, "", f"of {outcome.accepted:,}"),
    ]
