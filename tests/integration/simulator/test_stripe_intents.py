"""PaymentIntents before they are paid, and whose payment methods they may be paid with."""

import pytest
import stripe

from tests.support.fixtures.simulator import SimulatorProcess
from tests.support.simulator.admin import Admin, new_id
from tests.support.simulator.clients import Json, card_charge, stripe_client


def _unconfirmed(payment_id: str, **more: Json) -> Json:
    return {**card_charge(payment_id, **more), "confirm": False}


@pytest.fixture
def customer(client: stripe.StripeClient) -> stripe.Customer:
    return client.v1.customers.create({"email": "payer@example.com"})


def test_an_unconfirmed_intent_is_found_listed_confirmed_and_canceled(
    client: stripe.StripeClient, admin: Admin
) -> None:
    """With a payment method it waits for its confirmation, and has moved nothing."""
    confirmed, canceled = new_id(), new_id()
    first = client.v1.payment_intents.create(_unconfirmed(confirmed))
    second = client.v1.payment_intents.create(_unconfirmed(canceled))
    assert first.status == second.status == "requires_confirmation"
    query = f"metadata['payment_id']:'{confirmed}' AND status:'requires_confirmation'"
    (found,) = client.v1.payment_intents.search({"query": query}).data
    assert (found.id, found.latest_charge, found.amount_received) == (first.id, None, 0)
    listed = client.v1.payment_intents.list({"limit": 2}).data
    assert [intent.id for intent in listed] == [second.id, first.id]
    assert client.v1.payment_intents.confirm(first.id).status == "succeeded"
    assert client.v1.payment_intents.cancel(second.id).status == "canceled"
    assert admin.payment(confirmed)["charges"] == 1


def test_an_intent_is_updated_until_it_is_paid(client: stripe.StripeClient) -> None:
    """Amount, currency and method before; afterwards only what is merely said."""
    params = _unconfirmed(new_id())
    del params["payment_method"]
    intent = client.v1.payment_intents.create(params)
    updated = client.v1.payment_intents.update(
        intent.id,
        {"amount": 1500, "payment_method": "pm_card_mastercard", "metadata": {"order": "7"}},
    )
    assert (updated.status, updated.amount) == ("requires_confirmation", 1500)
    assert updated.metadata.to_dict() == {**params["metadata"], "order": "7"}
    assert client.v1.payment_intents.confirm(intent.id).amount_received == 1500
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.payment_intents.update(intent.id, {"amount": 1600})
    assert (refused.value.code, refused.value.param) == (
        "payment_intent_unexpected_state",
        "amount",
    )
    assert "You may only update the amount" in (refused.value.user_message or "")
    said = client.v1.payment_intents.update(intent.id, {"metadata": {"order": ""}})
    assert said.metadata.to_dict() == params["metadata"]


def test_searches_are_limited_as_stripe_limits_them(own_simulator: SimulatorProcess) -> None:
    """Twenty in a second, and a header that says which limit it was; nothing else is limited."""
    client = stripe_client(own_simulator.url)
    refused: list[stripe.RateLimitError] = []
    for _ in range(200):
        try:
            client.v1.payment_intents.search({"query": "metadata['payment_id']:'none'"})
        except stripe.RateLimitError as error:
            refused.append(error)
            break
    assert refused
    assert refused[0].headers is not None
    assert refused[0].headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
    client.v1.payment_intents.list({"limit": 1})


def test_a_payment_method_is_its_customer_s_alone(
    client: stripe.StripeClient, customer: stripe.Customer
) -> None:
    """Used with that customer as often as wanted, refused without one and with another."""
    method = client.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    assert (method.id.startswith("pm_1"), method.customer) == (True, customer.id)
    listed = client.v1.payment_methods.list({"customer": customer.id}).data
    assert [one.id for one in listed] == [method.id]
    used: Json = {"payment_method": method.id}
    for _ in range(2):
        params = card_charge(new_id(), customer=customer.id, off_session=True, **used)
        intent = client.v1.payment_intents.create(params)
        assert (intent.status, intent.customer, intent.payment_method) == (
            "succeeded",
            customer.id,
            method.id,
        )
    other = client.v1.customers.create({})
    with pytest.raises(stripe.InvalidRequestError) as nobody_s:
        client.v1.payment_intents.create(card_charge(new_id(), **used))
    assert f"belongs to the Customer {customer.id}" in str(nobody_s.value)
    with pytest.raises(stripe.InvalidRequestError) as other_s:
        client.v1.payment_intents.create(card_charge(new_id(), customer=other.id, **used))
    assert other_s.value.code == "resource_missing"
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_methods.attach(method.id, {"customer": other.id})
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        client.v1.payment_intents.create(card_charge(new_id(), customer="cus_nobody"))
    assert (unknown.value.param, unknown.value.code) == ("customer", "resource_missing")


def test_a_payment_method_of_nobody_s_is_used_once(
    client: stripe.StripeClient, customer: stripe.Customer
) -> None:
    """Afterwards, and after it was detached, it is spent."""
    single = client.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
    used: Json = {"payment_method": single.id}
    assert client.v1.payment_intents.create(card_charge(new_id(), **used)).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        client.v1.payment_intents.create(card_charge(new_id(), **used))
    attached = client.v1.payment_methods.attach("pm_card_amex", {"customer": customer.id})
    client.v1.payment_methods.detach(attached.id)
    detached: Json = {"payment_method": attached.id, "customer": customer.id}
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        client.v1.payment_intents.create(card_charge(new_id(), **detached))


def test_a_card_that_declines_behind_a_method_declines(
    client: stripe.StripeClient, customer: stripe.Customer
) -> None:
    """The one that can be attached; the others are declined when they are."""
    method = client.v1.payment_methods.attach(
        "pm_card_chargeCustomerFail", {"customer": customer.id}
    )
    used: Json = {"payment_method": method.id, "customer": customer.id}
    with pytest.raises(stripe.CardError):
        client.v1.payment_intents.create(card_charge(new_id(), **used))
    with pytest.raises(stripe.CardError) as declined:
        client.v1.payment_methods.attach(
            "pm_card_visa_chargeDeclinedLostCard", {"customer": customer.id}
        )
    assert declined.value.code == "card_declined"


@pytest.mark.parametrize(
    ("options", "decline_code"),
    [
        ({"off_session": True}, "authentication_required"),
        ({"error_on_requires_action": True}, "authentication_not_handled"),
    ],
)
def test_a_payer_who_is_not_there_is_not_asked(
    client: stripe.StripeClient, options: Json, decline_code: str
) -> None:
    """A card that wants authentication is declined then, and only then."""
    card: Json = {"payment_method": "pm_card_authenticationRequired"}
    assert client.v1.payment_intents.create(card_charge(new_id(), **card)).status == (
        "requires_action"
    )
    with pytest.raises(stripe.CardError) as declined:
        client.v1.payment_intents.create(card_charge(new_id(), **card, **options))
    error: Json = declined.value.error
    assert (error.code, error.decline_code) == ("authentication_required", decline_code)


def test_off_session_is_said_with_a_confirmation(client: stripe.StripeClient) -> None:
    """Alone it is refused."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.payment_intents.create(_unconfirmed(new_id(), off_session=True))
    assert refused.value.param == "off_session"
