"""One suite over every provider: each gateway against the simulator, which testifies.

What counts is not what a gateway says but what the simulator's journal says was moved.
"""

from __future__ import annotations

import asyncio

import pytest

from payments.money import Money
from payments.outcome import (
    CapturedElsewhere,
    Declined,
    NotFound,
    Operation,
    Retriable,
    Succeeded,
    Unknown,
)
from payments.record import replace
from simulator.faults import FaultKind
from tests.support.providers.fixtures import Provider, reference_of
from tests.support.providers.requests import Payment, new_id

_AFTER = [
    FaultKind.ERROR_AFTER,
    FaultKind.RESET_AFTER,
    FaultKind.TRUNCATE,
    FaultKind.HANG_AFTER,
]
_BEFORE = [FaultKind.ERROR_BEFORE, FaultKind.RESET_BEFORE, FaultKind.HANG_BEFORE]
_HALF = Money(2500, "USD")
_DECLINING = {"stripe": "pm_card_chargeDeclined", "paypal": "SIM-INSTRUMENT_DECLINED"}
# The simulator's own: USD 4000.02 is refused by every issuer.
_MAGIC_DECLINE = Money(400002, "USD")


async def test_a_charge_moves_the_amount_once(provider: Provider) -> None:
    """However often it is repeated under its key, and it always has the same reference."""
    payment = Payment()
    references = {await provider.charged(payment) for _ in range(3)}
    assert len(references) == 1
    assert provider.report(payment).charges == 1
    assert provider.report(payment).charged_minor == 5000


async def test_charges_that_race_under_one_key_have_one_effect(provider: Provider) -> None:
    """A twin that comes too early is in doubt, not failed; then all agree."""
    payment = Payment()
    outcomes = await asyncio.gather(*(provider.gateway.charge(payment.charge()) for _ in range(8)))
    assert {type(outcome) for outcome in outcomes} <= {Succeeded, Unknown}
    await provider.charged(payment)
    assert provider.report(payment).charges == 1


async def test_a_decline_is_an_answer(provider: Provider) -> None:
    """It has the vendor's code, stays the same when repeated, and moves nothing."""
    payment = Payment(_MAGIC_DECLINE)
    first, second = [await provider.gateway.charge(payment.charge()) for _ in range(2)]
    assert isinstance(first, Declined)
    assert first == second
    assert first.code in {"card_declined", "INSTRUMENT_DECLINED"}
    assert provider.report(payment).charges == 0


async def test_a_payment_is_charged_to_the_method_it_names(provider: Provider) -> None:
    """And to no other, whatever its metadata say."""
    declining = _DECLINING[provider.gateway.name]
    outcome = await provider.gateway.charge(Payment().charge(payment_method=declining))
    assert isinstance(outcome, Declined)
    metadata = {"payment_method": declining}
    outcome = await provider.gateway.charge(Payment().charge(metadata=metadata))
    assert isinstance(outcome, Succeeded)


@pytest.mark.parametrize(
    ("minor", "currency"),
    [(500, "JPY"), (5120, "KWD"), (10000, "HUF"), (5, "ISK"), (1200, "MGA"), (1, "EUR")],
)
async def test_the_amount_survives_the_vendors_own_units(
    provider: Provider, minor: int, currency: str
) -> None:
    """What is charged is what was asked, or nothing is."""
    payment = Payment(Money(minor, currency))
    outcome = await provider.gateway.charge(payment.charge())
    report = provider.report(payment)
    if isinstance(outcome, Succeeded):
        assert (report.charged_minor, report.currency) == (minor, currency)
    else:
        assert isinstance(outcome, Declined)
        assert report.charges == 0


@pytest.mark.parametrize("amount", [Money(5000, "USD"), _HALF])
async def test_an_authorization_is_captured_in_full_or_in_part(
    provider: Provider, amount: Money
) -> None:
    """Once, for the amount captured; which can be refunded, and for a void it is too late."""
    payment = Payment()
    held = await provider.authorized(payment)
    assert provider.report(payment).charges == 0
    captures = [await provider.gateway.capture(payment.capture(held, amount)) for _ in range(2)]
    taken = reference_of(captures[0])
    assert captures[0] == captures[1]
    assert provider.report(payment).charges == 1
    assert provider.report(payment).charged_minor == amount.amount_minor
    too_late = await provider.gateway.void(payment.void(held))
    assert too_late == CapturedElsewhere(taken, amount)
    reference_of(await provider.gateway.refund(payment.refund(taken, amount)))


async def test_a_capture_of_another_amount_than_was_captured_says_how_much_was(
    provider: Provider,
) -> None:
    """Money moved, but not by this call: neither success nor failure, asked or asked after."""
    payment = Payment()
    held = await provider.authorized(payment)
    taken = reference_of(await provider.gateway.capture(payment.capture(held, _HALF)))
    other = replace(payment.capture(held), idempotency_key=f"{payment.id}-again")
    elsewhere = CapturedElsewhere(taken, _HALF)
    assert await provider.gateway.capture(other) == elsewhere
    assert await provider.gateway.inquire(payment.inquiry(Operation.CAPTURE, held)) == elsewhere


async def test_an_authorization_that_the_vendor_let_go_is_over(provider: Provider) -> None:
    """Asked after it is declined, so is its capture, and there is nothing left to void."""
    payment = Payment()
    held = await provider.authorized(payment)
    assert await provider.lapses(payment)
    for answer in (
        await provider.gateway.inquire(payment.inquiry(Operation.AUTHORIZE, held)),
        await provider.gateway.capture(payment.capture(held)),
    ):
        assert isinstance(answer, Declined)
        assert answer.is_released
    assert await provider.gateway.void(payment.void(held)) == Succeeded(held)
    assert provider.report(payment).charges == 0
    assert not await provider.lapses(payment)


async def test_an_authorization_is_voided_once_and_for_all(provider: Provider) -> None:
    """Voiding again, even under another key, is success; capturing is declined."""
    payment = Payment()
    held = await provider.authorized(payment)
    void = payment.void(held)
    assert await provider.gateway.void(void) == Succeeded(held)
    assert await provider.gateway.void(void) == Succeeded(held)
    again = replace(void, idempotency_key=f"{payment.id}-again")
    assert await provider.gateway.void(again) == Succeeded(held)
    assert provider.report(payment).voids == 1
    assert isinstance(await provider.gateway.capture(payment.capture(held)), Declined)
    assert provider.report(payment).charges == 0


async def test_refunds_add_up_to_the_charge_and_no_further(provider: Provider) -> None:
    """Each has one effect under its key; what is beyond the charge is declined."""
    payment = Payment()
    charged = await provider.charged(payment)
    first = payment.refund(charged, _HALF)
    repeated = [await provider.gateway.refund(first) for _ in range(2)]
    assert repeated[0] == repeated[1]
    second = await provider.gateway.refund(payment.refund(charged, _HALF, new_id()))
    assert isinstance(second, Succeeded)
    assert second != repeated[0]
    beyond = await provider.gateway.refund(payment.refund(charged, _HALF, new_id()))
    assert isinstance(beyond, Declined)
    assert provider.report(payment).refunds == 2
    assert provider.report(payment).refunded_minor == 5000


@pytest.mark.parametrize("kind", _AFTER)
async def test_a_charge_whose_answer_was_lost_is_found(provider: Provider, kind: FaultKind) -> None:
    """Unknown first, then what it was: by inquiry, and by the same call under the same key."""
    payment = Payment()
    provider.befall(kind, "charge")
    assert isinstance(await provider.gateway.charge(payment.charge()), Unknown)
    found = await provider.gateway.inquire(payment.inquiry(Operation.CHARGE))
    reference = reference_of(found)
    by_reference = await provider.gateway.inquire(payment.inquiry(Operation.CHARGE, reference))
    assert by_reference == found
    assert provider.report(payment).charges == 1


@pytest.mark.parametrize("kind", _BEFORE)
async def test_a_charge_that_never_happened_is_not_found(
    provider: Provider, kind: FaultKind
) -> None:
    """Unknown first, then nothing there, and the same call under the same key makes it good."""
    payment = Payment()
    provider.befall(kind, "charge")
    assert isinstance(await provider.gateway.charge(payment.charge()), Unknown)
    assert await provider.gateway.inquire(payment.inquiry(Operation.CHARGE)) == NotFound()
    await provider.charged(payment)
    assert provider.report(payment).charges == 1


async def test_an_authorization_whose_answer_was_lost_can_be_captured(provider: Provider) -> None:
    """What the inquiry finds is as good as what the answer would have said."""
    payment = Payment()
    provider.befall(FaultKind.RESET_AFTER, "authorize")
    assert isinstance(await provider.gateway.charge(payment.charge(capture=False)), Unknown)
    held = reference_of(await provider.gateway.inquire(payment.inquiry(Operation.AUTHORIZE)))
    reference_of(await provider.gateway.capture(payment.capture(held)))
    assert provider.report(payment).authorizations == 1


@pytest.mark.parametrize(
    ("kind", "is_done"), [(FaultKind.RESET_AFTER, True), (FaultKind.RESET_BEFORE, False)]
)
@pytest.mark.parametrize("operation", [Operation.CAPTURE, Operation.VOID])
async def test_a_lost_capture_or_void_is_found_on_its_authorization(
    provider: Provider, operation: Operation, kind: FaultKind, *, is_done: bool
) -> None:
    """The authorization tells whether it was captured or voided, or neither."""
    payment = Payment()
    held = await provider.authorized(payment)
    provider.befall(kind, operation)
    if operation is Operation.CAPTURE:
        lost = await provider.gateway.capture(payment.capture(held))
    else:
        lost = await provider.gateway.void(payment.void(held))
    assert isinstance(lost, Unknown)
    found = await provider.gateway.inquire(payment.inquiry(operation, held))
    assert type(found) is (Succeeded if is_done else NotFound)


@pytest.mark.parametrize(
    ("kind", "is_done"), [(FaultKind.RESET_AFTER, True), (FaultKind.RESET_BEFORE, False)]
)
async def test_a_lost_refund_is_found_by_its_id(
    provider: Provider, kind: FaultKind, *, is_done: bool
) -> None:
    """Among other refunds of the same charge and the same amount."""
    payment = Payment()
    charged = await provider.charged(payment)
    await provider.gateway.refund(payment.refund(charged, _HALF, new_id()))
    provider.befall(kind, "refund")
    assert isinstance(await provider.gateway.refund(payment.refund(charged, _HALF)), Unknown)
    inquiry = payment.inquiry(Operation.REFUND, charged, _HALF)
    assert type(await provider.gateway.inquire(inquiry)) is (Succeeded if is_done else NotFound)
    reference_of(await provider.gateway.refund(payment.refund(charged, _HALF)))
    assert provider.report(payment).refunds == 2


async def test_a_limited_rate_is_retriable(provider: Provider) -> None:
    """Nothing happened, and the same key works later."""
    payment = Payment()
    provider.befall(FaultKind.RATE_LIMIT, "charge")
    outcome = await provider.gateway.charge(payment.charge())
    assert isinstance(outcome, Retriable)
    assert outcome.code == "rate_limited"
    await provider.charged(payment)


async def test_an_inquiry_that_cannot_see_says_nothing(provider: Provider) -> None:
    """A payment that exists is never declared absent or declined because a read failed."""
    payment = Payment()
    charged = await provider.charged(payment)
    inquiry = payment.inquiry(Operation.CHARGE, charged)
    for kind in (FaultKind.NOT_FOUND, FaultKind.ERROR_BEFORE, FaultKind.RATE_LIMIT):
        provider.befall(kind, "retrieve")
        assert isinstance(await provider.gateway.inquire(inquiry), Unknown | Retriable)
        assert await provider.gateway.inquire(inquiry) == Succeeded(charged)


async def test_a_key_used_for_another_amount_is_in_doubt(provider: Provider) -> None:
    """The first call under the key may have charged: that is for an inquiry to find out."""
    payment = Payment()
    await provider.charged(payment)
    other = replace(payment.charge(), amount=_HALF)
    assert isinstance(await provider.gateway.charge(other), Unknown)
    assert provider.report(payment).charged_minor == 5000


@pytest.mark.parametrize("provider", ["paypal"], indirect=True)
async def test_a_second_order_for_a_payment_cannot_be_captured(provider: Provider) -> None:
    """Where PayPal has forgotten the key, the invoice still is the payment's: doubt, no charge."""
    payment = Payment()
    await provider.charged(payment)
    provider.befall(FaultKind.IGNORE_KEY, "*", times=None)
    outcome = await provider.gateway.charge(payment.charge())
    assert isinstance(outcome, Unknown)
    assert outcome.code == "DUPLICATE_INVOICE_ID"
    assert provider.report(payment).charges == 1
