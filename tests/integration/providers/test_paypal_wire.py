"""PayPal's gateway against a raw server: its token, its two steps, and what may go wrong."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import timedelta

import pytest

from payments.outcome import (
    Declined,
    NotFound,
    Operation,
    Retriable,
    Succeeded,
    Unknown,
    Unresolvable,
)
from payments.record import replace
from providers.notifications import Verdict
from providers.paypal.client import PayPalClient
from providers.paypal.notifications import verify_paypal
from tests.support.providers import wire
from tests.support.providers.paypal import (
    CAPTURE,
    CREATED,
    DONE,
    SECRET,
    USD,
    Clock,
    config,
    movement,
    paypal_at,
    refusal,
    token,
)
from tests.support.providers.requests import Payment

_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_charge_is_an_order_and_its_capture() -> None:
    """Two requests with a key each, and the payment source only in the one that moves money."""
    payment = Payment()
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(token=token(), orders=wire.reply(201, CREATED), capture=wire.reply(201, DONE))
        request = replace(payment.charge(), traceparent=_TRACE)
        assert await paypal.charge(request) == Succeeded("O1/capture/C1")
    granted, created, captured = server.seen
    assert granted.headers["authorization"] == (
        "Basic " + base64.b64encode(f"client:{SECRET}".encode()).decode()
    )
    assert json.loads(created.body) == {
        "intent": "CAPTURE",
        "purchase_units": [
            {"custom_id": str(payment.id), "invoice_id": str(payment.id), "amount": USD}
        ],
    }
    assert captured.target == "/v2/checkout/orders/O1/capture"
    assert json.loads(captured.body) == {"payment_source": {"paypal": {"vault_id": "vault-1"}}}
    keys = [seen.headers["paypal-request-id"] for seen in (created, captured)]
    assert keys == [f"{request.idempotency_key}-create", f"{request.idempotency_key}-capture"]
    for seen in (created, captured):
        assert seen.headers["authorization"] == "Bearer token-1"
        assert seen.headers["prefer"] == "return=representation"
        assert seen.headers["traceparent"] == _TRACE


async def test_a_customers_vaulted_method_is_charged_as_theirs() -> None:
    """By the vault id that was chosen, with PayPal's id of the customer; metadata have no say."""
    request = Payment().charge(
        payment_method="8kk8451t", customer="C7", metadata={"payment_method": "stolen"}
    )
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(token=token(), orders=wire.reply(201, CREATED), capture=wire.reply(201, DONE))
        await paypal.charge(request)
    assert json.loads(server.seen[-1].body) == {
        "payment_source": {
            "paypal": {"vault_id": "8kk8451t", "attributes": {"customer": {"id": "C7"}}}
        }
    }


@pytest.mark.parametrize(
    "behaviour", [wire.close, wire.raw(b"\x00"), wire.reply(500, {}), wire.reply(200, b"<html>")]
)
async def test_an_order_without_an_answer_is_no_doubt(behaviour: wire.Behaviour) -> None:
    """Creating an order moves no money, so it can simply be tried again; capturing it does."""
    payment = Payment()
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(token=token(), orders=behaviour)
        assert isinstance(await paypal.charge(payment.charge()), Retriable)
        server.route(token=token(), orders=wire.reply(201, CREATED), capture=behaviour)
        assert isinstance(await paypal.charge(payment.charge()), Unknown)


async def test_an_order_that_may_have_been_paid_before_is_a_doubt() -> None:
    """PayPal has seen this invoice, or is working on it: money may have moved."""
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(token=token(), orders=refusal(422, "DUPLICATE_INVOICE_ID"))
        assert isinstance(await paypal.charge(Payment().charge()), Unknown)
        server.route(token=token(), orders=wire.reply(409, {}))
        assert isinstance(await paypal.charge(Payment().charge()), Unknown)


async def test_an_order_captured_before_is_not_captured_again() -> None:
    """A repeated order that comes back with its capture is done."""
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(token=token(), orders=wire.reply(200, DONE))
        assert await paypal.charge(Payment().charge()) == Succeeded("O1/capture/C1")


async def test_a_capture_refused_as_done_is_settled_by_the_order() -> None:
    """Captured already is what was wanted: it may have been us."""
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(
            token=token(),
            orders=wire.reply(201, CREATED),
            capture=refusal(422, "ORDER_ALREADY_CAPTURED"),
            O1=wire.reply(200, DONE),
        )
        assert await paypal.charge(Payment().charge()) == Succeeded("O1/capture/C1")


async def test_a_reference_of_another_kind_is_refused_here() -> None:
    """An authorization is not refunded, and another provider's name is none: nothing is sent."""
    payment = Payment()
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        for outcome in (
            await paypal.void(payment.void("pi_1")),
            await paypal.capture(payment.capture("pi_1")),
            await paypal.refund(payment.refund("O1/authorization/A1")),
        ):
            assert isinstance(outcome, Declined)
            assert outcome.code == "invalid_reference"
    assert not server.seen


async def test_what_was_charged_at_once_has_nothing_to_void() -> None:
    """Its order shows no authorization, or cannot be read: then nothing is known of it."""
    void = Payment().void("O1/capture/C1")
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(token=token(), O1=wire.reply(200, DONE))
        outcome = await paypal.void(void)
        assert isinstance(outcome, Declined)
        assert outcome.code == "invalid_reference"
        server.route(O1=wire.reply(500, {}))
        assert isinstance(await paypal.void(void), Unknown)
    assert not any("void" in target for target in _paths(server))


async def test_one_token_serves_all_until_it_expires() -> None:
    """Calls that start together share one fetch, and later ones what it brought."""
    clock = Clock()
    async with wire.serving() as server, paypal_at(server.url, clock) as paypal:
        server.route(token=token(expires_in=3600), orders=refusal(422, "NO"))
        await asyncio.gather(*(paypal.charge(Payment().charge()) for _ in range(20)))
        clock.now += timedelta(seconds=3500)
        await paypal.charge(Payment().charge())
        assert _paths(server).count("/v1/oauth2/token") == 1
        clock.now += timedelta(seconds=60)
        await paypal.charge(Payment().charge())
        assert _paths(server).count("/v1/oauth2/token") == 2


async def test_calls_that_wait_for_a_token_share_its_failure() -> None:
    """Twenty calls do not knock twenty times at a token endpoint that is down."""
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(token=wire.reply(503, {}, after_s=0.05))
        outcomes = await asyncio.gather(*(paypal.charge(Payment().charge()) for _ in range(20)))
        assert _paths(server) == ["/v1/oauth2/token"]
        assert (
            outcomes
            == [Retriable("server_error", "no access token: HTTP 503", is_asked=False)] * 20
        )
        await paypal.charge(Payment().charge())
        assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (wire.close, "no_answer"),
        (wire.raw(b"\x00"), "no_answer"),
        (wire.reply(500, {}), "server_error"),
        (wire.reply(401, {"error": "invalid_client"}), "unauthorized"),
        (wire.reply(429, {}), "rate_limited"),
        (wire.reply(200, b"<html>"), "unreadable_answer"),
        (wire.reply(200, {"access_token": "a\r\nb", "expires_in": 1}), "unreadable_answer"),
        (wire.reply(200, {"access_token": "a", "expires_in": 1e300}), "unreadable_answer"),
    ],
)
async def test_without_a_token_nothing_was_asked(behaviour: wire.Behaviour, code: str) -> None:
    """However the token endpoint fails, the payment was not touched."""
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(token=behaviour)
        outcome = await paypal.charge(Payment().charge())
    assert isinstance(outcome, Retriable)
    assert outcome.code == code
    assert SECRET not in repr(outcome)


async def test_a_token_that_is_refused_is_replaced_once() -> None:
    """A token revoked before its time costs one more request, a revoked client not a loop."""
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.then(
            token("old"), wire.reply(401, {}), token("new"), wire.reply(201, CREATED),
            wire.reply(201, DONE),
        )  # fmt: skip
        assert await paypal.charge(Payment().charge()) == Succeeded("O1/capture/C1")
        used = [seen.headers["authorization"] for seen in server.seen]
        assert used[1:] == ["Bearer old", used[2], "Bearer new", "Bearer new"]
        server.route(token=token(), orders=wire.reply(401, {}))
        outcome = await paypal.charge(Payment().charge())
    assert isinstance(outcome, Retriable)
    assert outcome.code == "unauthorized"
    assert len(server.seen) == 8


async def test_an_unanswered_charge_is_found_by_making_its_order_again() -> None:
    """The same request id gives the same order back, which is then read afresh."""
    payment = Payment()
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(token=token(), orders=wire.reply(200, CREATED), O1=wire.reply(200, DONE))
        found = await paypal.inquire(payment.inquiry(Operation.CHARGE))
        assert found == Succeeded("O1/capture/C1")
        server.route(token=token(), orders=wire.reply(201, CREATED), O1=wire.reply(200, CREATED))
        assert await paypal.inquire(payment.inquiry(Operation.CHARGE)) == NotFound()
        charged = server.seen[1]
        server.route(orders=wire.reply(201, CREATED), capture=wire.reply(201, DONE))
        await paypal.charge(payment.charge())
    assert "capture" not in " ".join(_paths(server)[:5])
    assert charged.body == server.seen[-2].body
    assert charged.headers["paypal-request-id"] == server.seen[-2].headers["paypal-request-id"]


async def test_once_paypal_may_have_forgotten_the_key_nothing_is_found() -> None:
    """A new empty order instead of the old one would look like proof that nothing happened."""
    clock, payment = Clock(), Payment()
    inquiry = payment.inquiry(Operation.CHARGE)
    clock.now += timedelta(hours=5, minutes=55)
    async with wire.serving() as server, paypal_at(server.url, clock) as paypal:
        assert isinstance(await paypal.inquire(inquiry), Unresolvable)
        assert not server.seen
        server.route(token=token(), orders=wire.reply(200, CREATED), O1=wire.reply(200, DONE))
        asked_lately = replace(inquiry, first_asked_at=clock.now - timedelta(hours=1))
        assert await paypal.inquire(asked_lately) == Succeeded("O1/capture/C1")


async def test_what_was_asked_of_an_order_is_found_on_it_at_whatever_age() -> None:
    """Only the order's own key is forgotten; its captures and refunds carry our ids."""
    clock, payment = Clock(), Payment()
    refund = movement("COMPLETED", "R1", custom_id=str(payment.refund_id))
    unit = {"payments": {"captures": [CAPTURE], "refunds": [refund]}}
    order = wire.reply(200, CREATED | {"status": "COMPLETED", "purchase_units": [unit]})
    clock.now += timedelta(days=46)
    async with wire.serving() as server, paypal_at(server.url, clock) as paypal:
        server.route(token=token(), O1=order)
        for operation, reference, found in (
            (Operation.CHARGE, "O1/capture/C1", "O1/capture/C1"),
            (Operation.CAPTURE, "O1/authorization/A1", "O1/capture/C1"),
            (Operation.REFUND, "O1/capture/C1", "R1"),
        ):
            inquiry = payment.inquiry(operation, reference)
            assert await paypal.inquire(inquiry) == Succeeded(found)


async def test_an_inquiry_that_is_refused_says_nothing() -> None:
    """A refusal of the question is no answer about the payment."""
    payment = Payment()
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(token=token(), orders=refusal(422, "NO"), O1=refusal(422, "NO"))
        for reference in (None, "O1/capture/C1", "pi_1"):
            found = await paypal.inquire(payment.inquiry(Operation.CHARGE, reference))
            assert isinstance(found, Unknown)


@pytest.mark.parametrize(
    ("behaviour", "verdict"),
    [
        (wire.reply(200, {"verification_status": "SUCCESS"}), Verdict.VALID),
        (wire.reply(200, {"verification_status": "FAILURE"}), Verdict.MISMATCH),
        (wire.reply(200, b"<html>"), Verdict.UNDECIDED),
        (wire.reply(500, {}), Verdict.UNDECIDED),
        (wire.close, Verdict.UNDECIDED),
    ],
)
async def test_a_webhook_is_what_paypal_says_it_is(
    behaviour: wire.Behaviour, verdict: Verdict
) -> None:
    """Only a clear yes is one; when PayPal cannot be asked, it shall send the webhook again."""
    names = ("ALGO", "URL", "ID", "SIG", "TIME")
    groups = ("AUTH", "CERT", "TRANSMISSION", "TRANSMISSION", "TRANSMISSION")
    headers = {f"PAYPAL-{group}-{name}": "x" for group, name in zip(groups, names, strict=True)}
    async with wire.serving() as server:
        client = PayPalClient(config(server.url))
        server.then(token(), behaviour)
        assert await verify_paypal(client, "WEBHOOK", headers, b'{"id": "WH-1"}') is verdict
        assert await verify_paypal(client, "WEBHOOK", {}, b"{}") is Verdict.MALFORMED
        await client.aclose()


def _paths(server: wire.Wire) -> list[str]:
    return [seen.target for seen in server.seen]
