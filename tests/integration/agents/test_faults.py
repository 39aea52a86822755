"""What a provider may answer, or not: the charge stage ends every payment, and right.

One worker, alive throughout; the simulator misbehaves as it is told.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from payments.commands import CancelPayment, CapturePayment
from payments.payment import CaptureMethod, Provider
from providers.registry import NAMES
from tests.support.agents.shop import PRICE
from tests.support.factories import TENANT, usd
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from payments.payment import Payment
    from tests.support.agents.shop import Shop
    from tests.support.fixtures.processes import OurProcess


@pytest.fixture(autouse=True)
async def _circuits_are_closed(shop: Shop, worker: OurProcess) -> None:
    """A worker that has just charged well at both providers, whatever it met before."""
    assert worker.is_running
    await shop.settles(await shop.bought_many(await shop.customer(), 12))


@pytest.mark.parametrize("vendor", NAMES)
@pytest.mark.parametrize(
    "fault",
    [
        "rate_limit",
        "error_before",
        "error_after",
        "reset_before",
        "reset_after",
        "truncate",
    ],
)
async def test_one_bad_answer_costs_a_payment_time_and_nothing_else(
    shop: Shop, vendor: Provider, fault: str
) -> None:
    """Whether the money moved before the answer went bad or not: it is charged once."""
    customer = await shop.customer()
    shop.provider.arm(fault, vendor=vendor, operation="charge", times=1)
    payment = await shop.bought(customer, vendor)
    await shop.becomes(payment, "completed")
    assert len(await shop.attempts(payment)) == 2
    await shop.assert_right(customer)


async def test_a_charge_that_was_not_answered_is_found(shop: Shop) -> None:
    """On the newest page, or by a search: it is not made again."""
    customer = await shop.customer()
    shop.provider.arm("reset_after", vendor="stripe", operation="charge", times=1)
    payment = await shop.bought(customer)
    await shop.becomes(payment, "completed")
    assert shop.asked(payment, "charge") == ["charge/reset_after"]
    await shop.assert_right(customer)


async def test_a_decline_is_an_answer(shop: Shop) -> None:
    """Asked once, failed for good, the hold released."""
    customer = await shop.customer()
    shop.provider.arm("decline", vendor="stripe", operation="charge", times=1)
    payment = await shop.bought(customer)
    await shop.becomes(payment, "failed")
    assert await shop.attempts(payment) == [(1, False, "declined")]
    await shop.assert_right(customer)


async def test_a_payment_that_is_refused_for_too_long_fails_and_an_operator_is_told(
    shop: Shop,
) -> None:
    """Five attempts, then the hold is released and there is a dead letter, at once."""
    customer = await shop.customer()
    shop.provider.arm("rate_limit", vendor="stripe", operation="charge", code="lock_timeout")
    payment = await shop.bought(customer)
    await shop.becomes(payment, "failed")
    assert await shop.attempts(payment) == [(n, n > 1, "retriable") for n in range(1, 6)]
    query = "SELECT reason FROM dead_letters WHERE payment_id = $1"
    assert await shop.pool.fetchval(query, payment.id) == "retries_exhausted"
    await shop.assert_right(customer)


async def test_a_rate_that_is_limited_for_long_costs_no_payment(shop: Shop) -> None:
    """Turned away more often than it may be tried, it waits, says why, and completes at last."""
    customer = await shop.customer()
    shop.provider.arm("rate_limit", vendor="stripe", operation="charge", times=6)
    payment = await shop.bought(customer)
    await shop.becomes(payment, "completed")
    assert [outcome for _, _, outcome in await shop.attempts(payment)] == [
        *["retriable"] * 6,
        "succeeded",
    ]
    await shop.assert_right(customer)


@pytest.mark.parametrize("vendor", NAMES)
async def test_an_authorization_is_captured_in_part(shop: Shop, vendor: Provider) -> None:
    """The customer pays what was captured; the rest of the hold is free again."""
    customer = await shop.customer()
    payment = await shop.bought(customer, vendor, CaptureMethod.MANUAL)
    await shop.becomes(payment, "authorized")
    shop.provider.arm("reset_after", vendor=vendor, operation="capture", times=1)
    await shop.did(CapturePayment(TENANT, payment.id, usd(PRICE.amount_minor - 500)))
    await shop.becomes(payment, "completed")
    await shop.assert_right(customer)


async def has_said(shop: Shop, payment: Payment, event_type: str) -> bool:
    """Whether the event is among its history."""
    history = "SELECT 1 FROM payment_events WHERE payment_id = $1 AND type = $2"
    return bool(await shop.pool.fetchval(history, payment.id, event_type))


async def test_a_declined_capture_leaves_its_authorization(shop: Shop) -> None:
    """Nothing is lost by it: it can be captured after all, or cancelled."""
    customer = await shop.customer()
    payment = await shop.bought(customer, Provider("paypal"), CaptureMethod.MANUAL)
    await shop.becomes(payment, "authorized")
    shop.provider.arm("decline", vendor="paypal", operation="capture", times=1)
    await shop.did(CapturePayment(TENANT, payment.id, None))
    await eventually(partial(has_said, shop, payment, "payment.capture_failed"))
    await shop.did(CancelPayment(TENANT, payment.id))
    await shop.becomes(payment, "cancelled")
    assert shop.provider.payment(str(payment.id))["voids"] == 1
    await shop.assert_right(customer)


@pytest.mark.parametrize("vendor", NAMES)
async def test_a_cancelled_authorization_is_let_go(shop: Shop, vendor: Provider) -> None:
    """Once its provider has let go, which is told as often as it takes, and not before."""
    customer = await shop.customer()
    payment = await shop.bought(customer, vendor, CaptureMethod.MANUAL)
    await shop.becomes(payment, "authorized")
    shop.provider.arm("error_before", vendor=vendor, operation="void", times=2)
    await shop.did(CancelPayment(TENANT, payment.id))
    await shop.becomes(payment, "cancelled")
    assert shop.provider.payment(str(payment.id))["voids"] == 1
    await shop.assert_right(customer)


@pytest.mark.parametrize("vendor", NAMES)
async def test_an_authorization_ends_by_itself(shop: Shop, vendor: Provider) -> None:
    """Its week over, the customer has the money back, and the provider is told."""
    customer = await shop.customer()
    payment = await shop.bought(customer, vendor, CaptureMethod.MANUAL)
    await shop.becomes(payment, "authorized")
    await shop.pool.execute(
        "UPDATE payments SET due_at = now(), authorization_expires_at = now() WHERE id = $1",
        payment.id,
    )
    await shop.settles([payment])
    assert await shop.status(payment) == "cancelled"
    assert shop.provider.payment(str(payment.id))["voids"] == 1
    await shop.assert_right(customer)


@pytest.mark.parametrize("vendor", NAMES)
async def test_a_capture_of_what_the_provider_let_go_fails(shop: Shop, vendor: Provider) -> None:
    """It comes too late, and says so; nothing is held, and nobody is asked to look."""
    customer = await shop.customer()
    payment = await shop.bought(customer, vendor, CaptureMethod.MANUAL)
    await shop.becomes(payment, "authorized")
    shop.provider.expire(str(payment.id))
    await shop.did(CapturePayment(TENANT, payment.id, None))
    await shop.settles([payment])
    row = await shop.pool.fetchrow("SELECT * FROM payments WHERE id = $1", payment.id)
    assert row is not None
    assert row["status"] == "failed"
    assert row["last_error_code"] in {"authorization_expired", "AUTHORIZATION_VOIDED"}
    await shop.assert_right(customer)


async def test_a_hanging_provider_does_not_hold_up_the_other(shop: Shop) -> None:
    """While one says nothing the other's payments complete; then the first one's do."""
    customer = await shop.customer()
    shop.provider.arm("latency", vendor="stripe", operation="charge", milliseconds=800)
    slow = [await shop.bought(customer) for _ in range(5)]
    quick = [await shop.bought(customer, Provider("paypal")) for _ in range(5)]
    await shop.settles(quick)
    assert {await shop.status(payment) for payment in slow} == {"processing"}
    await shop.settles(slow)
    await shop.assert_right(customer)


async def test_a_stage_says_what_it_did(shop: Shop, worker: OurProcess) -> None:
    """Taken, claimed, recorded and acknowledged are counted, and nothing is left in flight."""
    customer = await shop.customer()
    before = await worker.metric("payments_stage_processed_total", outcome="succeeded")
    payments = [await shop.bought(customer) for _ in range(3)]
    await shop.settles(payments)

    async def is_counted() -> bool:
        after = await worker.metric("payments_stage_processed_total", outcome="succeeded")
        return after == before + 3 and await worker.metric("payments_stage_in_flight") == 0

    await eventually(is_counted)


@pytest.mark.parametrize("vendor", NAMES)
async def test_more_than_a_provider_takes_waits_and_fails_nobody(
    shop: Shop, vendor: Provider
) -> None:
    """Seconds of work beyond the vendor's limit: nobody's five attempts are used up by it."""
    customer = await shop.customer()
    shop.provider.arm("rate_limit", vendor=vendor, operation="charge", per_second=40)
    payments = await asyncio.gather(*(shop.bought(customer, vendor) for _ in range(240)))
    await shop.settles(payments)
    assert {await shop.status(payment) for payment in payments} == {"completed"}
    await shop.assert_right(customer)
