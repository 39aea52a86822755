"""PayPal's dashboard: what is done there, its client reads, and notifications tell of."""

import pytest
import requests
from paypalserversdk.exceptions.error_exception import (  # type: ignore[import-untyped]  # no types
    ErrorException,
)

from tests.support.fixtures.simulator import SimulatorProcess
from tests.support.simulator.admin import Admin, new_id
from tests.support.simulator.clients import Json, PayPal, order_body, paypal_bearer
from tests.support.simulator.receiver import Receiver
from tests.support.waiting import eventually


def _payments(paypal: PayPal, order_id: str) -> Json:
    """All that has happened to an order."""
    return paypal.orders.get_order({"id": order_id}).body.purchase_units[0].payments


def _get(admin: Admin, path: str, **query: str) -> Json:
    answer = requests.get(
        f"{admin.url}{path}", params=query, headers=paypal_bearer(admin.url), timeout=5
    )
    answer.raise_for_status()
    return answer.json()


def _events(receiver: Receiver, payment_id: str) -> list[Json]:
    """What was told of a payment, whoever else was paid meanwhile."""
    told = []
    for event in receiver.events():
        (transaction,) = event["resource"].get("disputed_transactions", [{}])
        if payment_id in (event["resource"].get("custom_id"), transaction.get("custom")):
            told.append(event)
    return told


def test_a_part_captured_there_leaves_the_authorization_open(paypal: PayPal, admin: Admin) -> None:
    """The rest can be voided, and the part stays taken."""
    payment_id = new_id()
    order = paypal.create(order_body(payment_id, intent="AUTHORIZE")).body
    (held,) = order.purchase_units[0].payments.authorizations
    acted = admin.act(f"payments/{payment_id}/capture", amount=400)
    made = _payments(paypal, order.id)
    assert (made.authorizations[0].status, made.captures[0].status) == (
        "PARTIALLY_CAPTURED",
        "COMPLETED",
    )
    assert (made.captures[0].id, made.captures[0].final_capture) == (acted["reference"], False)
    paypal.payments.void_payment({"authorization_id": held.id})
    made = _payments(paypal, order.id)
    assert (made.authorizations[0].status, made.captures[0].amount.value) == ("VOIDED", "4.00")
    report = admin.payment(payment_id)
    assert (report["held_minor"], report["voided_minor"], report["kept_minor"]) == (0, 850, 400)


async def test_a_refund_made_there_carries_the_capture_s_custom_id(
    paypal: PayPal, admin: Admin, receiver: Receiver
) -> None:
    """Which is the payment's, so that it must not be taken for a refund of ours."""
    payment_id = new_id()
    receiver.listens_to_paypal(admin.url, "PAYMENT.CAPTURE.REFUNDED")
    order = paypal.create(order_body(payment_id)).body
    acted = admin.act(f"payments/{payment_id}/refund", amount=250)
    (refund,) = _payments(paypal, order.id).refunds
    assert (refund.id, refund.custom_id, refund.status) == (
        acted["reference"],
        payment_id,
        "COMPLETED",
    )
    (detail,) = admin.payment(payment_id)["refund_details"]
    assert detail["refund_id"] is None
    await eventually(lambda: len(_events(receiver, payment_id)) == 1)
    refused = admin.try_to(f"payments/{payment_id}/refund", amount=1001)
    assert refused.status_code == 422
    assert refused.json()["object"]["details"][0]["issue"] == "REFUND_AMOUNT_EXCEEDED"


@pytest.mark.parametrize(
    ("outcome", "code"),
    [("won", "RESOLVED_SELLER_FAVOUR"), ("lost", "RESOLVED_BUYER_FAVOUR")],
)
async def test_a_dispute_is_opened_listed_and_decided(
    paypal: PayPal, admin: Admin, receiver: Receiver, outcome: str, code: str
) -> None:
    """Told of twice; the payment is found by the transaction's custom id; lost, money moved."""
    payment_id = new_id()
    receiver.listens_to_paypal(admin.url, "*")
    order = paypal.create(order_body(payment_id)).body
    (capture,) = order.purchase_units[0].payments.captures
    opened = admin.act(f"payments/{payment_id}/dispute", reason="UNAUTHORISED")
    (listed,) = _get(admin, "/v1/customer/disputes", disputed_transaction_id=capture.id)["items"]
    assert (listed["dispute_id"], listed["dispute_state"]) == (
        opened["reference"],
        "REQUIRED_ACTION",
    )
    path = f"/v1/customer/disputes/{opened['reference']}"
    before = _get(admin, path)
    assert before["disputed_transactions"][0]["custom"] == payment_id
    assert "money_movements" not in before
    part = {"amount": {"currency_code": "USD", "value": "1.00"}}
    with pytest.raises(ErrorException) as refused:
        paypal.payments.refund_captured_payment({"capture_id": capture.id, "body": part})
    assert refused.value.details[0].issue == "TRANSACTION_DISPUTED"

    admin.act(f"payments/{payment_id}/dispute/close", outcome=outcome)
    after = _get(admin, path)
    assert after["dispute_outcome"]["outcome_code"] == code
    assert ("money_movements" in after) is (outcome == "lost")
    assert admin.payment(payment_id)["kept_minor"] == (1250 if outcome == "won" else 0)
    await eventually(lambda: len(_events(receiver, payment_id)) == 3)
    created, resolved = [
        event
        for event in _events(receiver, payment_id)
        if event["event_type"].startswith("CUSTOMER.DISPUTE.")
    ]
    assert (created["event_type"], created["resource_type"]) == (
        "CUSTOMER.DISPUTE.CREATED",
        "dispute",
    )
    assert created["resource"]["dispute_id"] == opened["reference"]
    assert resolved["event_type"] == "CUSTOMER.DISPUTE.RESOLVED"


async def test_a_reversal_looks_like_a_refund_of_the_capture(
    paypal: PayPal, admin: Admin, receiver: Receiver
) -> None:
    """With an id and a link to the capture, which says that it was charged back."""
    payment_id = new_id()
    receiver.listens_to_paypal(admin.url, "PAYMENT.CAPTURE.REVERSED")
    order = paypal.create(order_body(payment_id)).body
    reversal = admin.act(f"payments/{payment_id}/reverse")["reference"]
    (capture,) = _payments(paypal, order.id).captures
    assert (capture.status, capture.status_details.reason) == ("REFUNDED", "CHARGEBACK")
    assert paypal.payments.get_refund({"refund_id": reversal}).body.amount.value == "12.50"
    await eventually(lambda: len(_events(receiver, payment_id)) == 1)
    (event,) = _events(receiver, payment_id)
    assert (event["resource_type"], event["resource"]["id"]) == ("refund", reversal)
    (up,) = (link["href"] for link in event["resource"]["links"] if link["rel"] == "up")
    assert up.endswith(f"/v2/payments/captures/{capture.id}")


async def test_a_refund_comes_back_days_later(
    paypal: PayPal, admin: Admin, receiver: Receiver
) -> None:
    """FAILED, told of, and the capture can be refunded again in full."""
    payment_id, refund_id = new_id(), new_id()
    receiver.listens_to_paypal(admin.url, "PAYMENT.REFUND.FAILED")
    order = paypal.create(order_body(payment_id)).body
    (capture,) = order.purchase_units[0].payments.captures
    refund = {"capture_id": capture.id, "body": {"custom_id": refund_id}}
    made = paypal.payments.refund_captured_payment(refund).body
    admin.act(f"refunds/{refund_id}/fail")
    failed = paypal.payments.get_refund({"refund_id": made.id}).body
    assert (failed.status, failed.status_details.reason) == ("FAILED", "ECHECK")
    assert paypal.payments.get_captured_payment({"capture_id": capture.id}).body.status == (
        "COMPLETED"
    )
    await eventually(lambda: len(_events(receiver, refund_id)) == 1)
    paypal.payments.refund_captured_payment({"capture_id": capture.id})
    assert admin.payment(payment_id)["refunded_minor"] == 1250


@pytest.mark.parametrize(
    ("outcome", "ends"),
    [("succeeded", ("COMPLETED", "COMPLETED", 1250)), ("failed", ("DECLINED", "DENIED", 0))],
)
async def test_a_capture_is_pending_for_days(
    paypal: PayPal, admin: Admin, receiver: Receiver, outcome: str, ends: tuple[str, str, int]
) -> None:
    """Not refundable before it is COMPLETED, and DENIED it took nothing."""
    payment_id, (status, told, kept) = new_id(), ends
    receiver.listens_to_paypal(admin.url, "*")
    admin.arm("pend", vendor="paypal", operation="charge", times=1)
    order = paypal.create(order_body(payment_id)).body
    (capture,) = order.purchase_units[0].payments.captures
    assert (capture.status, capture.status_details.reason) == ("PENDING", "PENDING_REVIEW")
    with pytest.raises(ErrorException) as refused:
        paypal.payments.refund_captured_payment({"capture_id": capture.id})
    assert refused.value.details[0].issue == "PENDING_CAPTURE"
    admin.act(f"payments/{payment_id}/settle", outcome=outcome)
    assert _payments(paypal, order.id).captures[0].status == status
    await eventually(lambda: len(_events(receiver, payment_id)) == 2)
    types = [each["event_type"] for each in _events(receiver, payment_id)]
    assert types == ["PAYMENT.CAPTURE.PENDING", f"PAYMENT.CAPTURE.{told}"]
    assert admin.payment(payment_id)["kept_minor"] == kept


def test_the_dashboard_s_doing_survives_a_restart(own_simulator: SimulatorProcess) -> None:
    """Disputes, reversals and refunds that came back are part of the journal."""
    paypal, admin = PayPal(own_simulator.url), Admin(own_simulator.url)
    payment_id = new_id()
    order = paypal.create(order_body(payment_id, intent="AUTHORIZE")).body
    admin.act(f"payments/{payment_id}/capture", amount=1000)
    refund = admin.act(f"payments/{payment_id}/refund", amount=300)
    admin.act(f"refunds/{refund['reference']}/fail")
    admin.act(f"payments/{payment_id}/reverse", amount=100)
    dispute = admin.act(f"payments/{payment_id}/dispute", amount=600)
    before = admin.payment(payment_id)
    own_simulator.kill()
    own_simulator.start()
    assert admin.payment(payment_id) == before
    shown = _get(admin, f"/v1/customer/disputes/{dispute['reference']}")
    assert shown["dispute_amount"]["value"] == "6.00"
    assert {one.status for one in _payments(paypal, order.id).refunds} == {"FAILED", "COMPLETED"}
