"""PaymentIntents before they are paid: found, updated, confirmed, canceled, and searched for."""

import pytest
import stripe

from tests.support.fixtures.simulator import SimulatorProcess
from tests.support.simulator.admin import Admin, new_id
from tests.support.simulator.clients import Json, card_charge, stripe_client


def _unconfirmed(payment_id: str, **more: Json) -> Json:
    return {**card_charge(payment_id, **more), "confirm": False}


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
