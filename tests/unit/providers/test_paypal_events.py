"""What PayPal's events are read as. Resources as .../api/rest/webhooks/simulator shows them."""

from __future__ import annotations

import json
from typing import Final
from uuid import UUID

import pytest

from payments.notification import Reported
from payments.payment import Provider
from providers.notifications import (
    PaymentNotification,
    ReferenceNotification,
    RefundNotification,
)
from providers.paypal.events import EVENT_TYPES, read_paypal_event

OURS: Final = UUID("0198c0de-0000-7000-8000-000000000001")
REFUND: Final = UUID("0198c0de-0000-7000-8000-000000000002")
_API: Final = "https://api.paypal.com/v2/payments"


def _event(kind: str, resource: dict[str, object]) -> bytes:
    return json.dumps({"id": "WH-1", "event_type": kind, "resource": resource}).encode()


def capture_event(kind: str, **changed: object) -> bytes:
    """Of a capture or an authorization, which carry what their order was given."""
    resource: dict[str, object] = {
        "id": "2GG",
        "custom_id": str(OURS),
        "invoice_id": str(OURS),
        "supplementary_data": {"related_ids": {"order_id": "5O1"}},
        "links": [
            {"rel": "self", "href": f"{_API}/captures/2GG", "method": "GET"},
            {"rel": "up", "href": "https://api.paypal.com/v2/checkout/orders/5O1", "method": "GET"},
        ],
    }
    return _event(kind, resource | changed)


def refund_event(kind: str, **changed: object) -> bytes:
    """Of a refund of ours: its own id, and its capture's invoice."""
    resource: dict[str, object] = {
        "id": "1JU",
        "status": "COMPLETED",
        "custom_id": str(REFUND),
        "invoice_id": str(OURS),
        "links": [
            {"rel": "self", "href": f"{_API}/refunds/1JU", "method": "GET"},
            {"rel": "up", "href": f"{_API}/captures/2GG", "method": "GET"},
        ],
    }
    return _event(kind, resource | changed)


def dispute_event(kind: str, **transaction: object) -> bytes:
    """Of a dispute about one capture."""
    disputed = {"seller_transaction_id": "2GG", "items": [], **transaction}
    return _event(kind, {"dispute_id": "PP-D-7", "disputed_transactions": [disputed]})


def of_kind(kind: str) -> bytes:
    """An event of any kind that is read, about ours."""
    if kind.startswith("CUSTOMER."):
        return dispute_event(kind, custom=str(OURS))
    if kind in {"PAYMENT.CAPTURE.REFUNDED", "PAYMENT.REFUND.FAILED"}:
        return refund_event(kind, status="FAILED")
    return capture_event(kind)


@pytest.mark.parametrize(
    ("payload", "said", "reference"),
    [
        (capture_event("PAYMENT.CAPTURE.COMPLETED"), Reported.DONE, "5O1/capture/2GG"),
        (capture_event("PAYMENT.CAPTURE.DENIED"), Reported.NOT_DONE, "5O1/capture/2GG"),
        (capture_event("PAYMENT.CAPTURE.DECLINED"), Reported.NOT_DONE, "5O1/capture/2GG"),
        (capture_event("PAYMENT.CAPTURE.PENDING"), Reported.CHANGED, "5O1/capture/2GG"),
        (capture_event("PAYMENT.AUTHORIZATION.CREATED"), Reported.HELD, "5O1/authorization/2GG"),
        (
            capture_event("PAYMENT.AUTHORIZATION.CREATED", status="DENIED"),
            Reported.NOT_DONE,
            "5O1/authorization/2GG",
        ),
        (
            capture_event("PAYMENT.AUTHORIZATION.VOIDED", status="VOIDED"),
            Reported.NOT_DONE,
            "5O1/authorization/2GG",
        ),
        (capture_event("PAYMENT.CAPTURE.COMPLETED", supplementary_data={}), Reported.DONE, None),
        # What PayPal took back, or somebody gave back, in the payment's name.
        (refund_event("PAYMENT.CAPTURE.REVERSED"), Reported.CHANGED, "capture/2GG"),
        (
            refund_event("PAYMENT.CAPTURE.REVERSED", invoice_id=None, custom_id=str(OURS)),
            Reported.CHANGED,
            "capture/2GG",
        ),
        (
            refund_event("PAYMENT.CAPTURE.REFUNDED", custom_id=str(OURS)),
            Reported.CHANGED,
            "capture/2GG",
        ),
        (refund_event("PAYMENT.CAPTURE.REFUNDED", custom_id=None), Reported.CHANGED, "capture/2GG"),
        (
            refund_event("PAYMENT.CAPTURE.REFUNDED", custom_id="order 7", links=[]),
            Reported.CHANGED,
            None,
        ),
        (
            refund_event("PAYMENT.REFUND.PENDING", custom_id=str(OURS), status="PENDING"),
            Reported.CHANGED,
            "capture/2GG",
        ),
        (
            dispute_event("CUSTOMER.DISPUTE.CREATED", custom=str(OURS)),
            Reported.CHANGED,
            "dispute/PP-D-7",
        ),
        (
            dispute_event("CUSTOMER.DISPUTE.RESOLVED", custom="7", invoice_number=str(OURS)),
            Reported.CHANGED,
            "dispute/PP-D-7",
        ),
    ],
)
def test_an_event_of_a_payment_says(payload: bytes, said: Reported, reference: str | None) -> None:
    """What happened to the money, and by what it can be looked at."""
    read = read_paypal_event(payload)
    assert isinstance(read, PaymentNotification)
    assert read == PaymentNotification(read.event, OURS)
    assert (read.event.reported, read.event.reference) == (said, reference)
    assert read.event.key == (Provider("paypal"), "WH-1")


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (refund_event("PAYMENT.CAPTURE.REFUNDED"), Reported.DONE),
        (refund_event("PAYMENT.CAPTURE.REFUNDED", invoice_id=None), Reported.DONE),
        (refund_event("PAYMENT.CAPTURE.REFUNDED", status="FAILED"), Reported.NOT_DONE),
        (refund_event("PAYMENT.REFUND.FAILED", status="FAILED"), Reported.NOT_DONE),
        (refund_event("PAYMENT.REFUND.FAILED", status="CANCELLED"), Reported.NOT_DONE),
        # It is waited for anyway.
        (refund_event("PAYMENT.REFUND.PENDING", status="PENDING"), None),
        (refund_event("PAYMENT.CAPTURE.REFUNDED", status="PENDING"), None),
    ],
)
def test_an_event_of_a_refund_of_ours_says(payload: bytes, said: Reported | None) -> None:
    """What the refund's status says; its custom id is ours."""
    read = read_paypal_event(payload)
    assert (read.event.reported if read else None) is said
    if read:
        assert read == RefundNotification(read.event, REFUND)
        assert read.event.reference == "1JU"


@pytest.mark.parametrize(
    ("payload", "reference"),
    [
        (
            refund_event("PAYMENT.CAPTURE.REVERSED", custom_id=None, invoice_id=None),
            "capture/2GG",
        ),
        (
            refund_event("PAYMENT.CAPTURE.REFUNDED", custom_id="order 7", invoice_id="7"),
            "capture/2GG",
        ),
        (
            refund_event("PAYMENT.REFUND.FAILED", custom_id=None, invoice_id=None),
            "capture/2GG",
        ),
        (dispute_event("CUSTOMER.DISPUTE.CREATED"), "dispute/PP-D-7"),
        (dispute_event("CUSTOMER.DISPUTE.UPDATED", custom="7"), "dispute/PP-D-7"),
    ],
)
def test_an_event_that_names_nothing_of_ours_is_looked_up(payload: bytes, reference: str) -> None:
    """By the capture or the dispute, which PayPal can be asked about."""
    read = read_paypal_event(payload)
    assert isinstance(read, ReferenceNotification)
    assert read == ReferenceNotification(read.event, reference)
    assert (read.event.reported, read.event.reference) == (Reported.CHANGED, reference)


@pytest.mark.parametrize(
    "payload",
    [
        _event("CHECKOUT.ORDER.APPROVED", {"custom_id": 7}),
        # A capture of ours would say so.
        capture_event("PAYMENT.CAPTURE.COMPLETED", custom_id="order 7"),
        capture_event("PAYMENT.CAPTURE.PENDING", custom_id=None),
        refund_event("PAYMENT.CAPTURE.REVERSED", custom_id=None, invoice_id=None, links=[]),
    ],
)
def test_an_event_about_what_cannot_be_ours_is_left_alone(payload: bytes) -> None:
    """It names nothing, and nothing that could be asked about."""
    assert read_paypal_event(payload) is None


@pytest.mark.parametrize(
    "payload",
    [
        _event("CUSTOMER.DISPUTE.CREATED", {}),
        _event("CUSTOMER.DISPUTE.CREATED", {"dispute_id": "PP/D/7"}),
        _event("PAYMENT.CAPTURE.REVERSED", {"links": "up"}),
        # What is stored, and asked for, is short and visible, and one segment of a path.
        _event("CUSTOMER.DISPUTE.CREATED", {"dispute_id": "PP-D-7\n"}),
        capture_event("PAYMENT.CAPTURE.COMPLETED", id="2 GG"),
        capture_event("PAYMENT.CAPTURE.COMPLETED", id="2" * 101),
        capture_event(
            "PAYMENT.CAPTURE.COMPLETED",
            supplementary_data={"related_ids": {"order_id": "../5O1"}},
        ),
    ],
)
def test_an_event_whose_resource_is_another_is_refused(payload: bytes) -> None:
    """Even when it was signed."""
    with pytest.raises(ValueError, match="validation error"):
        read_paypal_event(payload)


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_whoever_subscribes_asks_for_what_is_read(kind: str) -> None:
    """An event type that is asked for and never read would be traffic for nothing."""
    assert read_paypal_event(of_kind(kind))
