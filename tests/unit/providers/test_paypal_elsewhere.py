"""What PayPal's orders say of money that somebody else took, or took twice."""

from __future__ import annotations

import pytest

from payments.money import Money
from payments.outcome import CapturedElsewhere, Declined, Finding, NotFound, Succeeded
from payments.record import replace
from providers.paypal.answers import authorized, captured, refunded, voided
from providers.paypal.objects import Order
from tests.support.providers.paypal import (
    ASKED,
    AUTHORIZATION,
    UNEXPECTED,
    VOIDED,
    WAITING,
    expect,
    movement,
    order_of,
)


def _usd(value: str) -> dict[str, object]:
    return {"amount": {"currency_code": "USD", "value": value}}


def _held(status: str, *captures: dict[str, object]) -> Order:
    """An authorization of 50.00, and what was captured of it."""
    return order_of(authorizations=[movement(status, "A1")], captures=list(captures))


_TWENTY = movement("COMPLETED", "C1") | _usd("20.00")
_THIRTY = movement("COMPLETED", "C2") | _usd("30.00")
_USD_20, _USD_30 = Money(2000, "USD"), Money(3000, "USD")

# What was captured of an authorization of 50.00 of which 50.00 was asked for: as that capture, and
# as a void.
_ELSEWHERE: list[tuple[Order, Finding | str]] = [
    (
        _held("PARTIALLY_CAPTURED", _TWENTY),
        CapturedElsewhere("O1/capture/C1", _USD_20, is_held=True),
    ),
    (
        _held("PARTIALLY_CAPTURED", _TWENTY | {"final_capture": False}),
        CapturedElsewhere("O1/capture/C1", _USD_20, is_held=True),
    ),
    # The final one lets go of the rest, whatever the authorization's status says.
    (
        _held("PARTIALLY_CAPTURED", _TWENTY | {"final_capture": True}),
        CapturedElsewhere("O1/capture/C1", _USD_20),
    ),
    (_held("VOIDED", _TWENTY), CapturedElsewhere("O1/capture/C1", _USD_20)),
    (_held("EXPIRED", _TWENTY), CapturedElsewhere("O1/capture/C1", _USD_20)),
    (_held("CAPTURED", _TWENTY, _THIRTY), CapturedElsewhere("O1/capture/C1", ASKED)),
    # Refunded since, but taken.
    (
        _held("CAPTURED", _TWENTY | {"status": "REFUNDED"}, _THIRTY),
        CapturedElsewhere("O1/capture/C1", ASKED),
    ),
    (
        _held("PARTIALLY_CAPTURED", _TWENTY, movement("DECLINED", "C2")),
        CapturedElsewhere("O1/capture/C1", _USD_20, is_held=True),
    ),
    # What is under way may be the rest, so nothing can be said of the sum.
    (
        _held("PARTIALLY_CAPTURED", _TWENTY, _THIRTY | {"status": "PENDING"}),
        WAITING,
    ),
    (
        _held("VOIDED", _THIRTY | {"status": "PENDING"}),
        WAITING,
    ),
    (_held("VOIDED", _THIRTY | {"status": "SETTLING"}), UNEXPECTED),
    (
        _held(
            "CAPTURED", _TWENTY, _THIRTY | {"amount": {"currency_code": "EUR", "value": "30.00"}}
        ),
        "amount_mismatch",
    ),
    (_held("CAPTURED", {"id": "C1", "status": "COMPLETED"}), "amount_mismatch"),
]


@pytest.mark.parametrize(("order", "finding"), _ELSEWHERE)
def test_what_somebody_else_captured_is_told_whatever_is_asked(
    order: Order, finding: Finding | str
) -> None:
    """With all that was taken, and never as if the authorization had been let go whole."""
    expect(captured(ASKED, order), finding)
    expect(voided(AUTHORIZATION, order), finding)
    if isinstance(finding, CapturedElsewhere):
        # Whatever the order shows yet, PayPal has said that it let go of the rest.
        finding = replace(finding, is_held=False)
    expect(voided(AUTHORIZATION, order, is_over=True), finding)


@pytest.mark.parametrize("order", [order for order, _ in _ELSEWHERE])
def test_an_authorization_of_which_was_taken_took_effect(order: Order) -> None:
    """Whatever became of the rest of it, it is never said to have been refused or let go."""
    assert authorized(ASKED, order) == Succeeded(str(AUTHORIZATION))


def test_of_several_captures_the_one_asked_for_is_ours_and_the_others_are_named() -> None:
    """They all carry our id: an authorization passes it on to whoever captures it."""
    order = _held("CAPTURED", _TWENTY, _THIRTY)
    assert captured(_USD_30, order) == Succeeded("O1/capture/C2", ("O1/capture/C1",))
    twice = order_of(captures=[movement("COMPLETED", "C1"), movement("REFUNDED", "C2")])
    assert captured(ASKED, twice) == Succeeded("O1/capture/C1", ("O1/capture/C2",))


def test_a_refusal_of_another_amount_says_nothing_of_this_one() -> None:
    """A client may ask for less when all was refused: that request may be under way yet."""
    order = _held("CREATED", movement("DECLINED", "C1"))
    assert captured(ASKED, order) == Declined("DECLINED", "PayPal answers DECLINED")
    assert captured(_USD_30, order) == NotFound()
    assert captured(_USD_30, _held("VOIDED", movement("DECLINED", "C1"))) == VOIDED


@pytest.mark.parametrize(
    ("status", "as_capture", "as_other_capture", "as_void"),
    [
        (
            "CREATED",
            Declined("DECLINED", "PayPal answers DECLINED"),
            NotFound(),
            NotFound(),
        ),
        (
            "PARTIALLY_CAPTURED",
            Declined("DECLINED", "PayPal answers DECLINED"),
            NotFound(),
            NotFound(),
        ),
        # All of it was to be taken, and nothing is left to be.
        (
            "CAPTURED",
            Declined("DECLINED", "PayPal answers DECLINED", is_released=True),
            Declined("DECLINED", "PayPal answers DECLINED", is_released=True),
            Succeeded("O1/authorization/A1"),
        ),
        (
            "VOIDED",
            Declined("DECLINED", "PayPal answers DECLINED", is_released=True),
            VOIDED,
            Succeeded("O1/authorization/A1"),
        ),
    ],
)
def test_a_capture_that_was_refused_in_the_end_took_nothing(
    status: str, as_capture: Finding, as_other_capture: Finding, as_void: Finding
) -> None:
    """It may have been pending for days; whether anything is held yet, the authorization says."""
    order = _held(status, movement("DECLINED", "C1"))
    assert captured(ASKED, order) == as_capture
    assert captured(_USD_30, order) == as_other_capture
    assert voided(AUTHORIZATION, order) == as_void
    assert voided(AUTHORIZATION, order, is_over=True) == Succeeded("O1/authorization/A1")


def test_what_paypal_calls_over_is_let_go_although_the_order_lags() -> None:
    """An order may be read from before the void; what was captured before that, it shows."""
    order = _held("CREATED")
    assert voided(AUTHORIZATION, order) == NotFound()
    assert voided(AUTHORIZATION, order, is_over=True) == Succeeded("O1/authorization/A1")


def test_a_refund_that_was_made_twice_names_both() -> None:
    """The second is found beside the first, whatever became of further tries."""
    first, second = (movement("COMPLETED", each, custom_id="ours") for each in ("R1", "R2"))
    failed = movement("FAILED", "R3", custom_id="ours")
    order = order_of(refunds=[failed, first, second, failed])
    assert refunded(ASKED, "ours", order) == Succeeded("R1", ("R2",))
    expect(refunded(Money(1, "USD"), "ours", order), "amount_mismatch")
    waiting = order_of(refunds=[movement("PENDING", "R1", custom_id="ours"), failed])
    assert refunded(ASKED, "ours", waiting) == WAITING
