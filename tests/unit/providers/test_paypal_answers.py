"""What each of PayPal's answers means, one row an answer. Bodies as in docs/api/orders/v2."""

from __future__ import annotations

import json

import pytest

from payments.money import Money
from payments.outcome import (
    Declined,
    Finding,
    NotFound,
    Outcome,
    Pending,
    Retriable,
    Succeeded,
    Unknown,
)
from providers.paypal.answers import authorized, captured, refunded, refused, voided
from providers.paypal.objects import Kind, Order, Reference, parse, to_paypal
from providers.transport import Answer
from tests.support.providers.paypal import (
    ASKED,
    AUTHORIZATION,
    EXPIRED,
    UNEXPECTED,
    USD,
    VOIDED,
    WAITING,
    expect,
    movement,
    order_of,
)


def _error(status: int, name: str, issue: str | None = None, said: str | None = None) -> Answer:
    details = [{"issue": issue, "description": said}] if issue else []
    body = {"name": name, "message": "Reported so.", "details": details, "debug_id": "d1"}
    return Answer(status, {}, json.dumps(body).encode())


def _unprocessable(issue: str) -> Answer:
    return _error(422, "UNPROCESSABLE_ENTITY", issue, "Why.")


_REFUSALS: list[tuple[Answer, Outcome]] = [
    (
        _unprocessable("AUTHORIZATION_VOIDED"),
        Declined("AUTHORIZATION_VOIDED", "the authorization was voided", is_released=True),
    ),
    (
        _unprocessable("AUTHORIZATION_EXPIRED"),
        Declined(
            "authorization_expired", "the authorization was not captured in time", is_released=True
        ),
    ),
    (_unprocessable("INSTRUMENT_DECLINED"), Declined("INSTRUMENT_DECLINED", "Why.")),
    (_unprocessable("PAYER_CANNOT_PAY"), Declined("PAYER_CANNOT_PAY", "Why.")),
    (_unprocessable("TRANSACTION_REFUSED"), Declined("TRANSACTION_REFUSED", "Why.")),
    (_unprocessable("ORDER_NOT_APPROVED"), Declined("ORDER_NOT_APPROVED", "Why.")),
    (_unprocessable("REFUND_AMOUNT_EXCEEDED"), Declined("REFUND_AMOUNT_EXCEEDED", "Why.")),
    (
        _error(400, "INVALID_REQUEST", "INVALID_PARAMETER_SYNTAX", "Bad."),
        Declined("INVALID_PARAMETER_SYNTAX", "Bad."),
    ),
    (_error(400, "INVALID_REQUEST"), Declined("INVALID_REQUEST", "Reported so.")),
    (_error(415, "UNSUPPORTED_MEDIA_TYPE"), Declined("UNSUPPORTED_MEDIA_TYPE", "Reported so.")),
    # An earlier request of ours may have moved the money.
    (_unprocessable("DUPLICATE_INVOICE_ID"), Unknown("DUPLICATE_INVOICE_ID", "Why.")),
    (_unprocessable("DUPLICATE_REQUEST_ID"), Unknown("DUPLICATE_REQUEST_ID", "Why.")),
    (
        _unprocessable("PREVIOUS_REQUEST_IN_PROGRESS"),
        Unknown("PREVIOUS_REQUEST_IN_PROGRESS", "Why."),
    ),
    (
        _error(409, "RESOURCE_CONFLICT", "PREVIOUS_REQUEST_IN_PROGRESS"),
        Unknown("in_progress", "the same request is already being processed"),
    ),
    (
        _error(401, "AUTHENTICATION_FAILURE"),
        Retriable("unauthorized", "the provider refused our credentials", is_asked=False),
    ),
    (
        _error(403, "NOT_AUTHORIZED", "PERMISSION_DENIED"),
        Retriable("forbidden", "the provider does not allow us this call", is_asked=False),
    ),
    (
        _error(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID"),
        Retriable("resource_missing", "the provider finds no such object"),
    ),
    (
        _error(429, "RATE_LIMIT_REACHED"),
        Retriable("rate_limited", "too many requests", None, is_asked=False),
    ),
    (_error(500, "INTERNAL_SERVER_ERROR"), Unknown("server_error", "HTTP 500")),
    (_error(503, "SERVICE_UNAVAILABLE"), Unknown("server_error", "HTTP 503")),
    (_error(422, "INTERNAL_SERVER_ERROR"), Unknown("server_error", "Reported so.")),
    (Answer(400, {}, b"<html>"), Unknown("unreadable_answer", "HTTP 400 with an unexpected body")),
    (Answer(202, {}, b""), Unknown("unreadable_answer", "HTTP 202 with an unexpected body")),
]


@pytest.mark.parametrize(("answer", "outcome"), _REFUSALS)
def test_a_refusal_means(answer: Answer, outcome: Outcome) -> None:
    """Every status and issue has one outcome; only a proven lack of effect is not Unknown."""
    assert refused(answer) == outcome


@pytest.mark.parametrize("body", [b"", b"[]", b'{"id": 1, "status": "CREATED"}', b"\xff"])
def test_a_success_that_cannot_be_read_is_unknown(body: bytes) -> None:
    """HTTP 201 alone is no success: a proxy says that too."""
    assert isinstance(parse(Order, Answer(201, {}, body)), Unknown)


_HELD = [movement("CREATED", "A1")]

_CAPTURED: list[tuple[Order, Finding | str]] = [
    (order_of(captures=[movement("COMPLETED")]), Succeeded("O1/capture/X1")),
    (order_of(captures=[movement("PARTIALLY_REFUNDED")]), Succeeded("O1/capture/X1")),
    (order_of(captures=[movement("REFUNDED")]), Succeeded("O1/capture/X1")),
    (order_of(captures=[movement("PENDING")]), WAITING),
    (
        order_of(captures=[movement("PENDING", status_details={"reason": "ECHECK"})]),
        Pending("pending", "pending: ECHECK"),
    ),
    # Its money was there once: what became of it since is another question.
    (
        order_of(captures=[movement("PENDING", status_details={"reason": "BUYER_COMPLAINT"})]),
        Succeeded("O1/capture/X1"),
    ),
    (
        order_of(captures=[movement("DENIED", status_details={"reason": "CHARGEBACK"})]),
        Succeeded("O1/capture/X1"),
    ),
    (order_of(captures=[movement("DECLINED")]), Declined("DECLINED", "PayPal answers DECLINED")),
    (
        order_of(captures=[movement("DECLINED", processor_response={"response_code": "5120"})]),
        Declined("5120", "PayPal answers DECLINED"),
    ),
    (
        order_of(captures=[movement("FAILED", status_details={"reason": "OTHER"})]),
        Declined("OTHER", "PayPal answers FAILED"),
    ),
    (
        order_of(captures=[movement("COMPLETED", "C1"), movement("DECLINED", "C2")]),
        Succeeded("O1/capture/C1"),
    ),
    (order_of(captures=[movement("SETTLING")]), UNEXPECTED),
    (order_of(captures=[{"id": "X1", "status": "COMPLETED"}]), "amount_mismatch"),
    (
        order_of(captures=[movement("COMPLETED") | {"amount": USD | {"value": "49.99"}}]),
        "amount_mismatch",
    ),
    (
        order_of(captures=[movement("COMPLETED") | {"amount": USD | {"value": "a lot"}}]),
        "amount_mismatch",
    ),
    (
        order_of(captures=[movement("COMPLETED") | {"amount": USD | {"currency_code": "EUR"}}]),
        "amount_mismatch",
    ),
    (order_of(authorizations=_HELD), NotFound()),
    (order_of(authorizations=[movement("CAPTURED", "A1")]), UNEXPECTED),
    (
        order_of(authorizations=[movement("DENIED", "A1")]),
        Declined("DENIED", "PayPal answers DENIED"),
    ),
    (order_of(authorizations=[movement("VOIDED", "A1")]), VOIDED),
    (order_of(authorizations=[movement("EXPIRED", "A1")]), EXPIRED),
    (order_of("CREATED"), NotFound()),
    (order_of("APPROVED"), NotFound()),
    (order_of("SAVED"), NotFound()),
    (
        order_of("PAYER_ACTION_REQUIRED"),
        Declined("PAYER_ACTION_REQUIRED", "the payer would have to act"),
    ),
    (order_of("VOIDED"), Declined("ORDER_VOIDED", "the order was voided")),
    # A minimal answer: what it hides must be asked after.
    (order_of("COMPLETED"), UNEXPECTED),
    (order_of("PARTIALLY_COMPLETED"), UNEXPECTED),
]


@pytest.mark.parametrize(("order", "finding"), _CAPTURED)
def test_an_order_says_of_its_capture(order: Order, finding: Finding | str) -> None:
    """Each state of an order, read as a charge."""
    expect(captured(ASKED, order), finding)


_AUTHORIZED: list[tuple[Order, Finding | str, Finding | str]] = [
    # order, as an authorization, as a void
    (order_of(authorizations=_HELD), Succeeded("O1/authorization/A1"), NotFound()),
    (
        # Of what, the order does not show.
        order_of(authorizations=[movement("CAPTURED", "A1")]),
        Succeeded("O1/authorization/A1"),
        UNEXPECTED,
    ),
    (
        order_of(authorizations=[movement("VOIDED", "A1")]),
        VOIDED,
        Succeeded("O1/authorization/A1"),
    ),
    (
        order_of(authorizations=[movement("EXPIRED", "A1")]),
        EXPIRED,
        Succeeded("O1/authorization/A1"),
    ),
    (
        order_of(
            authorizations=[movement("PENDING", "A1", status_details={"reason": "PENDING_REVIEW"})]
        ),
        Pending("pending", "pending: PENDING_REVIEW"),
        NotFound(),
    ),
    (
        order_of(authorizations=[movement("DENIED", "A1")]),
        Declined("DENIED", "PayPal answers DENIED"),
        Succeeded("O1/authorization/A1"),
    ),
    (order_of(authorizations=[movement("NEW", "A1")]), UNEXPECTED, UNEXPECTED),
    (order_of("CREATED"), NotFound(), UNEXPECTED),
]


@pytest.mark.parametrize(("order", "as_authorization", "as_void"), _AUTHORIZED)
def test_an_order_says_of_its_authorization(
    order: Order, as_authorization: Finding | str, as_void: Finding | str
) -> None:
    """Each state of an authorization, asked after as itself and as a void."""
    expect(authorized(ASKED, order), as_authorization)
    expect(voided(AUTHORIZATION, order), as_void)


@pytest.mark.parametrize(
    ("status", "finding"),
    [
        ("COMPLETED", Succeeded("R1")),
        ("PENDING", WAITING),
        ("FAILED", Declined("FAILED", "PayPal answers FAILED")),
        ("CANCELLED", Declined("CANCELLED", "PayPal answers CANCELLED")),
    ],
)
def test_an_order_says_of_a_refund(status: str, finding: Finding | str) -> None:
    """The refund that carries our id is read, and no other."""
    other = movement("COMPLETED", "R0", custom_id="another")
    order = order_of(refunds=[other, movement(status, "R1", custom_id="ours")])
    expect(refunded(ASKED, "ours", order), finding)
    assert refunded(ASKED, "nobody's", order) == NotFound()


@pytest.mark.parametrize(
    "text", ["", "O1", "O1/capture", "O1/capture/", "/capture/C", "O1/refund/R", "O1/capture/C/x"]
)
def test_a_text_that_is_no_reference_is_refused(text: str) -> None:
    """A reference is exactly an order, a kind and an id."""
    assert Reference.parse(text) is None


@pytest.mark.parametrize("kind", Kind)
def test_a_reference_reads_back(kind: Kind) -> None:
    """What is stored as text names the same thing when it is read."""
    reference = Reference("5O190127TN364715T", kind, "3C679366HH908993F")
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("money", "value"),
    [
        (Money(1050, "USD"), "10.50"),
        (Money(500, "JPY"), "500"),
        (Money(1500, "KWD"), "1.500"),
        (Money(10000, "HUF"), "100"),
        (Money(10050, "HUF"), "100.50"),
        (Money(10000, "TWD"), "100"),
    ],
)
def test_amounts_are_written_as_paypal_wants_them(money: Money, value: str) -> None:
    """Decimals as ISO 4217 says, but none where PayPal takes none; what it refuses, it refuses."""
    assert to_paypal(money).value == value
