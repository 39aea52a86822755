"""From POST to `completed`, at 200 payments a second, as a consumer of the topic sees it.

The clock starts when a payment should have been sent and stops when its
`payment.completed` comes out of Kafka; both are one process's clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.figures import Figure
from bench.load import Load, generated

if TYPE_CHECKING:
    from bench.target import Target

RATE: Final = 200.0
_ACCOUNTS: Final = 100


async def measure(target: Target, seconds: float) -> list[Figure]:
    """An open loop on 100 accounts."""
    accounts = await target.accounts(_ACCOUNTS)
    outcome = await generated(
        Load(target.url, accounts, seconds, rate=RATE, kafka=target.record.addresses.kafka)
    )
    note = f"{outcome.completed:,} payments at {RATE:.0f}/s"
    return [
        Figure("POST to completed, p50", outcome.completed_p50_ms, "ms", note),
        Figure("POST to completed, p99", outcome.completed_p99_ms, "ms"),
        Figure("POST answered, p50", outcome.answer_p50_ms, "ms"),
        Figure("POST answered, p99", outcome.answer_p99_ms, "ms"),
        Figure("accepted and not completed", outcome.accepted - outcome.completed, ""),
    ]
