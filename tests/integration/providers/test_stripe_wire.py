"""Stripe's gateway against a raw server: what it sends, and what it makes of what comes back."""

from __future__ import annotations

import gzip

import pytest

from payments.money import Money
from payments.outcome import (
    CapturedElsewhere,
    Declined,
    NotFound,
    Operation,
    Outcome,
    Pending,
    Retriable,
    Succeeded,
    Unknown,
)
from payments.record import replace
from providers.stripe.client import STRIPE_VERSION
from providers.stripe.config import StripeConfig
from tests.support.providers import wire
from tests.support.providers.configs import configured
from tests.support.providers.requests import Payment
from tests.support.providers.stripe import (
    KEY,
    MISSING,
    RATE_LIMITED,
    VARIABLES,
    asked_for,
    intent,
    page,
    stripe_at,
)

_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
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
    assert seen.headers["authorization"] == f"Bearer {KEY}"
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


@pytest.mark.parametrize(("chosen", "sent"), [(None, "pm_card_visa"), ("pm_chosen", "pm_chosen")])
async def test_the_payment_method_is_what_was_chosen(chosen: str | None, sent: str) -> None:
    """Or the configured one; the metadata have no say, and are not told either."""
    payment, metadata = Payment(), {"payment_method": "pm_meta"}
    async with wire.serving(wire.reply(200, intent(payment))) as server, stripe_at(server.url) as s:
        await s.charge(payment.charge(metadata=metadata, payment_method=chosen))
    assert server.seen[0].form["payment_method"] == sent
    assert "metadata[payment_method]" not in server.seen[0].form


async def test_a_customers_method_is_charged_off_session() -> None:
    """With the customer it is attached to, and as Stripe wants to know that nobody is there."""
    payment = Payment()
    request = payment.charge(payment_method="pm_1", customer="cus_1")
    async with wire.serving(wire.reply(200, intent(payment))) as server, stripe_at(server.url) as s:
        await s.charge(request)
    form = server.seen[0].form
    assert {name: form.get(name) for name in ("payment_method", "customer", "confirm")} == {
        "payment_method": "pm_1",
        "customer": "cus_1",
        "confirm": "true",
    }
    assert form["off_session"] == "true"
    assert "error_on_requires_action" not in form


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
        (401, f"Invalid API Key provided: {KEY}"),
        (400, f"Bad key {KEY} for card 4242 4242 4242 4242"),
    ]
    for status, message in refusals:
        error = {"error": {"type": "invalid_request_error", "message": message}}
        async with wire.serving(wire.reply(status, error)) as server, stripe_at(server.url) as s:
            said = repr(await s.charge(Payment().charge()))
        assert KEY not in said
        assert "4242" not in said
    assert KEY not in repr(configured(StripeConfig, "", variables=VARIABLES))


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        ({"status": "succeeded", "amount_received": 5000}, Succeeded("pi_1")),
        (
            {"status": "succeeded", "amount_received": 10},
            CapturedElsewhere("pi_1", Money(10, "USD")),
        ),
        ({"status": "processing"}, Pending("pending", "the capture is processing")),
        ({"status": "canceled"}, Declined("canceled", "canceled", is_released=True)),
        ({"status": "requires_capture"}, Declined("payment_intent_unexpected_state", "")),
    ],
)
async def test_a_capture_refused_for_its_state_is_settled_by_the_state(
    found: dict[str, object], outcome: Outcome
) -> None:
    """Captured already, and by the right amount, is what was wanted: it may have been us."""
    payment = Payment()
    look = wire.reply(200, intent(payment, str(found["status"])) | found)
    async with wire.serving(_WRONG_STATE, look) as server, stripe_at(server.url) as stripe:
        assert await stripe.capture(payment.capture("pi_1")) == outcome


@pytest.mark.parametrize(
    "code", ["charge_expired_for_capture", "capture_charge_authorization_expired"]
)
async def test_a_capture_that_comes_too_late_is_settled_by_the_state(code: str) -> None:
    """Whether anything is held still, the refusal does not say; the intent does."""
    payment = Payment()
    refusal = wire.reply(400, {"error": _STATE | {"code": code}})
    lapsed = wire.reply(200, intent(payment, "canceled", cancellation_reason="automatic"))
    async with wire.serving(refusal, lapsed) as server, stripe_at(server.url) as stripe:
        answer = await stripe.capture(payment.capture("pi_1"))
    assert answer == Declined("authorization_expired", "automatic", is_released=True)


async def test_a_void_that_comes_too_late_says_who_has_the_money() -> None:
    """Somebody captured it there: nothing is held any more that could be given back."""
    payment = Payment()
    taken = intent(payment, amount_received=4000)
    async with wire.serving(_WRONG_STATE, wire.reply(200, taken)) as s, stripe_at(s.url) as stripe:
        answer = await stripe.void(payment.void("pi_1"))
    assert answer == CapturedElsewhere("pi_1", Money(4000, "USD"))


async def test_a_state_that_cannot_be_read_leaves_the_call_unknown() -> None:
    """As long as it could have been us, the refusal decides nothing."""
    payment = Payment()
    async with wire.serving(_WRONG_STATE, RATE_LIMITED) as server, stripe_at(server.url) as stripe:
        assert isinstance(await stripe.void(payment.void("pi_1")), Unknown)


async def test_on_a_quiet_account_the_list_tells_all() -> None:
    """One read, of what is no older than the payment; nothing is searched for."""
    payment, other = Payment(), intent(Payment(), id="pi_other")
    async with wire.serving(page(other, intent(payment))) as server, stripe_at(server.url) as s:
        assert await s.inquire(payment.inquiry(Operation.CHARGE)) == Succeeded("pi_1")
        server.then(page(other))
        assert await s.inquire(payment.inquiry(Operation.CHARGE)) == NotFound()
    created_ms = payment.id.int >> 80
    assert [asked_for(seen) for seen in server.seen] == [
        {"limit": ["100"], "created[gte]": [str(created_ms // 1000 - 300)]}
    ] * 2


async def test_on_a_busy_account_the_search_knows_the_rest() -> None:
    """The index may show a payment as it was: its status is read from the payment itself."""
    payment, other = Payment(), intent(Payment(), id="pi_other")
    stale, fresh = intent(payment, "requires_confirmation"), intent(payment)
    script = [page(other, has_more=True), page(stale), wire.reply(200, fresh)]
    async with wire.serving(*script) as server, stripe_at(server.url) as stripe:
        assert await stripe.inquire(payment.inquiry(Operation.CHARGE)) == Succeeded("pi_1")
    assert asked_for(server.seen[1])["query"] == [f"metadata['payment_id']:'{payment.id}'"]
    assert server.seen[2].target == "/v1/payment_intents/pi_1"


async def test_on_a_busy_account_neither_shows_it_and_the_key_has_to_tell() -> None:
    """No list of a busy account ends: not in sight means that the same key may ask."""
    payment, other = Payment(), intent(Payment(), id="pi_other")
    script = [page(other, has_more=True), page()]
    async with wire.serving(*script) as server, stripe_at(server.url) as stripe:
        assert await stripe.inquire(payment.inquiry(Operation.CHARGE)) == NotFound()
    assert len(server.seen) == len(script)


async def test_every_intent_of_a_payment_that_has_money_is_named() -> None:
    """The list has the one, the search the other: a second charge is not passed over."""
    payment = Payment()
    newest, oldest = intent(payment, id="pi_2", created=2), intent(payment)
    script = [page(newest, has_more=True), page(newest, oldest), wire.reply(200, newest)]
    async with wire.serving(*script, wire.reply(200, oldest)) as server, stripe_at(server.url) as s:
        found = await s.inquire(payment.inquiry(Operation.CHARGE))
    assert found == Succeeded("pi_1", ("pi_2",))


@pytest.mark.parametrize(
    ("script", "found"),
    [
        # Paid is paid, whatever else could not be read.
        (["paid and more", RATE_LIMITED], Succeeded("pi_1")),
        # A declined one is no proof that another was not paid.
        (["declined and more", RATE_LIMITED], Retriable),
        (["nothing and more", RATE_LIMITED], Retriable),
        ([RATE_LIMITED, "nothing"], Retriable),
        ([RATE_LIMITED, "paid", "read"], Succeeded("pi_1")),
        ([wire.reply(400, {"error": _STATE}), "nothing"], Unknown),
        (["nothing and more", "nothing and more"], Unknown),
    ],
)
async def test_what_could_not_be_read_is_not_taken_for_absent(
    script: list[str | wire.Behaviour], found: Outcome | type[Outcome]
) -> None:
    """A search that Stripe puts off is made up for by the list, or made later."""
    payment = Payment()
    declined = {"type": "card_error", "code": "card_declined"}
    failed = intent(payment, "requires_payment_method", last_payment_error=declined)
    known: dict[str, wire.Behaviour] = {
        "paid": page(intent(payment)),
        "paid and more": page(intent(payment), has_more=True),
        "declined and more": page(failed, has_more=True),
        "nothing": page(),
        "nothing and more": page(intent(Payment(), id="pi_other"), has_more=True),
        "read": wire.reply(200, intent(payment)),
    }
    behaviours = [known[each] if isinstance(each, str) else each for each in script]
    async with wire.serving(*behaviours) as server, stripe_at(server.url) as stripe:
        answer = await stripe.inquire(payment.inquiry(Operation.CHARGE))
    assert answer == found or type(answer) is found


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
    async with wire.serving(MISSING) as server, stripe_at(server.url) as stripe:
        found = await stripe.inquire(Payment().inquiry(Operation.CAPTURE, "pi_1"))
    assert isinstance(found, Retriable)


async def test_a_reference_cannot_leave_its_place_in_the_path() -> None:
    """A reference is data, whatever it contains."""
    async with wire.serving() as server, stripe_at(server.url) as stripe:
        await stripe.void(Payment().void("../refunds?x=1#"))
    assert server.seen[0].target == "/v1/payment_intents/..%2Frefunds%3Fx%3D1%23/cancel"
