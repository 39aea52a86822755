"""Webhooks arrive signed as the vendors sign them, and out of order or twice when told to."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
from tests.support.waiting import eventually


@dataclass(slots=True)
class Receiver:
    """Somebody's webhook endpoint; `failures` is how many deliveries it refuses first."""

    url: str
    failures: int = 0
    received: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)

    def types(self) -> list[str]:
        return [
            orjson.loads(body).get("type") or orjson.loads(body)["event_type"]
            for _, body in self.received
        ]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if receiver.failures:
                receiver.failures -= 1
                self.send_response(503)
            else:
                receiver.received.append((dict(self.headers), body))
                self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: a test's output is its failures."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()


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
    webhook_id = hooks.register(receiver.url, "PAYMENT.CAPTURE.COMPLETED")
    paypal.create(order_body(new_id()))
    await eventually(lambda: len(receiver.received) == 1)
    headers, body = receiver.received[0]
    event = orjson.loads(body)
    assert event["resource"]["status"] == "COMPLETED"
    assert hooks.verdict(headers, webhook_id, event) == "SUCCESS"
    forged = {**event, "event_type": "PAYMENT.CAPTURE.DENIED"}
    assert hooks.verdict(headers, webhook_id, forged) == "FAILURE"
    hooks.remove(webhook_id)
