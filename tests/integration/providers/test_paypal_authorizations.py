"""What becomes of a PayPal authorization that its merchant's dashboard, or time, has changed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from payments.money import Money
from payments.outcome import CapturedElsewhere, Declined, Pending, Succeeded, Unknown
from payments.record import replace
from tests.support.providers import wire
from tests.support.providers.paypal import CAPTURE, CREATED, USD, paypal_at, refusal, token
from tests.support.providers.requests import Payment


def authorization(status: str, *captures: Mapping[str, object]) -> wire.Behaviour:
    """The order of an authorization of 50.00, and what was captured of it."""
    held = {"id": "A1", "status": status, "amount": USD}
    unit = {"payments": {"authorizations": [held], "captures": captures}}
    return wire.reply(200, CREATED | {"status": "COMPLETED", "purchase_units": [unit]})


_HELD = "O1/authorization/A1"
_PART = CAPTURE | {"amount": {"currency_code": "USD", "value": "20.00"}}
_PART_TAKEN = CapturedElsewhere("O1/capture/C1", Money(2000, "USD"))
_VOID_ANSWERS = [
    wire.reply(204, b""),
    wire.reply(200, {"id": "A1", "status": "VOIDED"}),
    refusal(422, "PREVIOUSLY_VOIDED"),
    refusal(422, "AUTHORIZATION_EXPIRED"),
]


@pytest.mark.parametrize("answer", _VOID_ANSWERS)
async def test_an_authorization_is_let_go_once_its_order_shows_that_nothing_was_taken(
    answer: wire.Behaviour,
) -> None:
    """PayPal voids what is left of one captured in part, with the very same answer."""
    void = Payment().void(_HELD)
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(token=token(), void=answer, O1=authorization("VOIDED"))
        assert await paypal.void(void) == Succeeded(_HELD)
        server.route(void=answer, O1=authorization("VOIDED", _PART))
        assert await paypal.void(void) == _PART_TAKEN
        for unreadable in (
            wire.close,
            wire.reply(404, {}),
            wire.reply(429, {}),
            refusal(422, "NO"),
        ):
            server.route(void=answer, O1=unreadable)
            assert isinstance(await paypal.void(void), Unknown)


async def test_a_void_that_comes_too_late_tells_what_was_taken() -> None:
    """All of it, or a part whose rest PayPal would not let go."""
    void = Payment().void(_HELD)
    refused = refusal(422, "PREVIOUSLY_CAPTURED")
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(token=token(), void=refused, O1=authorization("CAPTURED", CAPTURE))
        assert await paypal.void(void) == replace(_PART_TAKEN, amount=Money(5000, "USD"))
        server.route(void=refused, O1=authorization("PARTIALLY_CAPTURED", _PART))
        assert await paypal.void(void) == replace(_PART_TAKEN, is_held=True)


async def test_the_rest_of_what_was_captured_in_part_is_let_go_by_the_name_of_its_capture() -> None:
    """It is the name that a completed payment has, whoever captured it."""
    void = Payment().void("O1/capture/C1")
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(
            token=token(), void=wire.reply(204, b""), O1=authorization("PARTIALLY_CAPTURED", _PART)
        )
        assert await paypal.void(void) == _PART_TAKEN
        voids = [each.target for each in server.seen if each.target.endswith("/void")]
        assert voids == ["/v2/payments/authorizations/A1/void"]


@pytest.mark.parametrize(
    "issue",
    [
        "AUTHORIZATION_ALREADY_CAPTURED",
        "AUTHORIZATION_EXPIRED",
        "AUTHORIZATION_VOIDED",
        "MAX_CAPTURE_AMOUNT_EXCEEDED",
        "MAX_CAPTURE_COUNT_EXCEEDED",
    ],
)
async def test_a_capture_that_somebody_else_was_before_tells_what_was_taken(issue: str) -> None:
    """Whatever PayPal refuses it for."""
    capture = Payment().capture(_HELD)
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(
            token=token(),
            capture=refusal(422, issue),
            O1=authorization("PARTIALLY_CAPTURED", _PART),
        )
        assert await paypal.capture(capture) == replace(_PART_TAKEN, is_held=True)
        server.route(capture=refusal(422, issue), O1=wire.reply(500, {}))
        assert isinstance(await paypal.capture(capture), Unknown)


@pytest.mark.parametrize(
    ("issue", "status", "code"),
    [
        ("AUTHORIZATION_EXPIRED", "EXPIRED", "authorization_expired"),
        ("AUTHORIZATION_VOIDED", "VOIDED", "AUTHORIZATION_VOIDED"),
        ("AUTHORIZATION_EXPIRED", "CREATED", "authorization_expired"),
        ("AUTHORIZATION_VOIDED", "CREATED", "AUTHORIZATION_VOIDED"),
    ],
)
async def test_a_capture_of_what_was_let_go_is_over_for_good(
    issue: str, status: str, code: str
) -> None:
    """Nothing was taken or is held any more, even where the order does not show it yet."""
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(token=token(), capture=refusal(422, issue), O1=authorization(status))
        outcome = await paypal.capture(Payment().capture(_HELD))
    assert isinstance(outcome, Declined)
    assert (outcome.code, outcome.is_released) == (code, True)


async def test_what_paypal_has_not_decided_is_waited_for() -> None:
    """A cheque that clears, a review, a bank: days, with PayPal's own reason."""
    payment = Payment()
    pending = {"status": "PENDING", "status_details": {"reason": "ECHECK"}, "amount": USD}
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(
            token=token(),
            capture=wire.reply(201, {"id": "C1", **pending}),
            refund=wire.reply(201, {"id": "R1", **pending}),
        )
        for outcome in (
            await paypal.capture(payment.capture(_HELD)),
            await paypal.refund(payment.refund("O1/capture/C1")),
        ):
            assert outcome == Pending("pending", "pending: ECHECK")
