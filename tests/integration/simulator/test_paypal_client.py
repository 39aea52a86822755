"""PayPal's official SDK against the simulator: orders, captures, refunds, refusals."""

import pytest
import requests
from paypalserversdk.exceptions.error_exception import (  # type: ignore[import-untyped]  # ships none
    ErrorException,
)

from tests.support.simulator.admin import Admin, new_id
from tests.support.simulator.clients import Json, PayPal, order_body, paypal_bearer


def _issue(refused: pytest.ExceptionInfo[ErrorException]) -> str:
    (detail,) = refused.value.details
    return str(detail.issue)


def test_an_order_with_a_card_completes_at_once(paypal: PayPal, admin: Admin) -> None:
    """201 with the capture in it; the journal knows it by custom_id."""
    payment_id = new_id()
    created = paypal.create(order_body(payment_id))
    assert (created.status_code, created.body.status) == (201, "COMPLETED")
    (capture,) = created.body.purchase_units[0].payments.captures
    assert (capture.status, capture.amount.value) == ("COMPLETED", "12.50")
    assert paypal.payments.get_captured_payment({"capture_id": capture.id}).body.id == capture.id
    assert admin.payment(payment_id)["charged_minor"] == 1250


def test_an_order_without_source_is_captured_with_one(paypal: PayPal) -> None:
    """Created, refused while nobody approved it, captured when the source is named."""
    body = order_body(new_id())
    source = body.pop("payment_source")
    order = paypal.create(body)
    assert (order.status_code, order.body.status) == (201, "CREATED")
    with pytest.raises(ErrorException) as refused:
        paypal.orders.capture_order({"id": order.body.id, "paypal_request_id": new_id()})
    assert _issue(refused) == "ORDER_NOT_APPROVED"
    capture: Json = {
        "id": order.body.id,
        "paypal_request_id": new_id(),
        "body": {"payment_source": source},
    }
    first = paypal.orders.capture_order(capture)
    assert (first.status_code, first.body.status) == (201, "COMPLETED")
    assert not hasattr(first.body, "purchase_units"), "the default answer is the minimal one"
    assert paypal.orders.capture_order(capture).status_code == 200


def test_a_payer_can_approve(paypal: PayPal, admin: Admin) -> None:
    """The approve link stands in for the payer."""
    body = order_body(new_id())
    del body["payment_source"]
    order = paypal.create(body).body
    (link,) = [link.href for link in order.links if link.rel == "approve"]
    assert link.startswith(admin.url)
    requests.get(link, timeout=5).raise_for_status()
    assert paypal.orders.get_order({"id": order.id}).body.status == "APPROVED"
    captured = paypal.orders.capture_order({"id": order.id, "paypal_request_id": new_id()})
    assert captured.body.status == "COMPLETED"


def test_an_authorization_is_captured_in_parts_and_not_voided_after(paypal: PayPal) -> None:
    """Partial captures add up to the authorization and no further; then nothing is left to void."""
    order = paypal.create(order_body(new_id(), intent="AUTHORIZE")).body
    (held,) = order.purchase_units[0].payments.authorizations
    capture = {
        "authorization_id": held.id,
        "prefer": "return=representation",
        "body": {"amount": {"currency_code": "USD", "value": "5.00"}},
    }
    part = paypal.payments.capture_authorized_payment({**capture, "paypal_request_id": new_id()})
    assert (part.status_code, part.body.amount.value) == (201, "5.00")
    rest = {"authorization_id": held.id, "paypal_request_id": new_id()}
    paypal.payments.capture_authorized_payment(rest)
    shown = paypal.payments.get_authorized_payment({"authorization_id": held.id}).body
    assert shown.status == "CAPTURED"
    with pytest.raises(ErrorException) as refused:
        paypal.payments.void_payment({"authorization_id": held.id})
    assert _issue(refused) == "PREVIOUSLY_CAPTURED"


def test_a_void_has_no_body_and_is_final(paypal: PayPal) -> None:
    """204; then neither void nor capture."""
    order = paypal.create(order_body(new_id(), intent="AUTHORIZE")).body
    (held,) = order.purchase_units[0].payments.authorizations
    void = {"authorization_id": held.id, "paypal_request_id": new_id()}
    assert paypal.payments.void_payment(void).status_code == 204
    assert paypal.payments.void_payment(void).status_code == 204, "the same request again"
    with pytest.raises(ErrorException) as refused:
        paypal.payments.capture_authorized_payment({"authorization_id": held.id})
    assert _issue(refused) == "AUTHORIZATION_VOIDED"


def test_refunds_never_exceed_the_capture(paypal: PayPal, admin: Admin) -> None:
    """In parts up to the amount, once per request id."""
    payment_id = new_id()
    order = paypal.create(order_body(payment_id)).body
    (capture,) = order.purchase_units[0].payments.captures
    part = {
        "capture_id": capture.id,
        "paypal_request_id": new_id(),
        "body": {"amount": {"currency_code": "USD", "value": "2.50"}},
    }
    first = paypal.payments.refund_captured_payment(part)
    again = paypal.payments.refund_captured_payment(part)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.body.id == again.body.id
    too_much = {
        "capture_id": capture.id,
        "paypal_request_id": new_id(),
        "body": {"amount": {"currency_code": "USD", "value": "10.01"}},
    }
    with pytest.raises(ErrorException) as refused:
        paypal.payments.refund_captured_payment(too_much)
    assert _issue(refused) == "REFUND_AMOUNT_EXCEEDED"
    # The SDK sends a full refund with a content type and no body at all.
    full = paypal.payments.refund_captured_payment({"capture_id": capture.id})
    assert full.body.status == "COMPLETED"
    with pytest.raises(ErrorException) as refused:
        paypal.payments.refund_captured_payment({"capture_id": capture.id})
    assert _issue(refused) == "CAPTURE_FULLY_REFUNDED"
    assert admin.payment(payment_id)["refunded_minor"] == 1250
    assert paypal.payments.get_refund({"refund_id": first.body.id}).body.amount.value == "2.50"


def test_a_repeated_create_gives_the_same_order(paypal: PayPal, admin: Admin) -> None:
    """200 instead of 201, with the order as it is by now."""
    payment_id, request_id = new_id(), new_id()
    first = paypal.create(order_body(payment_id), request_id)
    again = paypal.create(order_body(payment_id), request_id)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.body.id == again.body.id
    assert admin.payment(payment_id)["charges"] == 1


def test_an_invoice_is_paid_once(paypal: PayPal) -> None:
    """A second order for an invoice that was paid is refused."""
    body = order_body(new_id())
    paypal.create(body)
    with pytest.raises(ErrorException) as refused:
        paypal.create(body)
    assert _issue(refused) == "DUPLICATE_INVOICE_ID"


@pytest.mark.parametrize(
    ("source", "issue"),
    [
        ({"card": {"vault_id": "SIM-INSTRUMENT_DECLINED"}}, "INSTRUMENT_DECLINED"),
        ({"paypal": {"vault_id": "SIM-PAYEE_BLOCKED_TRANSACTION"}}, "PAYEE_BLOCKED_TRANSACTION"),
        ({"token": {"id": "SIM-TRANSACTION_REFUSED", "type": "BILLING_AGREEMENT"}},
         "TRANSACTION_REFUSED"),
    ],
)  # fmt: skip
def test_a_declined_source_is_unprocessable(
    paypal: PayPal, source: dict[str, object], issue: str
) -> None:
    """422 with the issue and a debug id; the refusal stays under the request id."""
    body = order_body(new_id(), payment_source=source)
    request_id = new_id()
    for _ in range(2):
        with pytest.raises(ErrorException) as refused:
            paypal.create(body, request_id)
        assert (refused.value.response_code, refused.value.name) == (422, "UNPROCESSABLE_ENTITY")
        assert _issue(refused) == issue
        assert refused.value.debug_id


def test_a_rejection_trigger_completes_with_a_declined_capture(
    paypal: PayPal, admin: Admin
) -> None:
    """PayPal's sandbox triggers: the order is complete and its capture DECLINED."""
    payment_id = new_id()
    card = {"number": "4012888888881881", "expiry": "2034-12", "name": "CCREJECT-IF"}
    order = paypal.create(order_body(payment_id, payment_source={"card": card})).body
    (capture,) = order.purchase_units[0].payments.captures
    assert (order.status, capture.status) == ("COMPLETED", "DECLINED")
    assert capture.processor_response.response_code == "5120"
    assert admin.payment(payment_id) | {"charges": 0, "declines": 1} == admin.payment(payment_id)


@pytest.mark.parametrize(
    ("value", "currency", "issue"),
    [
        ("1.005", "USD", "DECIMAL_PRECISION"),
        ("100.50", "JPY", "DECIMALS_NOT_SUPPORTED"),
        ("0.00", "USD", "CANNOT_BE_ZERO_OR_NEGATIVE"),
        ("-1.00", "USD", "CANNOT_BE_ZERO_OR_NEGATIVE"),
        ("1.000", "KWD", "INVALID_CURRENCY_CODE"),
        ("ten", "USD", "INVALID_PARAMETER_SYNTAX"),
    ],
)
def test_amounts_follow_paypal_s_currencies(
    paypal: PayPal, value: str, currency: str, issue: str
) -> None:
    """Two decimals, none for a few, and only the currencies PayPal takes."""
    with pytest.raises(ErrorException) as refused:
        paypal.create(order_body(new_id(), value, currency))
    assert _issue(refused) == issue


def test_paying_needs_a_request_id_and_a_token(admin: Admin) -> None:
    """400 without PayPal-Request-Id, 401 with a token nobody issued."""
    bearer = paypal_bearer(admin.url)
    forged = {"Authorization": bearer["Authorization"] + "x"}
    url, order = f"{admin.url}/v2/checkout/orders", order_body(new_id())
    answer = requests.post(url, headers=bearer, json=order, timeout=5)
    assert answer.status_code == 400
    assert answer.json()["details"][0]["issue"] == "PAYPAL_REQUEST_ID_REQUIRED"
    answer = requests.post(url, headers=forged, json=order, timeout=5)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


def test_an_order_nobody_made_is_not_found(paypal: PayPal) -> None:
    """404 RESOURCE_NOT_FOUND, as an ErrorException of the SDK."""
    with pytest.raises(ErrorException) as refused:
        paypal.orders.get_order({"id": "NOBODY"})
    assert (refused.value.response_code, refused.value.name) == (404, "RESOURCE_NOT_FOUND")
