"""Stripe's gateway against a raw server: what it sends, and what it makes of what comes back."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from payments.outcome import Declined, NotFound, Operation, Outcome, Retriable, Succeeded, Unknown
from providers.gateway import Gateway
from providers.stripe.client import STRIPE_VERSION
from providers.stripe.config import StripeConfig
from providers.stripe.gateway import StripeGateway
from tests.support.providers import wire
from tests.support.providers.configs import configured
from tests.support.providers.requests import Payment

_KEY = "sk_test_do_not_tell"
_VARIABLES = {"PAYMENTS_STRIPE_API_KEY": _KEY}
_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@asynccontextmanager
async def stripe_at(url: str, timeout_s: float = 5.0) -> AsyncIterator[Gateway]:
    gateway = StripeGateway(configured(StripeConfig, url, timeout_s, _VARIABLES))
    try:
        yield gateway
    finally:
        await gateway.aclose()


def intent(payment: Payment, status: str = "succeeded", **fields: object) -> dict[str, object]:
    received = payment.amount.amount_minor if status == "succeeded" else 0
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "status": status,
        "amount": payment.amount.amount_minor,
        "amount_received": received,
        "currency": payment.amount.currency.lower(),
        "metadata": {"payment_id": str(payment.id)},
        "created": 1,
        **fields,
    }


def page(*items: object, has_more: bool = False) -> wire.Behaviour:
    return wire.reply(200, {"object": "list", "data": items, "has_more": has_more, "url": "/"})


_STATE = {"type": "invalid_request_error", "code": "payment_intent_unexpected_state"}
_WRONG_STATE = wire.reply(400, {"error": _STATE})


async def test_a_charge_is_one_confirmed_payment_intent() -> None:
    """The body, the key, the version, the credentials and the trace, as Stripe reads them."""
    payment = Payment()
    request = replace(
        payment.charge(
            metadata={"order": "7", "payment_id": "forged", "[]": "x", "long": "y" * 501}
        ),
        traceparent=_TRACE,
    )
    async with wire.serving(wire.reply(200, intent(payment))) as server, stripe_at(server.url) as s:
        assert await s.charge(request) == Succeeded("pi_1")
    (seen,) = server.seen
    assert (seen.method, seen.target) == ("POST", "/v1/payment_intents")
    assert seen.headers["idempotency-key"] == request.idempotency_key
    assert seen.headers["stripe-version"] == STRIPE_VERSION
    assert seen.headers["authorization"] == f"Bearer {_KEY}"
    assert seen.headers["traceparent"] == _TRACE
    assert seen.form == {
        "amount": "5000",
        "currency": "usd",
        "confirm": "true",
        "error_on_requires_action": "true",
        "capture_method": "automatic",
        "payment_method": "pm_card_visa",
        "payment_method_types[0]": "card",
        "description": "Two books",
        "metadata[order]": "7",
        "metadata[payment_id]": str(payment.id),
    }


@pytest.mark.parametrize(
    ("metadata", "argument", "sent"),
    [
        ({}, None, "pm_card_visa"),
        ({"payment_method": "pm_meta"}, None, "pm_meta"),
        ({"payment_method": "pm_meta"}, "pm_argument", "pm_argument"),
    ],
)
async def test_the_payment_method_is_chosen(
    metadata: dict[str, str], argument: str | None, sent: str
) -> None:
    """The request's own wins over its metadata's, which wins over the configured one."""
    payment = Payment()
    async with wire.serving(wire.reply(200, intent(payment))) as server, stripe_at(server.url) as s:
        await s.charge(payment.charge(metadata=metadata, payment_method=argument))
    assert server.seen[0].form["payment_method"] == sent
    assert "metadata[payment_method]" not in server.seen[0].form


async def test_a_refund_names_itself() -> None:
    """A refund can be found by its id, and a free-text reason goes where Stripe takes one."""
    payment = Payment()
    refund = {"id": "re_1", "status": "succeeded", "amount": 5000, "currency": "usd"}
    async with wire.serving(wire.reply(200, refund)) as server, stripe_at(server.url) as stripe:
        assert await stripe.refund(payment.refund("pi_1")) == Succeeded("re_1")
        await stripe.refund(replace(payment.refund("pi_1"), reason="duplicate"))
    assert server.seen[0].form == {
        "payment_intent": "pi_1",
        "amount": "5000",
        "metadata[reason]": "the second volume is missing",
        "metadata[payment_id]": str(payment.id),
        "metadata[refund_id]": str(payment.refund_id),
    }
    assert server.seen[1].form["reason"] == "duplicate"


_BROKEN: list[tuple[str, wire.Behaviour]] = [
    ("closed", wire.close),
    ("reset", wire.reset),
    ("cut", wire.truncated(200, intent(Payment()), keep=20)),
    ("garbage", wire.raw(b"\x00\x01")),
    ("a page", wire.reply(200, b"<html>Welcome</html>")),
    # Though compression was not offered.
    ("compressed", wire.reply(200, gzip.compress(b"{}"), {"Content-Encoding": "gzip"})),
    ("500", wire.reply(500, {"error": {"type": "api_error"}})),
]


@pytest.mark.parametrize("behaviour", [row[1] for row in _BROKEN], ids=[row[0] for row in _BROKEN])
async def test_after_the_request_was_sent_nothing_unclear_is_a_failure(
    behaviour: wire.Behaviour,
) -> None:
    """Stripe may have charged: only an inquiry can tell."""
    payment = Payment()
    async with wire.serving(behaviour) as server, stripe_at(server.url) as stripe:
        assert isinstance(await stripe.charge(payment.charge()), Unknown)
        assert isinstance(await stripe.capture(payment.capture("pi_1")), Unknown)
        assert isinstance(await stripe.void(payment.void("pi_1")), Unknown)
        assert isinstance(await stripe.refund(payment.refund("pi_1")), Unknown)
        assert isinstance(await stripe.inquire(payment.inquiry(Operation.CHARGE)), Unknown)


async def test_a_hang_is_unknown_and_a_refused_connection_retriable() -> None:
    """Where a call broke decides, not how long it took."""
    payment = Payment()
    async with wire.serving() as server, stripe_at(server.url, timeout_s=0.2) as stripe:
        server.then(server.hang)
        assert isinstance(await stripe.charge(payment.charge()), Unknown)
    async with stripe_at(wire.refused_url()) as stripe:
        outcome = await stripe.charge(payment.charge())
    assert outcome == Retriable("not_sent", "no connection: Connection refused", is_asked=False)


async def test_no_secret_is_in_what_an_outcome_says() -> None:
    """Stripe quotes the key it refuses; we do not."""
    refusals = [
        (401, f"Invalid API Key provided: {_KEY}"),
        (400, f"Bad key {_KEY} for card 4242 4242 4242 4242"),
    ]
    for status, message in refusals:
        error = {"error": {"type": "invalid_request_error", "message": message}}
        async with wire.serving(wire.reply(status, error)) as server, stripe_at(server.url) as s:
            said = repr(await s.charge(Payment().charge()))
        assert _KEY not in said
        assert "4242" not in said
    assert _KEY not in repr(configured(StripeConfig, "", variables=_VARIABLES))


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        ({"status": "succeeded", "amount_received": 5000}, Succeeded("pi_1")),
        ({"status": "succeeded", "amount_received": 10}, "amount_mismatch"),
        ({"status": "canceled"}, Declined("canceled", "canceled")),
        ({"status": "requires_capture"}, Declined("payment_intent_unexpected_state", "")),
    ],
)
async def test_a_capture_refused_for_its_state_is_settled_by_the_state(
    found: dict[str, object], outcome: Outcome | str
) -> None:
    """Captured already, and by the right amount, is what was wanted: it may have been us."""
    payment = Payment()
    look = wire.reply(200, intent(payment) | found)
    async with wire.serving(_WRONG_STATE, look) as server, stripe_at(server.url) as stripe:
        answer = await stripe.capture(payment.capture("pi_1"))
    assert (answer.code if isinstance(answer, Unknown) else answer) == outcome


async def test_a_state_that_cannot_be_read_leaves_the_call_unknown() -> None:
    """As long as it could have been us, the refusal decides nothing."""
    payment = Payment()
    limited = wire.reply(429, {})
    async with wire.serving(_WRONG_STATE, limited) as server, stripe_at(server.url) as stripe:
        assert isinstance(await stripe.void(payment.void("pi_1")), Unknown)


async def test_a_payment_the_search_does_not_know_is_found_in_the_list() -> None:
    """The search lags; the list is read, page after page, until the payment is on one."""
    payment, other = Payment(), intent(Payment(), id="pi_other")
    script = [page(), page(other, has_more=True), page(other, intent(payment))]
    async with wire.serving(*script) as server, stripe_at(server.url) as stripe:
        found = await stripe.inquire(payment.inquiry(Operation.CHARGE))
    assert found == Succeeded("pi_1")
    search, first, second = (parse_qs(urlsplit(seen.target).query) for seen in server.seen)
    assert search["query"] == [f"metadata['payment_id']:'{payment.id}'"]
    assert second["starting_after"] == ["pi_other"]
    created_ms = payment.id.int >> 80
    assert int(first["created[gte]"][0]) == created_ms // 1000 - 300


async def test_the_age_of_a_search_hit_does_not_matter() -> None:
    """The index may show a payment as it was: its status is read from the payment itself."""
    payment = Payment()
    stale, fresh = intent(payment, "requires_confirmation"), intent(payment)
    script = [page(stale), wire.reply(200, fresh)]
    async with wire.serving(*script) as server, stripe_at(server.url) as stripe:
        assert await stripe.inquire(payment.inquiry(Operation.CHARGE)) == Succeeded("pi_1")
    assert server.seen[1].target == "/v1/payment_intents/pi_1"


async def test_a_list_that_cannot_be_read_leaves_the_charge_unknown() -> None:
    """The search's silence proves nothing; what the list would have shown is not known."""
    payment, other = Payment(), intent(Payment(), id="pi_other")
    inquiry = payment.inquiry(Operation.CHARGE)
    async with wire.serving(page(), page(other)) as server, stripe_at(server.url) as stripe:
        assert await stripe.inquire(inquiry) == NotFound()
        server.then(page(), wire.reply(400, {"error": _STATE}))
        assert isinstance(await stripe.inquire(inquiry), Unknown)


async def test_on_a_busy_account_the_newest_pages_are_read_and_the_key_has_to_tell() -> None:
    """No list of a busy account ends: not in sight means that the same key may ask."""
    payment, other = Payment(), intent(Payment(), id="pi_other")
    endless = page(other, has_more=True)
    async with wire.serving(page(), endless) as server, stripe_at(server.url) as stripe:
        assert await stripe.inquire(payment.inquiry(Operation.CHARGE)) == NotFound()
    assert len(server.seen) == 1 + 3


async def test_a_list_of_refunds_without_end_proves_nothing() -> None:
    """What a refusal means would be decided by it: not seeing the refund is no proof."""
    payment = Payment()
    other = {"id": "re_1", "status": "succeeded", "amount": 1, "currency": "usd", "metadata": {}}
    refused = {"error": _STATE | {"code": "charge_already_refunded"}}
    script = [wire.reply(400, refused), page(other, has_more=True)]
    async with wire.serving(*script) as server, stripe_at(server.url) as stripe:
        assert isinstance(await stripe.refund(payment.refund("pi_1")), Unknown)


async def test_a_known_reference_that_is_missing_is_no_proof() -> None:
    """Stripe gave us the id, so it exists: its absence is Stripe's trouble, not an answer."""
    missing = {"error": {"type": "invalid_request_error", "code": "resource_missing"}}
    async with wire.serving(wire.reply(404, missing)) as server, stripe_at(server.url) as stripe:
        found = await stripe.inquire(Payment().inquiry(Operation.CAPTURE, "pi_1"))
    assert isinstance(found, Retriable)


async def test_a_reference_cannot_leave_its_place_in_the_path() -> None:
    """A reference is data, whatever it contains."""
    async with wire.serving() as server, stripe_at(server.url) as stripe:
        await stripe.void(Payment().void("../refunds?x=1#"))
    assert server.seen[0].target == "/v1/payment_intents/..%2Frefunds%3Fx%3D1%23/cancel"
