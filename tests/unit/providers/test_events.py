"""What the vendors' events are read as, the irrelevant and the malformed ones included."""

from __future__ import annotations

import json
from typing import Final
from uuid import UUID

import pytest

from payments.notification import Reported
from providers.notifications import (
    PaymentNotification,
    ReferenceNotification,
    RefundNotification,
)
from providers.paypal.events import read_paypal_event
from providers.stripe.events import EVENT_TYPES as STRIPE_EVENT_TYPES
from providers.stripe.events import read_stripe_event

OURS: Final = UUID("0198c0de-0000-7000-8000-000000000001")


def stripe_event(kind: str, **subject: object) -> bytes:
    """An event as docs.stripe.com/api/events/object shows one."""
    intent = {"id": "pi_1", "object": "payment_intent", "metadata": {"payment_id": str(OURS)}}
    return json.dumps(
        {
            "id": "evt_1",
            "object": "event",
            "created": 1_790_000_000,
            "data": {"object": {**intent, **subject}},
            "livemode": False,
            "type": kind,
        }
    ).encode()


def refund_event(kind: str, status: str | None) -> bytes:
    ids = {"payment_id": "whatever", "refund_id": str(OURS)}
    return stripe_event(kind, id="re_1", object="refund", status=status, metadata=ids)


def foreign_refund_event(kind: str, **subject: object) -> bytes:
    """Made in the dashboard: it names no refund of ours."""
    foreign = {"object": "refund", "status": "succeeded", "payment_intent": "pi_1", "metadata": {}}
    return stripe_event(kind, **{"id": "re_1", **foreign, **subject})


def dispute_event(kind: str, **subject: object) -> bytes:
    """A dispute has no metadata but what is put there by hand."""
    dispute = {"object": "dispute", "status": "lost", "payment_intent": "pi_1", "metadata": {}}
    return stripe_event(kind, **{"id": "dp_1", **dispute, **subject})


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (stripe_event("payment_intent.succeeded"), Reported.DONE),
        (stripe_event("payment_intent.payment_failed"), Reported.NOT_DONE),
        (stripe_event("payment_intent.canceled"), Reported.NOT_DONE),
        (stripe_event("payment_intent.amount_capturable_updated"), Reported.HELD),
        (stripe_event("payment_intent.created"), None),
        (stripe_event("payment_intent.succeeded", metadata={}), None),
        (stripe_event("payment_intent.succeeded", metadata={"payment_id": "order 7"}), None),
        (stripe_event("balance.available", id=None, object="balance", metadata=None), None),
    ],
)
def test_a_stripe_event_of_a_payment_says(payload: bytes, said: Reported | None) -> None:
    """What happened to the money, of payments that are ours."""
    read = read_stripe_event(payload)
    assert (read.event.reported if read else None) is said
    if read:
        assert read == PaymentNotification(read.event, OURS)
        assert (read.event.key, read.event.reference) == (("stripe", "evt_1"), "pi_1")


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (refund_event("refund.created", "succeeded"), Reported.DONE),
        (refund_event("refund.created", "pending"), None),
        (refund_event("refund.updated", "succeeded"), Reported.DONE),
        (refund_event("refund.updated", None), None),
        (refund_event("refund.failed", "failed"), Reported.NOT_DONE),
        (refund_event("refund.updated", "canceled"), Reported.NOT_DONE),
    ],
)
def test_a_stripe_event_of_a_refund_says(payload: bytes, said: Reported | None) -> None:
    """What its status says: an update may be any."""
    read = read_stripe_event(payload)
    assert (read.event.reported if read else None) is said
    if read:
        assert read == RefundNotification(read.event, OURS)
        assert read.event.reference == "re_1"


@pytest.mark.parametrize(
    ("payload", "reference"),
    [
        (foreign_refund_event("refund.created"), "pi_1"),
        (foreign_refund_event("refund.created", status="pending"), "pi_1"),
        (foreign_refund_event("refund.failed", status="failed", metadata=None), "pi_1"),
        (foreign_refund_event("refund.updated", metadata={"refund_id": "order 7"}), "pi_1"),
        (foreign_refund_event("charge.refund.updated"), "pi_1"),
        (dispute_event("charge.dispute.created"), "pi_1"),
        (dispute_event("charge.dispute.updated"), "pi_1"),
        (dispute_event("charge.dispute.closed"), "pi_1"),
        (dispute_event("charge.dispute.funds_withdrawn"), "pi_1"),
        (dispute_event("charge.dispute.funds_reinstated"), "pi_1"),
        # Of a charge that was made without a PaymentIntent: none of ours.
        (dispute_event("charge.dispute.created", payment_intent=None), None),
        (foreign_refund_event("refund.created", payment_intent=None), None),
        # The refund's own event tells of it.
        (stripe_event("charge.refunded", id="ch_1", payment_intent="pi_1"), None),
    ],
)
def test_a_stripe_event_that_names_nothing_of_ours_says_what_to_look_at(
    payload: bytes, reference: str | None
) -> None:
    """The PaymentIntent, whatever the event is about: Stripe knows whose it is."""
    read = read_stripe_event(payload)
    if reference is None:
        assert read is None
        return
    assert isinstance(read, ReferenceNotification)
    assert (read.reference, read.event.reference) == (reference, reference)
    assert read.event.reported is Reported.CHANGED


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b'{"id": "evt_1"}',
        b'{"id": 7, "type": "payment_intent.succeeded", "event_type": "PAYMENT.CAPTURE.DENIED"}',
        b'{"id": "a b", "type": "x", "event_type": "x"}',
        b'{"id": "1", "type": "refund.failed", "event_type": "PAYMENT.CAPTURE.REFUNDED"}',
    ],
)
def test_what_is_no_event_is_refused(payload: bytes) -> None:
    """Even when it was signed."""
    with pytest.raises(ValueError, match="validation error"):
        read_stripe_event(payload)
    with pytest.raises(ValueError, match="validation error"):
        read_paypal_event(payload)


@pytest.mark.parametrize("named", ["pi 1", "pi_1\n", "p" * 256, {"id": "pi_1"}])
def test_a_stripe_event_names_what_a_path_and_a_column_hold(named: object) -> None:
    """Signed or not: short, visible and one word."""
    with pytest.raises(ValueError, match="validation error"):
        read_stripe_event(dispute_event("charge.dispute.created", payment_intent=named))
    with pytest.raises(ValueError, match="validation error"):
        read_stripe_event(stripe_event("payment_intent.succeeded", id=named))


def test_whoever_subscribes_asks_for_what_is_read() -> None:
    """An event type that is asked for and never read would be traffic for nothing."""
    for kind in STRIPE_EVENT_TYPES:
        if kind.startswith("refund."):
            payload = refund_event(kind, "failed")
        else:
            payload = stripe_event(kind, payment_intent="pi_1")
        assert read_stripe_event(payload)
