"""Webhooks arrive signed as the vendors sign them, and out of order or twice when told to."""

from collections.abc import Iterator

import orjson
import pytest
import stripe

from tests.support.simulator.admin import Admin, new_id
from tests.support.simulator.clients import (
    PayPal,
    PayPalHooks,
    card_charge,
    order_body,
    paypal_bearer,
)
from tests.support.simulator.receiver import Receiver, failing_endpoint
from tests.support.waiting import eventually

# Of deliveries to one endpoint at any moment.
_MORE_THAN_AT_ONCE = 140


@pytest.fixture
def endpoint(client: stripe.StripeClient, receiver: Receiver) -> Iterator[stripe.WebhookEndpoint]:
    endpoint = client.v1.webhook_endpoints.create(
        {"url": receiver.url, "enabled_events": ["payment_intent.succeeded", "charge.succeeded"]}
    )
    yield endpoint
    client.v1.webhook_endpoints.delete(endpoint.id)


async def test_stripe_s_client_verifies_what_arrives(
    client: stripe.StripeClient, receiver: Receiver, endpoint: stripe.WebhookEndpoint
) -> None:
    """Signed with the endpoint's secret, in order, only the events it asked for."""
    receiver.failures = 1
    intent = client.v1.payment_intents.create(card_charge(new_id()))
    await eventually(lambda: len(receiver.received) == 2)
    assert receiver.types() == ["charge.succeeded", "payment_intent.succeeded"]
    headers, body = receiver.received[1]
    assert endpoint.secret is not None
    event = client.construct_event(body, headers["Stripe-Signature"], endpoint.secret)
    assert event.data.object["id"] == intent.id
    assert client.v1.events.retrieve(event.id).type == event.type
    with pytest.raises(stripe.SignatureVerificationError):
        client.construct_event(body, headers["Stripe-Signature"], "whsec_other")


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize(
    ("kind", "types"),
    [
        ("reorder_webhooks", ["payment_intent.succeeded", "charge.succeeded"]),
        ("duplicate_webhook", ["charge.succeeded", "payment_intent.succeeded"] * 2),
    ],
)
async def test_webhooks_come_wrong_when_told_to(
    client: stripe.StripeClient, admin: Admin, receiver: Receiver, kind: str, types: list[str]
) -> None:
    """Out of order, or twice."""
    admin.arm(kind, vendor="stripe", times=1)
    client.v1.payment_intents.create(card_charge(new_id()))
    await eventually(lambda: len(receiver.received) == len(types))
    assert receiver.types() == types


@pytest.mark.usefixtures("endpoint")
async def test_a_dropped_webhook_never_comes(
    client: stripe.StripeClient, admin: Admin, receiver: Receiver
) -> None:
    """The next charge's webhooks come; the dropped one's do not."""
    dropped, told = new_id(), new_id()
    admin.arm("drop_webhook", payment_id=dropped)
    client.v1.payment_intents.create(card_charge(dropped))
    client.v1.payment_intents.create(card_charge(told))
    await eventually(lambda: len(receiver.received) == 2)
    metadata = [orjson.loads(body)["data"]["object"]["metadata"] for _, body in receiver.received]
    assert metadata == [{"payment_id": told}] * 2


async def test_paypal_verifies_its_own_notifications(
    paypal: PayPal, admin: Admin, receiver: Receiver
) -> None:
    """verify-webhook-signature says SUCCESS to what was sent and FAILURE to anything else."""
    hooks = PayPalHooks(admin.url, paypal_bearer(admin.url))
    webhook_id = receiver.listens_to_paypal(admin.url, "PAYMENT.CAPTURE.COMPLETED")
    paypal.create(order_body(new_id()))
    await eventually(lambda: len(receiver.received) == 1)
    headers, body = receiver.received[0]
    event = orjson.loads(body)
    assert event["resource"]["status"] == "COMPLETED"
    assert hooks.verdict(headers, webhook_id, event) == "SUCCESS"
    forged = {**event, "event_type": "PAYMENT.CAPTURE.DENIED"}
    assert hooks.verdict(headers, webhook_id, forged) == "FAILURE"


@pytest.mark.usefixtures("endpoint")
async def test_a_dropped_webhook_of_the_dashboard_never_comes(
    client: stripe.StripeClient, admin: Admin, receiver: Receiver
) -> None:
    """What is done there is told of as a request is, and can be kept silent as one."""
    silent, told = new_id(), new_id()
    for payment_id in (silent, told):
        client.v1.payment_intents.create(card_charge(payment_id, capture_method="manual"))
    admin.arm("drop_webhook", payment_id=silent)
    for payment_id in (silent, told):
        admin.act(f"payments/{payment_id}/capture")
    await eventually(lambda: "payment_intent.succeeded" in receiver.types())
    subjects = [event["data"]["object"] for event in receiver.events()]
    captured = [one["metadata"] for one in subjects if one["object"] == "payment_intent"]
    assert captured == [{"payment_id": told}]


@pytest.mark.parametrize("kind", ["dead", "hanging"])
async def test_an_endpoint_that_fails_delays_no_other(
    client: stripe.StripeClient, receiver: Receiver, kind: str
) -> None:
    """Whether it refuses to connect or never answers, and however much there is to tell."""
    with failing_endpoint(kind) as url:
        endpoints = [
            client.v1.webhook_endpoints.create(
                {"url": each, "enabled_events": ["payment_intent.created"]}
            )
            for each in (url, receiver.url)
        ]
        for _ in range(_MORE_THAN_AT_ONCE):
            client.v1.payment_intents.create({"amount": 1000, "currency": "usd"})
        await eventually(lambda: len(receiver.received) == _MORE_THAN_AT_ONCE)
        for endpoint in endpoints:
            client.v1.webhook_endpoints.delete(endpoint.id)
