"""Stripe's dashboard: what is done there, its official client reads, and events tell of."""

import pytest
import stripe

from tests.support.fixtures.simulator import SimulatorProcess
from tests.support.simulator.admin import Admin, new_id
from tests.support.simulator.clients import card_charge, stripe_client


def _types(client: stripe.StripeClient, count: int) -> list[str]:
    return [event.type for event in client.v1.events.list({"limit": count}).data]


def test_a_part_captured_there_is_all_that_is_received(
    client: stripe.StripeClient, admin: Admin
) -> None:
    """The rest is let go, and neither capture nor cancel is possible any more."""
    payment_id = new_id()
    intent = client.v1.payment_intents.create(card_charge(payment_id, capture_method="manual"))
    acted = admin.act(f"payments/{payment_id}/capture", amount=400)
    assert (acted["vendor"], acted["effect"], acted["amount_minor"]) == ("stripe", "captured", 400)
    assert acted["object"]["id"] == intent.id
    read = client.v1.payment_intents.retrieve(intent.id)
    assert (read.status, read.amount_received, read.amount_capturable) == ("succeeded", 400, 0)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.payment_intents.cancel(intent.id)
    assert refused.value.code == "payment_intent_unexpected_state"
    report = admin.payment(payment_id)
    assert (report["authorized_minor"], report["held_minor"], report["charged_minor"]) == (
        1000,
        0,
        400,
    )


def test_a_hold_voided_there_is_canceled(client: stripe.StripeClient, admin: Admin) -> None:
    """A second time Stripe refuses, as it refuses a client."""
    payment_id = new_id()
    intent = client.v1.payment_intents.create(card_charge(payment_id, capture_method="manual"))
    admin.act(f"payments/{payment_id}/void")
    assert client.v1.payment_intents.retrieve(intent.id).status == "canceled"
    again = admin.try_to(f"payments/{payment_id}/void")
    assert again.status_code == 400
    assert again.json()["object"]["error"]["code"] == "payment_intent_unexpected_state"


def test_a_refund_made_there_has_nothing_of_ours(client: stripe.StripeClient, admin: Admin) -> None:
    """It stands among the refunds of the intent, without metadata, and counts."""
    payment_id = new_id()
    intent = client.v1.payment_intents.create(card_charge(payment_id))
    acted = admin.act(f"payments/{payment_id}/refund", amount=300)
    (refund,) = client.v1.refunds.list({"payment_intent": intent.id}).data
    assert (refund.id, refund.amount, refund.status) == (acted["reference"], 300, "succeeded")
    assert refund.metadata is not None
    assert refund.metadata.to_dict() == {}
    charge = client.v1.charges.retrieve(refund.charge or "")  # type: ignore[arg-type]  # its id
    assert (charge.amount_refunded, charge.refunded) == (300, False)
    too_much = admin.try_to(f"payments/{payment_id}/refund", amount=701)
    assert too_much.status_code == 400
    assert admin.payment(payment_id)["refund_details"] == [
        {"reference": refund.id, "refund_id": None, "amount_minor": 300, "failed": False}
    ]


@pytest.mark.parametrize(
    ("outcome", "told", "withdrawn"),
    [
        ("won", ["charge.dispute.funds_reinstated", "charge.dispute.closed"], 0),
        ("lost", ["charge.dispute.closed"], 1000),
    ],
)
def test_a_dispute_takes_the_money_and_gives_it_back_when_won(
    client: stripe.StripeClient, admin: Admin, outcome: str, told: list[str], withdrawn: int
) -> None:
    """Meanwhile the charge cannot be refunded; lost, it never can."""
    payment_id = new_id()
    intent = client.v1.payment_intents.create(card_charge(payment_id, expand=["latest_charge"]))
    admin.act(f"payments/{payment_id}/dispute", reason="product_not_received")
    assert _types(client, 2) == ["charge.dispute.funds_withdrawn", "charge.dispute.created"]
    (dispute,) = client.v1.disputes.list({"payment_intent": intent.id}).data
    assert (dispute.status, dispute.amount, dispute.reason) == (
        "needs_response",
        1000,
        "product_not_received",
    )
    assert [one.amount for one in dispute.balance_transactions] == [-1000]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"payment_intent": intent.id, "amount": 1})
    assert refused.value.code == "charge_disputed"

    admin.act(f"payments/{payment_id}/dispute/close", outcome=outcome)
    assert _types(client, len(told)) == told
    closed = client.v1.disputes.retrieve(dispute.id)
    assert closed.status == outcome
    assert -sum(one.amount for one in closed.balance_transactions) == withdrawn
    charge = intent.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert client.v1.charges.retrieve(charge.id).disputed
    report = admin.payment(payment_id)
    assert (report["withdrawn_minor"], report["kept_minor"]) == (withdrawn, 1000 - withdrawn)
    assert report["disputes"] == [
        {
            "reference": dispute.id,
            "amount_minor": 1000,
            "state": outcome,
            "withdrawn_minor": withdrawn,
        }
    ]


def test_a_refund_comes_back_days_later(client: stripe.StripeClient, admin: Admin) -> None:
    """Failed with a reason, told of three times, and the money can be refunded again."""
    payment_id, refund_id = new_id(), new_id()
    intent = client.v1.payment_intents.create(card_charge(payment_id))
    refund = client.v1.refunds.create(
        {"payment_intent": intent.id, "metadata": {"refund_id": refund_id}}
    )
    admin.act(f"refunds/{refund_id}/fail", reason="expired_or_canceled_card")
    assert _types(client, 3) == ["charge.refund.updated", "refund.updated", "refund.failed"]
    failed = client.v1.refunds.retrieve(refund.id)
    assert (failed.status, failed.failure_reason) == ("failed", "expired_or_canceled_card")
    assert failed.failure_balance_transaction is not None
    again = client.v1.refunds.create({"payment_intent": intent.id})
    assert (again.status, again.amount) == ("succeeded", 1000)
    assert admin.try_to(f"refunds/{refund.id}/fail").status_code == 404
    assert admin.payment(payment_id)["refunded_minor"] == 1000


def test_a_charge_is_pending_for_days(client: stripe.StripeClient, admin: Admin) -> None:
    """`processing` under its key too, neither captured nor refundable, until it is settled."""
    payment_id = new_id()
    admin.arm("pend", vendor="stripe", operation="charge", times=1)
    intent = client.v1.payment_intents.create(card_charge(payment_id))
    assert (intent.status, intent.amount_received) == ("processing", 0)
    assert admin.journal(payment_id=payment_id)[0]["effect"] is None
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.cancel(intent.id)
    admin.act(f"payments/{payment_id}/settle", outcome="succeeded")
    assert client.v1.payment_intents.retrieve(intent.id).amount_received == 1000
    assert _types(client, 2) == ["payment_intent.succeeded", "charge.succeeded"]


def test_a_charge_that_was_pending_fails(client: stripe.StripeClient, admin: Admin) -> None:
    """The intent wants another payment method, and says why."""
    payment_id = new_id()
    admin.arm("pend", vendor="stripe", operation="charge", times=1)
    intent = client.v1.payment_intents.create(card_charge(payment_id))
    admin.act(f"payments/{payment_id}/settle", outcome="failed")
    read = client.v1.payment_intents.retrieve(intent.id)
    assert read.status == "requires_payment_method"
    assert read.last_payment_error is not None
    assert admin.payment(payment_id)["charges"] == 0


def test_the_dashboard_s_doing_survives_a_restart(own_simulator: SimulatorProcess) -> None:
    """Disputes and refunds that came back are part of the journal."""
    client, admin = stripe_client(own_simulator.url), Admin(own_simulator.url)
    payment_id = new_id()
    intent = client.v1.payment_intents.create(card_charge(payment_id))
    refund = admin.act(f"payments/{payment_id}/refund", amount=300)
    admin.act(f"refunds/{refund['reference']}/fail")
    dispute = admin.act(f"payments/{payment_id}/dispute", amount=600)
    before = admin.payment(payment_id)
    own_simulator.kill()
    own_simulator.start()
    assert admin.payment(payment_id) == before
    assert client.v1.disputes.retrieve(dispute["reference"]).amount == 600
    assert client.v1.refunds.retrieve(refund["reference"]).status == "failed"
    left = client.v1.refunds.create({"payment_intent": intent.id})
    assert left.amount == 400


def test_what_nobody_has_and_what_stripe_does_not_do_is_said(
    client: stripe.StripeClient, admin: Admin
) -> None:
    """404 without such a payment, 422 for what does not exist, each with a sentence."""
    payment_id = new_id()
    assert admin.try_to(f"payments/{payment_id}/refund").status_code == 404
    client.v1.payment_intents.create(card_charge(payment_id))
    refused = admin.try_to(f"payments/{payment_id}/reverse")
    assert refused.status_code == 422
    assert "dispute" in refused.json()["error"]
    assert admin.try_to(f"payments/{payment_id}/dispute/close", outcome="won").status_code == 404
    assert admin.try_to(f"payments/{payment_id}/refund", amuont=1).status_code == 422
    assert admin.try_to(f"payments/{payment_id}/void", vendor="x").status_code == 422
