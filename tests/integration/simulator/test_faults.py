"""Scripted faults do what they say: before means nothing happened, after means it did."""

import time

import pytest
import requests
import stripe
from paypalserversdk.exceptions.error_exception import (  # type: ignore[import-untyped]  # no types
    ErrorException,
)

from tests.support.simulator.admin import Admin, new_id
from tests.support.simulator.clients import (
    PayPal,
    card_charge,
    order_body,
    paypal_bearer,
    stripe_client,
)

# Longer than any client waits.
_FOR_EVER_MS = 600_000


@pytest.mark.parametrize(
    ("kind", "charged"),
    [
        ("rate_limit", False),
        ("error_before", False),
        ("error_during", False),
        ("reset_before", False),
        ("hang_before", False),
        ("error_after", True),
        ("reset_after", True),
        ("hang_after", True),
        ("truncate", True),
    ],
)
def test_every_failure_says_nothing_but_the_journal_does(
    client: stripe.StripeClient, admin: Admin, kind: str, *, charged: bool
) -> None:
    """The client is left with an error; whether money moved is in the journal alone."""
    payment_id = new_id()
    admin.arm(kind, vendor="stripe", operation="charge", times=1, milliseconds=50)
    with pytest.raises(stripe.StripeError) as failed:
        client.v1.payment_intents.create(card_charge(payment_id))
    assert not isinstance(failed.value, stripe.CardError)
    (entry,) = admin.journal(payment_id=payment_id)
    assert entry["fault"] == kind
    assert (entry["effect"] == "charged") is charged
    assert admin.payment(payment_id)["charges"] == int(charged)


def test_latency_delays_one_vendor_s_operation_only(
    client: stripe.StripeClient, admin: Admin
) -> None:
    """Milliseconds are added to what the fault names and to nothing else."""
    admin.arm("latency", vendor="stripe", operation="charge", milliseconds=300)
    began = time.monotonic()
    client.v1.payment_intents.create(card_charge(new_id()))
    # Timers go by whole milliseconds, and may be early by one.
    assert time.monotonic() - began > 0.29
    admin.arm("latency", vendor="stripe", operation="charge", milliseconds=_FOR_EVER_MS)
    client.v1.balance.retrieve()


def test_a_share_of_requests_fails(client: stripe.StripeClient, admin: Admin) -> None:
    """About a half of them, as asked."""
    admin.arm("rate_limit", vendor="stripe", operation="balance", share=0.5)
    failed = 0
    for _ in range(100):
        try:
            client.v1.balance.retrieve()
        except stripe.RateLimitError:
            failed += 1
    assert 25 <= failed <= 75


def test_an_object_is_hidden_and_then_found(client: stripe.StripeClient, admin: Admin) -> None:
    """Searches and retrieves miss a fresh object for as long as they are told to."""
    payment_id = new_id()
    intent = client.v1.payment_intents.create(card_charge(payment_id))
    query = {"query": f"metadata['payment_id']:'{payment_id}'"}
    admin.arm("not_found", vendor="stripe", operation="search", times=1)
    admin.arm("not_found", vendor="stripe", operation="retrieve", times=1)
    assert client.v1.payment_intents.search(query).data == []  # type: ignore[arg-type]  # a literal
    assert len(client.v1.payment_intents.search(query).data) == 1  # type: ignore[arg-type]  # same
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.retrieve(intent.id)
    assert client.v1.payment_intents.retrieve(intent.id).id == intent.id


def test_a_fault_may_name_one_payment(admin: Admin) -> None:
    """Other payments are unaffected."""
    payment_id = new_id()
    admin.arm("rate_limit", payment_id=payment_id)
    healthy = stripe_client(admin.url)
    assert healthy.v1.payment_intents.create(card_charge(new_id())).status == "succeeded"
    with pytest.raises(stripe.RateLimitError):
        healthy.v1.payment_intents.create(card_charge(payment_id))


@pytest.mark.parametrize("kind", ["error_after", "reset_after", "truncate"])
def test_paypal_tells_the_truth_under_the_same_request_id(
    paypal: PayPal, admin: Admin, kind: str
) -> None:
    """A lost answer is found again by the same request, which makes no second order."""
    payment_id, request_id = new_id(), new_id()
    body = order_body(payment_id)
    admin.arm(kind, vendor="paypal", operation="charge", times=1)
    with pytest.raises(Exception):  # noqa: B017, PT011 -- the SDK lets its HTTP library's through
        paypal.create(body, request_id)
    again = paypal.create(body, request_id)
    assert (again.status_code, again.body.status) == (200, "COMPLETED")
    assert admin.payment(payment_id)["charges"] == 1


def test_a_fault_says_its_own_status_headers_and_body(admin: Admin) -> None:
    """In place of the vendor's, whatever the case of a header's name; others stay."""
    bearer = paypal_bearer(admin.url)
    admin.arm(
        "error_before",
        vendor="paypal",
        times=1,
        status=503,
        headers={"retry-after": "17", "PAYPAL-DEBUG-ID": "scripted"},
        body="<html>away</html>",
    )
    path = f"{admin.url}/v1/notifications/webhooks"
    answer = requests.get(path, headers=bearer, timeout=5)
    assert (answer.status_code, answer.text) == (503, "<html>away</html>")
    assert answer.headers["Retry-After"] == "17"
    assert answer.headers["Paypal-Debug-Id"] == "scripted"
    assert answer.headers["Content-Type"] == "application/json"


def test_a_limited_rate_says_when_to_come_back(admin: Admin) -> None:
    """As both vendors may; what is no header is refused."""
    admin.arm(
        "rate_limit",
        vendor="stripe",
        times=1,
        headers={"Retry-After": "2", "Stripe-Should-Retry": "true"},
    )
    with pytest.raises(stripe.RateLimitError) as limited:
        stripe_client(admin.url).v1.balance.retrieve()
    assert limited.value.headers is not None
    assert limited.value.headers["Retry-After"] == "2"
    assert limited.value.headers["Stripe-Should-Retry"] == "true"
    url, headers = f"{admin.url}/_simulator/faults", {"Retry-After": "2\r\nX: y"}
    refused = requests.post(url, json={"kind": "rate_limit", "headers": headers}, timeout=5)
    assert refused.status_code == 422


def test_paypal_keeps_no_error_that_did_nothing(paypal: PayPal, admin: Admin) -> None:
    """The same request makes the order afterwards, for the first time."""
    payment_id, request_id = new_id(), new_id()
    admin.arm("error_during", vendor="paypal", operation="charge", times=1)
    with pytest.raises(ErrorException):
        paypal.create(order_body(payment_id), request_id)
    assert paypal.create(order_body(payment_id), request_id).status_code == 201
    assert admin.payment(payment_id)["charges"] == 1


def test_an_unknown_fault_is_refused(admin: Admin) -> None:
    """A typo in a script must not look like a healthy provider."""
    answer = requests.post(f"{admin.url}/_simulator/faults", json={"kind": "oops"}, timeout=5)
    assert answer.status_code == 422
    answer = requests.post(
        f"{admin.url}/_simulator/faults", json={"kind": "latency", "milisecond": 1}, timeout=5
    )
    assert answer.status_code == 422
