"""Kill -9 at every point of a charge: the payment is charged once, or not at all, and ends.

The simulator or a row lock holds the real worker process at the point, so that it dies
exactly there. What follows is always the same: a worker of the same name takes over, the
lease of the dead one runs out, the provider is asked, and both witnesses agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from payments.commands import CancelPayment, RefundPayment
from payments.payment import CaptureMethod, Provider
from tests.support.factories import TENANT, usd
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from payments.payment import Payment
    from tests.support.agents.shop import Shop
    from tests.support.fixtures.processes import OurProcess, Platform


async def claimed(shop: Shop, payment: Payment) -> None:
    await eventually(lambda: shop.is_claimed(payment))


async def replaced(worker: OurProcess) -> None:
    """Kill -9, and another one under the same name."""
    await worker.kill()
    await worker.start()


async def test_before_the_claim_is_saved_nothing_was_begun(shop: Shop, worker: OurProcess) -> None:
    """A worker that dies while it saves its claim leaves none: the event comes again."""
    customer = await shop.customer()
    worker.freeze()
    payment = await shop.bought(customer)
    async with shop.locked(payment):
        worker.thaw()
        await eventually(worker.waits_for_a_row)
        await worker.kill()
    await worker.start()
    await shop.becomes(payment, "completed")
    assert await shop.attempts(payment) == [(1, False, "succeeded")]
    assert shop.asked(payment) == ["charge/ok"]
    await shop.assert_right(customer)


async def test_between_the_claim_and_the_call_the_money_was_not_asked_for(
    shop: Shop, worker: OurProcess
) -> None:
    """The provider knows nothing, so the successor asks for the first time, and is answered."""
    customer = await shop.customer()
    shop.provider.arm("hang_before", vendor="paypal", operation="create", times=1)
    payment = await shop.bought(customer, Provider("paypal"))
    await eventually(shop.has_struck)
    await replaced(worker)
    await shop.becomes(payment, "completed")
    assert (await shop.attempts(payment))[0] == (1, False, "lease_expired")
    assert shop.asked(payment, "charge") == ["charge/ok"]
    await shop.assert_right(customer)


async def test_a_request_that_never_arrived_is_made_again_under_its_key(
    shop: Shop, worker: OurProcess
) -> None:
    """Killed with the request on its way: the inquiry finds nothing, and the same key is used."""
    customer = await shop.customer()
    shop.provider.arm("hang_before", vendor="stripe", operation="charge", times=1)
    payment = await shop.bought(customer)
    await eventually(shop.has_struck)
    await replaced(worker)
    await shop.becomes(payment, "completed")
    assert shop.asked(payment, "charge") == ["charge/hang_before", "charge/ok"]
    keys = {
        entry["key"] for entry in shop.provider.journal(payment_id=str(payment.id)) if entry["key"]
    }
    assert keys == {f"charge-{payment.id}"}
    await shop.assert_right(customer)


@pytest.mark.parametrize(
    "vendor", [Provider("stripe"), pytest.param(Provider("paypal"), marks=pytest.mark.long)]
)
async def test_a_charge_whose_answer_was_lost_is_found(
    shop: Shop, worker: OurProcess, vendor: Provider
) -> None:
    """Killed after the provider took the money: the inquiry finds it, nothing is asked again."""
    customer = await shop.customer()
    shop.provider.arm("hang_after", vendor=vendor, operation="charge", times=1)
    payment = await shop.bought(customer, vendor)
    await eventually(lambda: shop.charges(payment) == 1)
    await replaced(worker)
    await shop.becomes(payment, "completed")
    assert shop.asked(payment, "charge") == ["charge/hang_after"]
    await shop.assert_right(customer)


async def test_an_answer_that_was_not_recorded_is_asked_for_again(
    shop: Shop, worker: OurProcess
) -> None:
    """Killed with the answer in hand and not committed: the provider is asked, not charged."""
    customer = await shop.customer()
    shop.provider.arm("latency", vendor="stripe", operation="charge", times=1, milliseconds=300)
    payment = await shop.bought(customer)
    await claimed(shop, payment)
    async with shop.locked(payment):
        await eventually(lambda: shop.charges(payment) == 1)
        await eventually(worker.waits_for_a_row)
        await worker.kill()
    await worker.start()
    await shop.becomes(payment, "completed")
    assert shop.asked(payment, "charge") == ["charge/latency"]
    await shop.assert_right(customer)


async def test_an_inquiry_may_die_too(shop: Shop, worker: OurProcess) -> None:
    """Killed while it asks what became of a charge: the next one asks the same, and finds it."""
    customer = await shop.customer()
    shop.provider.arm("error_after", vendor="stripe", operation="charge", times=1)
    shop.provider.arm("hang_before", vendor="stripe", operation="list", times=1)
    payment = await shop.bought(customer)
    await eventually(shop.has_struck)
    assert await shop.status(payment) == "unknown"
    await replaced(worker)
    await shop.becomes(payment, "completed")
    assert len(shop.asked(payment, "charge")) == 1
    await shop.assert_right(customer)


async def test_a_void_is_made_whoever_dies_over_it(shop: Shop, worker: OurProcess) -> None:
    """Killed after the provider let go of an authorization: asked, not voided twice."""
    customer = await shop.customer()
    payment = await shop.bought(customer, capture_method=CaptureMethod.MANUAL)
    await shop.becomes(payment, "authorized")
    shop.provider.arm("hang_after", vendor="stripe", operation="void", times=1)
    await shop.did(CancelPayment(TENANT, payment.id))
    await eventually(shop.has_struck)
    await replaced(worker)
    await shop.settles([payment])
    assert await shop.status(payment) == "cancelled"
    assert shop.provider.payment(str(payment.id))["voids"] == 1
    await shop.assert_right(customer)


@pytest.mark.long
@pytest.mark.usefixtures("worker")
async def test_a_refund_whose_answer_was_lost_is_found(platform: Platform, shop: Shop) -> None:
    """Killed after the provider gave the money back: it is given back once."""
    refunder = platform.refund("one")
    await refunder.start()
    customer = await shop.customer()
    payment = await shop.bought(customer)
    await shop.becomes(payment, "completed")
    shop.provider.arm("hang_after", vendor="stripe", operation="refund", times=1)
    await shop.did(RefundPayment(TENANT, payment.id, usd(1_000)))
    await eventually(lambda: shop.provider.payment(str(payment.id))["refunds"] == 1)
    await replaced(refunder)
    await shop.becomes(payment, "partially_refunded")
    assert shop.provider.payment(str(payment.id))["refunds"] == 1
    await shop.assert_right(customer)


@pytest.mark.parametrize(
    ("vendor", "held_at"),
    [
        pytest.param(Provider("stripe"), "charge", marks=pytest.mark.long),
        (Provider("paypal"), "create"),
    ],
)
async def test_a_worker_that_sleeps_past_its_lease_changes_nothing_when_it_wakes(
    platform: Platform, shop: Shop, worker: OurProcess, vendor: Provider, held_at: str
) -> None:
    """It wakes to an answer found without it, or asks for money that was taken long ago."""
    customer = await shop.customer()
    shop.provider.arm("latency", vendor=vendor, operation=held_at, times=1, milliseconds=200)
    payment = await shop.bought(customer, vendor)
    await eventually(shop.has_struck)
    worker.freeze()
    successor = platform.charge("one")
    await successor.start()
    await shop.becomes(payment, "completed")
    events = await shop.events(payment)
    worker.thaw()
    await eventually(lambda: "attempt settled" in worker.said_of(payment.id))
    await worker.kill()
    assert await shop.events(payment) == events
    await shop.assert_right(customer)
    # It may be on its way back into the group, out of which the sleeper of its name threw it.
    await successor.kill()
