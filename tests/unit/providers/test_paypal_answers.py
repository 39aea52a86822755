"""What each of PayPal's answers means, one row an answer. Bodies as in docs/api/orders/v2."""

from __future__ import annotations

import json

import pytest

from payments.money import Money
from payments.outcome import Declined, Finding, NotFound, Outcome, Retriable, Succeeded, Unknown
from providers.paypal.answers import (
    Kind,
    Order,
    Reference,
    authorized,
    captured,
    parse,
    refunded,
    refused,
    to_paypal,
    voided,
)
from providers.transport import Answer

_ASKED = Money(5000, "USD")
_USD = {"currency_code": "USD", "value": "50.00"}
_AUTHORIZATION = Reference("O1", Kind.AUTHORIZATION, "A1")
_UNEXPECTED = "unexpected_status"


def _error(status: int, name: str, issue: str | None = None, said: str | None = None) -> Answer:
    details = [{"issue": issue, "description": said}] if issue else []
    body = {"name": name, "message": "Reported so.", "details": details, "debug_id": "d1"}
    return Answer(status, {}, json.dumps(body).encode())


def _unprocessable(issue: str) -> Answer:
    return _error(422, "UNPROCESSABLE_ENTITY", issue, "Why.")


_NOT_ALLOWED = "the provider does not allow us this call"
_REFUSALS: list[tuple[Answer, Outcome]] = [
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
        Retriable("forbidden", f"{_NOT_ALLOWED}: Reported so.", is_asked=False),
    ),
    (
        Answer(403, {}, b"<html>"),
        Retriable("forbidden", _NOT_ALLOWED, is_asked=False),
    ),
    (
        Answer(403, {}, b'{"error": "access_denied", "error_description": "no such scope"}'),
        Retriable("forbidden", f"{_NOT_ALLOWED}: no such scope", is_asked=False),
    ),
    (
        Answer(407, {}, b""),
        Retriable("not_sent", "no connection: the proxy refused our credentials", is_asked=False),
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


def _order(status: str = "COMPLETED", **payments: list[dict[str, object]]) -> Order:
    unit = {"reference_id": "default", "payments": payments} if payments else {}
    return Order.model_validate({"id": "O1", "status": status, "purchase_units": [unit]})


def _movement(status: str, identifier: str = "X1", **fields: object) -> dict[str, object]:
    return {"id": identifier, "status": status, "amount": _USD, **fields}


_VOIDED = Declined("AUTHORIZATION_VOIDED", "the authorization was voided")
_EXPIRED = Declined("authorization_expired", "the authorization was not captured in time")
_HELD = [_movement("CREATED", "A1")]

_CAPTURED: list[tuple[Order, Finding | str]] = [
    (_order(captures=[_movement("COMPLETED")]), Succeeded("O1/capture/X1")),
    (_order(captures=[_movement("PARTIALLY_REFUNDED")]), Succeeded("O1/capture/X1")),
    (_order(captures=[_movement("REFUNDED")]), Succeeded("O1/capture/X1")),
    (_order(captures=[_movement("PENDING")]), "pending"),
    (_order(captures=[_movement("DECLINED")]), Declined("DECLINED", "PayPal answers DECLINED")),
    (
        _order(captures=[_movement("DECLINED", processor_response={"response_code": "5120"})]),
        Declined("5120", "PayPal answers DECLINED"),
    ),
    (
        _order(captures=[_movement("FAILED", status_details={"reason": "OTHER"})]),
        Declined("OTHER", "PayPal answers FAILED"),
    ),
    (
        _order(captures=[_movement("COMPLETED", "C1"), _movement("DECLINED", "C2")]),
        Succeeded("O1/capture/C1"),
    ),
    (_order(captures=[_movement("SETTLING")]), _UNEXPECTED),
    (_order(captures=[{"id": "X1", "status": "COMPLETED"}]), "amount_mismatch"),
    (
        _order(captures=[_movement("COMPLETED") | {"amount": _USD | {"value": "49.99"}}]),
        "amount_mismatch",
    ),
    (
        _order(captures=[_movement("COMPLETED") | {"amount": _USD | {"value": "a lot"}}]),
        "amount_mismatch",
    ),
    (
        _order(captures=[_movement("COMPLETED") | {"amount": _USD | {"currency_code": "EUR"}}]),
        "amount_mismatch",
    ),
    (_order(authorizations=_HELD), NotFound()),
    (_order(authorizations=[_movement("CAPTURED", "A1")]), _UNEXPECTED),
    (
        _order(authorizations=[_movement("DENIED", "A1")]),
        Declined("DENIED", "PayPal answers DENIED"),
    ),
    (_order(authorizations=[_movement("VOIDED", "A1")]), _VOIDED),
    (_order(authorizations=[_movement("EXPIRED", "A1")]), _EXPIRED),
    (_order("CREATED"), NotFound()),
    (_order("APPROVED"), NotFound()),
    (_order("SAVED"), NotFound()),
    (
        _order("PAYER_ACTION_REQUIRED"),
        Declined("PAYER_ACTION_REQUIRED", "the payer would have to act"),
    ),
    (_order("VOIDED"), Declined("ORDER_VOIDED", "the order was voided")),
    # A minimal answer: what it hides must be asked after.
    (_order("COMPLETED"), _UNEXPECTED),
    (_order("PARTIALLY_COMPLETED"), _UNEXPECTED),
]


@pytest.mark.parametrize(("order", "finding"), _CAPTURED)
def test_an_order_says_of_its_capture(order: Order, finding: Finding | str) -> None:
    """Each state of an order, read as a charge."""
    _expect(captured(_ASKED, order), finding)


_AUTHORIZED: list[tuple[Order, Finding | str, Finding | str]] = [
    # order, as an authorization, as a void
    (_order(authorizations=_HELD), Succeeded("O1/authorization/A1"), NotFound()),
    (
        _order(authorizations=[_movement("CAPTURED", "A1")]),
        Succeeded("O1/authorization/A1"),
        Declined("PREVIOUSLY_CAPTURED", "the authorization was captured"),
    ),
    (
        _order(authorizations=[_movement("VOIDED", "A1")]),
        _VOIDED,
        Succeeded("O1/authorization/A1"),
    ),
    (
        _order(authorizations=[_movement("EXPIRED", "A1")]),
        _EXPIRED,
        Succeeded("O1/authorization/A1"),
    ),
    (_order(authorizations=[_movement("PENDING", "A1")]), "pending", NotFound()),
    (
        _order(authorizations=[_movement("DENIED", "A1")]),
        Declined("DENIED", "PayPal answers DENIED"),
        Declined("DENIED", "PayPal answers DENIED"),
    ),
    (_order(authorizations=[_movement("NEW", "A1")]), _UNEXPECTED, _UNEXPECTED),
    (_order("CREATED"), NotFound(), _UNEXPECTED),
]


@pytest.mark.parametrize(("order", "as_authorization", "as_void"), _AUTHORIZED)
def test_an_order_says_of_its_authorization(
    order: Order, as_authorization: Finding | str, as_void: Finding | str
) -> None:
    """Each state of an authorization, asked after as itself and as a void."""
    _expect(authorized(_ASKED, order), as_authorization)
    _expect(voided(_AUTHORIZATION, order), as_void)


@pytest.mark.parametrize(
    ("status", "finding"),
    [
        ("COMPLETED", Succeeded("R1")),
        ("PENDING", "pending"),
        ("FAILED", Declined("FAILED", "PayPal answers FAILED")),
        ("CANCELLED", Declined("CANCELLED", "PayPal answers CANCELLED")),
    ],
)
def test_an_order_says_of_a_refund(status: str, finding: Finding | str) -> None:
    """The refund that carries our id is read, and no other."""
    other = _movement("COMPLETED", "R0", custom_id="another")
    order = _order(refunds=[other, _movement(status, "R1", custom_id="ours")])
    _expect(refunded(_ASKED, "ours", order), finding)
    assert refunded(_ASKED, "nobody's", order) == NotFound()


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


def _expect(found: Finding, expected: Finding | str) -> None:
    """Equal, or an Unknown of that code."""
    if isinstance(expected, str):
        assert isinstance(found, Unknown)
        assert found.code == expected
    else:
        assert found == expected
