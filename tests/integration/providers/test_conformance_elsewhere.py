"""One suite over every provider, of what is done there without us: dashboards, banks, time.

Each gateway tells of it when it is asked for the next thing, asked after the last, or looks.
"""

from __future__ import annotations

import pytest

from payments.money import Money
from payments.outcome import (
    CapturedElsewhere,
    Declined,
    NotFound,
    Operation,
    Outcome,
    Pending,
    Succeeded,
)
from payments.standing import DisputeState, FoundCapture, FoundRefund, FoundState, Standing
from providers.gateway import StandingQuery
from simulator.dashboard import (
    Capture,
    CloseDispute,
    FailRefund,
    GiveBack,
    OpenDispute,
    Settle,
    SettleRefund,
    Void,
)
from simulator.faults import FaultKind
from tests.support.providers.fixtures import Provider, reference_of
from tests.support.providers.requests import Payment, new_id

# Those whose dashboard the simulator has.
pytestmark = pytest.mark.parametrize("provider", ["stripe"], indirect=True)

_ALL = Money(5000, "USD")
_HALF = Money(2500, "USD")


async def standing_of(provider: Provider, payment: Payment) -> Standing:
    found = await provider.gateway.look(StandingQuery(payment_id=payment.id))
    assert isinstance(found, Standing)
    assert found.payment_id == payment.id
    return found


@pytest.mark.parametrize("amount", [_ALL, _HALF])
async def test_what_was_captured_there_can_neither_be_voided_nor_captured(
    provider: Provider, amount: Money
) -> None:
    """Who asks learns how much was taken, and by what name it can be given back."""
    payment = Payment()
    held = await provider.authorized(payment)
    assert (await standing_of(provider, payment)).is_held
    assert await provider.acts(Capture(amount=amount.amount_minor), payment.id)
    voided = await provider.gateway.void(payment.void(held))
    assert isinstance(voided, CapturedElsewhere)
    assert voided.amount == amount
    captured = await provider.gateway.capture(payment.capture(held))
    # All of it may have been taken by this very capture.
    assert captured == (Succeeded(voided.reference) if amount == _ALL else voided)
    standing = await standing_of(provider, payment)
    assert standing.captures == (FoundCapture(voided.reference, amount),)
    reference_of(await provider.gateway.refund(payment.refund(voided.reference, amount)))


async def test_what_was_let_go_there_is_over(provider: Provider) -> None:
    """Nothing is held any more, and why is said."""
    payment = Payment()
    held = await provider.authorized(payment)
    assert await provider.acts(Void(), payment.id)
    captured = await provider.gateway.capture(payment.capture(held))
    assert isinstance(captured, Declined)
    assert captured.is_released
    assert await provider.gateway.void(payment.void(held)) == Succeeded(held)
    standing = await standing_of(provider, payment)
    assert not standing.is_held
    assert standing.why_released
    assert not standing.captures
    assert not standing.refunds


async def test_refunds_made_there_are_told_from_ours(provider: Provider) -> None:
    """Each with its amount; only ours has an id of ours."""
    payment = Payment()
    charged = await provider.charged(payment)
    ours = reference_of(await provider.gateway.refund(payment.refund(charged, _HALF)))
    assert await provider.acts(GiveBack(amount=1000), payment.id)
    first, second = (await standing_of(provider, payment)).refunds
    assert first == FoundRefund(ours, _HALF, FoundState.SUCCEEDED, payment.refund_id, first.reason)
    assert (second.amount, second.state) == (Money(1000, "USD"), FoundState.SUCCEEDED)
    assert second.refund_id is None
    # There is not as much left as we believe.
    refund = payment.refund(charged, _HALF, new_id())
    assert isinstance(await provider.gateway.refund(refund), Declined)


async def test_a_refund_that_came_back_has_failed(provider: Provider) -> None:
    """Days after it had succeeded; then it can be given back again."""
    payment = Payment()
    charged = await provider.charged(payment)
    refund = payment.refund(charged)
    reference = reference_of(await provider.gateway.refund(refund))
    assert await provider.acts(FailRefund(), reference)
    asked = payment.inquiry(Operation.REFUND, charged)
    assert isinstance(await provider.gateway.inquire(asked), Declined)
    (found,) = (await standing_of(provider, payment)).refunds
    assert (found.reference, found.state) == (reference, FoundState.FAILED)
    reference_of(await provider.gateway.refund(payment.refund(charged, refund_id=new_id())))


@pytest.mark.parametrize(
    ("outcome", "state", "is_withdrawn"),
    [("won", DisputeState.WON, False), ("lost", DisputeState.LOST, True)],
)
async def test_a_dispute_is_open_until_it_is_decided(
    provider: Provider, outcome: str, state: DisputeState, *, is_withdrawn: bool
) -> None:
    """Lost, its amount is gone; won, it is there."""
    payment = Payment()
    await provider.charged(payment)
    assert await provider.acts(OpenDispute(amount=2500), payment.id)
    (opened,) = (await standing_of(provider, payment)).disputes
    assert (opened.amount, opened.state) == (_HALF, DisputeState.OPEN)
    assert await provider.acts(CloseDispute.model_validate({"outcome": outcome}), payment.id)
    (closed,) = (await standing_of(provider, payment)).disputes
    assert (closed.reference, closed.state) == (opened.reference, state)
    assert closed.is_withdrawn is is_withdrawn


@pytest.mark.parametrize(("outcome", "ended"), [("succeeded", Succeeded), ("failed", Declined)])
async def test_a_charge_that_is_pending_there_is_neither_taken_nor_failed(
    provider: Provider, outcome: str, ended: type[Outcome]
) -> None:
    """However long it takes; in the end it is the one or the other."""
    payment = Payment()
    provider.befall(FaultKind.PEND, "charge")
    assert isinstance(await provider.gateway.charge(payment.charge()), Pending)
    asked = payment.inquiry(Operation.CHARGE)
    assert isinstance(await provider.gateway.inquire(asked), Pending)
    standing = await standing_of(provider, payment)
    assert standing.is_pending
    assert not standing.captures
    assert await provider.acts(Settle.model_validate({"outcome": outcome}), payment.id)
    assert type(await provider.gateway.inquire(asked)) is ended


async def test_a_refund_that_is_pending_there_is_neither_given_back_nor_failed(
    provider: Provider,
) -> None:
    """Until it has arrived."""
    payment = Payment()
    charged = await provider.charged(payment)
    provider.befall(FaultKind.PEND, "refund")
    assert isinstance(await provider.gateway.refund(payment.refund(charged)), Pending)
    (found,) = (await standing_of(provider, payment)).refunds
    assert found.state is FoundState.PENDING
    assert await provider.acts(SettleRefund(), found.reference)
    asked = payment.inquiry(Operation.REFUND, charged)
    assert await provider.gateway.inquire(asked) == Succeeded(found.reference)


async def test_a_look_tells_whose_it_is(provider: Provider) -> None:
    """By the name that a notification gives; what nobody made is not there."""
    payment = Payment()
    charged = await provider.charged(payment)
    found = await provider.gateway.look(StandingQuery(provider_reference=charged))
    assert found == await standing_of(provider, payment)
    nothing = StandingQuery(payment_id=new_id())
    assert await provider.gateway.look(nothing) == NotFound()
