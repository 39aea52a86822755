"""What each of Stripe's answers means, one row an answer. Bodies as in docs.stripe.com/api."""

from __future__ import annotations

import json
from functools import partial

import pytest

from payments.money import Money
from payments.outcome import (
    CapturedElsewhere,
    Declined,
    Finding,
    NotFound,
    Operation,
    Outcome,
    Pending,
    Retriable,
    Succeeded,
    Unknown,
)
from providers.gateway import ChargeRequest
from providers.stripe.amounts import StripeAmount, from_stripe, to_stripe
from providers.stripe.answers import captured, confirmed, decided, refunded, refused, voided
from providers.stripe.gateway import CAPABILITIES
from providers.stripe.objects import Intent, Refund, parse
from providers.transport import Answer
from tests.support.providers.requests import new_id

_ASKED = StripeAmount(5000, "usd")


def _error(status: int, **error: object) -> Answer:
    return Answer(status, {}, json.dumps({"error": error}).encode())


_REFUSALS: list[tuple[Answer, Outcome]] = [
    (
        _error(
            402,
            type="card_error",
            code="card_declined",
            decline_code="insufficient_funds",
            message="Your card has insufficient funds.",
            payment_intent={"id": "pi_1", "status": "requires_payment_method"},
        ),
        Declined("card_declined", "Your card has insufficient funds. (insufficient_funds)"),
    ),
    (
        _error(402, type="card_error", code="expired_card", message="Expired."),
        Declined("expired_card", "Expired."),
    ),
    (
        _error(400, type="invalid_request_error", code="amount_too_small", message="Small."),
        Declined("amount_too_small", "Small."),
    ),
    (
        _error(400, type="invalid_request_error", message="Received unknown parameter: x"),
        Declined("invalid_request_error", "Received unknown parameter: x"),
    ),
    (
        _error(400, type="invalid_request_error", code="resource_missing", message="No such pm"),
        Declined("resource_missing", "No such pm"),
    ),
    # An earlier call under the key may have charged, with other parameters.
    (
        _error(400, type="idempotency_error", message="Keys can only be used with ..."),
        Unknown("idempotency_error", "Keys can only be used with ..."),
    ),
    (_error(400, type="api_error", message="Oops"), Unknown("server_error", "api_error: Oops")),
    (_error(400, type="a_new_type", message="?"), Unknown("server_error", "a_new_type: ?")),
    (
        _error(401, type="invalid_request_error", message="Invalid API Key provided: sk_test_x"),
        Retriable("unauthorized", "the provider refused our credentials", is_asked=False),
    ),
    (
        _error(403, type="invalid_request_error", message="no permission"),
        Retriable(
            "forbidden", "the provider does not allow us this call: no permission", is_asked=False
        ),
    ),
    (
        _error(404, type="invalid_request_error", code="resource_missing", message="No such pi"),
        Retriable("resource_missing", "the provider finds no such object"),
    ),
    # The twin that holds the key may yet charge.
    (
        _error(409, type="invalid_request_error", code="idempotency_key_in_use"),
        Unknown("in_progress", "the same request is already being processed"),
    ),
    (
        Answer(429, {"Retry-After": "2"}, b'{"error": {"type": "invalid_request_error"}}'),
        Retriable("rate_limited", "too many requests", 2.0, is_asked=False),
    ),
    (
        Answer(429, {}, b'{"error": {"type": "invalid_request_error", "code": "lock_timeout"}}'),
        Retriable("lock_timeout", ""),
    ),
    (
        Answer(429, {}, b"slow down"),
        Retriable("rate_limited", "too many requests", None, is_asked=False),
    ),
    (_error(500, type="api_error"), Unknown("server_error", "HTTP 500")),
    (_error(502, type="api_error"), Unknown("server_error", "HTTP 502")),
    (Answer(503, {}, b"<html>"), Unknown("server_error", "HTTP 503")),
    (_error(504, type="api_error"), Unknown("server_error", "HTTP 504")),
    (_error(424, type="api_error"), Unknown("server_error", "HTTP 424")),
    (Answer(408, {}, b""), Unknown("server_error", "HTTP 408")),
    (Answer(400, {}, b"<html>"), Unknown("unreadable_answer", "HTTP 400 with an unexpected body")),
    (Answer(402, {}, b"{}"), Unknown("unreadable_answer", "HTTP 402 with an unexpected body")),
    (Answer(302, {}, b""), Unknown("unreadable_answer", "HTTP 302 with an unexpected body")),
    (Answer(204, {}, b""), Unknown("unreadable_answer", "HTTP 204 with an unexpected body")),
    (Answer(101, {}, b""), Unknown("unreadable_answer", "HTTP 101 with an unexpected body")),
]


@pytest.mark.parametrize(("answer", "outcome"), _REFUSALS)
def test_a_refusal_means(answer: Answer, outcome: Outcome) -> None:
    """Every status and error type has one outcome; only a proven lack of effect is not Unknown."""
    assert refused(answer) == outcome


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"id": "pi_1"}',
        b'{"id": "pi_1", "status": "succeeded", "amount": "5000", "currency": "usd"}',
        b"\xff\xfe",
        b"[" * 10_000,
    ],
)
def test_a_success_that_cannot_be_read_is_unknown(body: bytes) -> None:
    """HTTP 200 alone is no success: a proxy says that too."""
    assert isinstance(parse(Intent, Answer(200, {}, body)), Unknown)


def _intent(status: str, **fields: object) -> Intent:
    known = {"id": "pi_1", "status": status, "amount": 5000, "currency": "usd"}
    return Intent.model_validate(known | fields)


_DECLINE = {"type": "card_error", "code": "card_declined", "message": "No."}
_UNEXPECTED = "unexpected_status"
_PAID = {"amount_received": 5000}
_HELD = {"amount_capturable": 5000}
_PROCESSING = Pending("pending", "the payment is processing")


def _canceled(reason: str, code: str = "canceled") -> Declined:
    return Declined(code, reason, is_released=True)


_CONFIRMED: list[tuple[str, Intent, Finding | str, Finding | str]] = [
    # name, intent, as a charge, as an authorization
    ("paid", _intent("succeeded", **_PAID), Succeeded("pi_1"), Succeeded("pi_1")),
    ("held", _intent("requires_capture", **_HELD), _UNEXPECTED, Succeeded("pi_1")),
    ("processing", _intent("processing"), _PROCESSING, _PROCESSING),
    (
        "declined",
        _intent("requires_payment_method", last_payment_error=_DECLINE),
        Declined("card_declined", "No."),
        Declined("card_declined", "No."),
    ),
    # Seen while the confirmation is still under way.
    ("bare", _intent("requires_payment_method"), "in_progress", "in_progress"),
    ("unconfirmed", _intent("requires_confirmation"), "in_progress", "in_progress"),
    (
        "action",
        _intent("requires_action"),
        Declined("authentication_required", "the customer would have to authenticate"),
        Declined("authentication_required", "the customer would have to authenticate"),
    ),
    (
        "canceled",
        _intent("canceled", cancellation_reason="requested_by_customer"),
        _canceled("requested_by_customer"),
        _canceled("requested_by_customer"),
    ),
    (
        "lapsed",
        _intent("canceled", cancellation_reason="automatic"),
        _canceled("automatic", "authorization_expired"),
        _canceled("automatic", "authorization_expired"),
    ),
    ("new status", _intent("under_review"), _UNEXPECTED, _UNEXPECTED),
    ("paid less", _intent("succeeded", amount_received=4000), "amount_mismatch", Succeeded("pi_1")),
    ("held less", _intent("requires_capture", amount_capturable=1), _UNEXPECTED, "amount_mismatch"),
    (
        "paid in another currency",
        _intent("succeeded", currency="eur", **_PAID),
        "amount_mismatch",
        "amount_mismatch",
    ),
    # docs.stripe.com/payments/multicapture
    (
        "paid in part, the rest held",
        _intent("requires_capture", amount_capturable=3000, amount_received=2000),
        _UNEXPECTED,
        Succeeded("pi_1"),
    ),
    (
        "paid in part, the rest released",
        _intent("canceled", amount_received=2000),
        "amount_mismatch",
        Succeeded("pi_1"),
    ),
]


@pytest.mark.parametrize(
    ("intent", "as_charge", "as_authorization"),
    [row[1:] for row in _CONFIRMED],
    ids=[row[0] for row in _CONFIRMED],
)
def test_a_confirmed_intent_means(
    intent: Intent, as_charge: Finding | str, as_authorization: Finding | str
) -> None:
    """Each status of a PaymentIntent, read as a charge and as an authorization."""
    _expect(confirmed(Operation.CHARGE, _ASKED, intent), as_charge)
    _expect(confirmed(Operation.AUTHORIZE, _ASKED, intent), as_authorization)


def _elsewhere(amount_minor: int, *, is_held: bool = False) -> CapturedElsewhere:
    return CapturedElsewhere("pi_1", Money(amount_minor, "USD"), is_held=is_held)


_HANDLED: list[tuple[str, Intent, Finding | str, Finding | str]] = [
    # name, intent, as a capture, as a void
    ("paid", _intent("succeeded", **_PAID), Succeeded("pi_1"), _elsewhere(5000)),
    ("held", _intent("requires_capture", **_HELD), NotFound(), NotFound()),
    (
        "processing",
        _intent("processing"),
        Pending("pending", "the capture is processing"),
        _PROCESSING,
    ),
    ("canceled", _intent("canceled"), _canceled("canceled"), Succeeded("pi_1")),
    (
        "lapsed",
        _intent("canceled", cancellation_reason="expired"),
        _canceled("expired", "authorization_expired"),
        Succeeded("pi_1"),
    ),
    ("declined", _intent("requires_payment_method"), _UNEXPECTED, NotFound()),
    ("new status", _intent("under_review"), _UNEXPECTED, _UNEXPECTED),
    ("paid less", _intent("succeeded", amount_received=1), _elsewhere(1), _elsewhere(1)),
    ("paid nothing", _intent("succeeded"), _UNEXPECTED, _UNEXPECTED),
    (
        "paid in another currency",
        _intent("succeeded", currency="jpy", **_PAID),
        "amount_mismatch",
        CapturedElsewhere("pi_1", Money(5000, "JPY")),
    ),
    (
        "paid in no currency of ours",
        _intent("succeeded", currency="usdc", **_PAID),
        "amount_mismatch",
        "amount_mismatch",
    ),
    # docs.stripe.com/payments/multicapture
    (
        "paid in part, the rest held",
        _intent("requires_capture", amount_capturable=3000, amount_received=2000),
        _elsewhere(2000, is_held=True),
        _elsewhere(2000, is_held=True),
    ),
    (
        "paid in part, the rest released",
        _intent("canceled", amount_received=2000),
        _elsewhere(2000),
        _elsewhere(2000),
    ),
]


@pytest.mark.parametrize(
    ("intent", "as_capture", "as_void"),
    [row[1:] for row in _HANDLED],
    ids=[row[0] for row in _HANDLED],
)
def test_an_authorized_intent_means(
    intent: Intent, as_capture: Finding | str, as_void: Finding | str
) -> None:
    """Each status of a PaymentIntent, asked after as a capture and as a void."""
    _expect(captured(_ASKED, intent), as_capture)
    _expect(voided(intent), as_void)


@pytest.mark.parametrize(
    ("status", "amount", "finding"),
    [
        ("succeeded", 5000, Succeeded("re_1")),
        ("succeeded", 4999, "amount_mismatch"),
        ("pending", 5000, Pending("pending", "the refund is pending")),
        ("requires_action", 5000, Pending("pending", "the refund is requires_action")),
        ("failed", 5000, Declined("lost_or_stolen_card", "the refund failed")),
        ("canceled", 5000, Declined("refund_canceled", "the refund was canceled")),
        (None, 5000, _UNEXPECTED),
    ],
)
def test_a_refund_means(status: str | None, amount: int, finding: Finding | str) -> None:
    """A refund that is on its way is not a refund yet."""
    reason = "lost_or_stolen_card" if status == "failed" else None
    refund = Refund(id="re_1", status=status, amount=amount, currency="usd", failure_reason=reason)
    _expect(refunded(_ASKED, refund), finding)


_DECLINED = _intent("requires_payment_method", id="pi_a", last_payment_error=_DECLINE, created=1)
_PAID_LATE = _intent("succeeded", id="pi_b", created=3, **_PAID)
_PAID_EARLY = _intent("succeeded", id="pi_c", created=2, **_PAID)
_HELD_FIRST = _intent("requires_capture", id="pi_d", created=0, **_HELD)
_LEFT = _intent("canceled", id="pi_e", created=0)


@pytest.mark.parametrize(
    ("intents", "finding"),
    [
        ([_DECLINED, _PAID_LATE], Succeeded("pi_b")),
        ([_PAID_LATE, _PAID_EARLY], Succeeded("pi_c", ("pi_b",))),
        ([_HELD_FIRST, _PAID_LATE, _LEFT], Succeeded("pi_b", ("pi_d",))),
        ([_intent("processing", id="pi_f"), _PAID_LATE], Succeeded("pi_b", ("pi_f",))),
        # What was asked for before what was not, however old.
        (
            [_intent("succeeded", id="pi_g", amount_received=1), _PAID_LATE],
            Succeeded("pi_b", ("pi_g",)),
        ),
        ([_intent("succeeded", id="pi_g", amount_received=1), _DECLINED], "amount_mismatch"),
        ([_LEFT, _intent("processing", id="pi_f", created=9)], _PROCESSING),
        ([_LEFT, _intent("requires_confirmation", created=9)], "in_progress"),
        ([_DECLINED, _intent("requires_payment_method", created=9)], "in_progress"),
    ],
)
def test_of_several_intents_money_decides(intents: list[Intent], finding: Finding | str) -> None:
    """The one that moved it is what became of the payment; no other that has any is forgotten."""
    judge = partial(confirmed, Operation.CHARGE, _ASKED)
    _expect(decided(intents, judge), finding)
    _expect(decided(intents[::-1], judge), finding)


def test_of_several_intents_a_void_is_asked_of_what_is_held() -> None:
    """That another was canceled releases nothing."""
    assert decided([_LEFT, _HELD_FIRST], voided) == NotFound()
    assert decided([_LEFT, _PAID_LATE], voided) == CapturedElsewhere("pi_b", Money(5000, "USD"))


def test_of_several_refunds_under_one_id_each_that_gave_money_back_is_named() -> None:
    """One that failed gave nothing; one on its way is going to."""
    made = [
        Refund(id=f"re_{created}", status=status, amount=5000, currency="usd", created=created)
        for created, status in enumerate(["failed", "pending", "succeeded", "succeeded"])
    ]
    found = decided(made, partial(refunded, _ASKED))
    assert found == Succeeded("re_2", ("re_3", "re_1"))


@pytest.mark.parametrize(
    ("minor", "currency", "value"),
    [
        (1050, "USD", 1050),
        (500, "JPY", 500),
        (5, "ISK", 500),
        (5, "UGX", 500),
        (1200, "MGA", 12),
        (1250, "MGA", None),
        (5120, "KWD", 5120),
        (5124, "KWD", None),
        (20_050, "HUF", 20_050),
        (500, "XAF", 500),
    ],
)
def test_amounts_are_exact_or_refused(minor: int, currency: str, value: int | None) -> None:
    """Stripe's minor units differ from ISO 4217's for a few currencies; nothing is rounded."""
    money = Money(minor, currency)
    charge = ChargeRequest(payment_id=new_id(), idempotency_key="key", amount=money)
    if value is None:
        assert isinstance(CAPABILITIES.refusal(charge), Declined)
    else:
        assert CAPABILITIES.refusal(charge) is None
        assert to_stripe(money) == StripeAmount(value, currency.lower())
        assert from_stripe(to_stripe(money)) == money


@pytest.mark.parametrize(
    ("value", "currency"), [(0, "usd"), (-1, "usd"), (550, "isk"), (1, "usdc"), (10**16, "usd")]
)
def test_an_amount_that_no_payment_can_be_of_is_not_believed(value: int, currency: str) -> None:
    """Whatever Stripe answers, half a unit of a currency without any is not rounded."""
    assert from_stripe(StripeAmount(value, currency)) is None


def _expect(found: Finding, expected: Finding | str) -> None:
    """Equal, or an Unknown of that code."""
    if isinstance(expected, str):
        assert isinstance(found, Unknown)
        assert found.code == expected
    else:
        assert found == expected
