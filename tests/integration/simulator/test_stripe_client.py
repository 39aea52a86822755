"""Stripe's official client against the simulator: what works there works here, refusals too."""

import pytest
import stripe

from tests.support.simulator.admin import Admin, new_id
from tests.support.simulator.clients import Json, card_charge


def _error(raised: pytest.ExceptionInfo[Json]) -> Json:
    """The error object of an answer, whose every member the client's types make optional."""
    return raised.value.error


def test_a_confirmed_intent_is_charged(client: stripe.StripeClient) -> None:
    """Create with confirm charges the card and shows the charge when asked to expand it."""
    intent = client.v1.payment_intents.create(card_charge(new_id(), expand=["latest_charge"]))
    assert (intent.status, intent.amount_received) == ("succeeded", 1000)
    charge = intent.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert charge.captured
    assert client.v1.charges.retrieve(charge.id).payment_intent == intent.id


def test_manual_capture_takes_less_and_releases_the_rest(client: stripe.StripeClient) -> None:
    """A partial capture settles the intent at the amount captured."""
    intent = client.v1.payment_intents.create(card_charge(new_id(), capture_method="manual"))
    assert (intent.status, intent.amount_capturable) == ("requires_capture", 1000)
    captured = client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 400})
    assert (captured.status, captured.amount_received) == ("succeeded", 400)
    with pytest.raises(stripe.InvalidRequestError) as again:
        client.v1.payment_intents.capture(intent.id)
    assert again.value.code == "payment_intent_unexpected_state"
    assert _error(again).payment_intent.id == intent.id


def test_cancel_releases_an_authorization_once(client: stripe.StripeClient) -> None:
    """A void is an effect; a second void is a wrong state, and so is capturing what was voided."""
    intent = client.v1.payment_intents.create(card_charge(new_id(), capture_method="manual"))
    cancelled = client.v1.payment_intents.cancel(
        intent.id, {"cancellation_reason": "requested_by_customer"}
    )
    assert cancelled.status == "canceled"
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.cancel(intent.id)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.capture(intent.id)


def test_an_intent_can_be_confirmed_later(client: stripe.StripeClient) -> None:
    """Created, confirmed with a declined card, confirmed again with a good one."""
    params: Json = {**card_charge(new_id()), "confirm": False}
    del params["payment_method"]
    intent = client.v1.payment_intents.create(params)
    assert intent.status == "requires_payment_method"
    with pytest.raises(stripe.CardError):
        client.v1.payment_intents.confirm(
            intent.id, {"payment_method": "pm_card_visa_chargeDeclined"}
        )
    paid = client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert paid.status == "succeeded"
    charges = client.v1.charges.list({"payment_intent": intent.id})
    assert [charge.status for charge in charges.data] == ["succeeded", "failed"]


@pytest.mark.parametrize(
    ("method", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
        ("pm_card_radarBlock", "card_declined", "fraudulent"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
    ],
)
def test_declines_carry_code_and_intent(
    client: stripe.StripeClient, method: str, code: str, decline_code: str
) -> None:
    """A decline is a CardError with its codes and the intent it left behind."""
    with pytest.raises(stripe.CardError) as declined:
        client.v1.payment_intents.create(card_charge(new_id(), payment_method=method))
    error = _error(declined)
    assert (error.code, error.decline_code) == (code, decline_code)
    assert error.payment_intent.status == "requires_payment_method"
    assert error.payment_intent.last_payment_error.decline_code == decline_code


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"amuont": 1}, "parameter_unknown", "amuont"),
        ({"amount": "ten"}, "parameter_invalid_integer", "amount"),
        ({"amount": 49}, "amount_too_small", "amount"),
        ({"amount": 1_000_000_000_000}, "amount_too_large", "amount"),
        ({"currency": "xyz"}, None, "currency"),
        ({"payment_method": "pm_nobody"}, "resource_missing", "payment_method"),
        ({"automatic_payment_methods": {"enabled": True}}, None, "return_url"),
    ],
)
def test_bad_parameters_are_refused_by_name(
    client: stripe.StripeClient, change: Json, code: str | None, param: str
) -> None:
    """Validation fails with the parameter's name, before anything is made."""
    payment_id = new_id()
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.payment_intents.create(card_charge(payment_id, **change))
    assert (refused.value.code, refused.value.param) == (code, param)
    found = client.v1.payment_intents.search({"query": f"metadata['payment_id']:'{payment_id}'"})
    assert found.data == []


def test_refunds_never_exceed_the_charge(client: stripe.StripeClient, admin: Admin) -> None:
    """Partial refunds add up to the charge and no further."""
    payment_id = new_id()
    intent = client.v1.payment_intents.create(card_charge(payment_id))
    first = client.v1.refunds.create({"payment_intent": intent.id, "amount": 300})
    with pytest.raises(stripe.InvalidRequestError) as too_much:
        client.v1.refunds.create({"payment_intent": intent.id, "amount": 701})
    assert too_much.value.param == "amount"
    client.v1.refunds.create({"payment_intent": intent.id})
    with pytest.raises(stripe.InvalidRequestError) as again:
        client.v1.refunds.create({"payment_intent": intent.id})
    assert again.value.code == "charge_already_refunded"
    assert client.v1.refunds.retrieve(first.id).amount == 300
    listed = client.v1.refunds.list({"payment_intent": intent.id})
    assert [refund.amount for refund in listed.data] == [700, 300]
    assert admin.payment(payment_id)["refunded_minor"] == 1000


def test_lists_and_searches_are_paged_by_the_client(client: stripe.StripeClient) -> None:
    """Auto-pagination walks every page once, newest first, in lists and in searches."""
    batch = new_id()
    made = [
        client.v1.payment_intents.create(card_charge(new_id(), metadata={"batch": batch})).id
        for _ in range(7)
    ]
    query = f'metadata["batch"]:"{batch}" AND status:"succeeded"'
    searched = client.v1.payment_intents.search({"query": query, "limit": 3})
    assert [intent.id for intent in searched.auto_paging_iter()] == made[::-1]
    page = client.v1.payment_intents.list({"limit": 3, "starting_after": made[6]})
    assert [intent.id for intent in page.data] == made[5:2:-1]
    assert page.has_more
    before = client.v1.payment_intents.list({"limit": 2, "ending_before": made[0]})
    assert [intent.id for intent in before.data] == [made[2], made[1]]


def test_zero_and_three_decimal_currencies(client: stripe.StripeClient, admin: Admin) -> None:
    """JPY has no decimals, KWD three of which the last is zero; the journal speaks ISO."""
    yen, dinar = new_id(), new_id()
    client.v1.payment_intents.create(card_charge(yen, 500, currency="jpy"))
    client.v1.payment_intents.create(card_charge(dinar, 1230, currency="kwd"))
    assert admin.payment(yen)["charged_minor"] == 500
    assert admin.payment(dinar)["charged_minor"] == 1230
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.create(card_charge(new_id(), 1234, currency="kwd"))


def test_errors_have_the_vendor_s_classes(client: stripe.StripeClient, admin: Admin) -> None:
    """404, 429 and 500 raise what the client raises against Stripe."""
    with pytest.raises(stripe.InvalidRequestError) as missing:
        client.v1.payment_intents.retrieve("pi_nobody")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    assert missing.value.request_id is not None
    admin.arm("rate_limit", vendor="stripe", times=1)
    with pytest.raises(stripe.RateLimitError):
        client.v1.balance.retrieve()
    admin.arm("error_before", vendor="stripe", times=1)
    with pytest.raises(stripe.APIError):
        client.v1.balance.retrieve()
    keyless = stripe.StripeClient(" ", base_addresses={"api": admin.url})
    with pytest.raises(stripe.AuthenticationError):
        keyless.v1.balance.retrieve()


def test_events_tell_what_happened(client: stripe.StripeClient) -> None:
    """Each effect leaves events, newest first, with the object as it was."""
    intent = client.v1.payment_intents.create(card_charge(new_id()))
    client.v1.refunds.create({"payment_intent": intent.id, "amount": 100})
    events = client.v1.events.list({"limit": 5}).data
    assert [event.type for event in events] == [
        "charge.refunded",
        "refund.created",
        "payment_intent.succeeded",
        "charge.succeeded",
        "payment_intent.created",
    ]
    assert events[2].data.object["id"] == intent.id
