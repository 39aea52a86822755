"""What a provider that hangs does to the payments of the other one.

The same open loop of PayPal payments twice: with Stripe well, and with every charge at
Stripe hanging for ten seconds while payments for it keep coming.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bench.figures import Figure
from bench.load import Load, generated

if TYPE_CHECKING:
    from bench.load import Outcome
    from bench.target import Target

_ACCOUNTS: Final = 100
# Together what the latency benchmark sends.
_RATE: Final = 100.0
_HANG: Final[Mapping[str, str | float]] = {
    "kind": "hang_before",
    "vendor": "stripe",
    "operation": "charge",
    "milliseconds": 10_000.0,
}


async def measure(target: Target, seconds: float) -> list[Figure]:
    """POST to completed at PayPal, beside a Stripe that is well and one that hangs."""
    well = await _at_paypal(target, seconds)
    async with target.faulty(_HANG):
        hanging = await _at_paypal(target, seconds)
    await target.at_rest()
    note = f"PayPal at {_RATE:.0f}/s, Stripe beside it"
    late = hanging.completed_p50_ms - well.completed_p50_ms
    return [
        Figure("POST to completed, p50, other well", well.completed_p50_ms, "ms", note),
        Figure("POST to completed, p50, other hangs", hanging.completed_p50_ms, "ms", note),
        Figure("delay by a provider that hangs, p50", late, "ms"),
        Figure("completed late or never", hanging.accepted - hanging.completed, ""),
    ]


async def _at_paypal(target: Target, seconds: float) -> Outcome:
    """What PayPal's payments met with, while as many of Stripe's came in."""
    accounts = await target.accounts(_ACCOUNTS)
    kafka = target.record.addresses.kafka
    paypal = Load(target.url, accounts, seconds, rate=_RATE, kafka=kafka, provider="paypal")
    stripe = replace(paypal, provider="stripe", kafka=None)
    outcome, _ = await asyncio.gather(generated(paypal), generated(stripe))
    return outcome
