"""Stripe's customers and their payment methods, with Stripe's official client."""

from __future__ import annotations

import pytest
import stripe

from tests.support.simulator.admin import new_id
from tests.support.simulator.clients import Json, card_charge


def made(client: stripe.StripeClient, token: str = "tok_visa") -> str:
    """A method that nobody has yet."""
    return client.v1.payment_methods.create({"type": "card", "card": {"token": token}}).id


def owned(client: stripe.StripeClient, token: str = "tok_visa") -> tuple[str, str]:
    """A method and the customer that it is attached to."""
    customer = client.v1.customers.create({"email": "payer@example.com"}).id
    attached = client.v1.payment_methods.attach(made(client, token), {"customer": customer})
    assert attached.customer == customer
    return attached.id, customer


def charged(client: stripe.StripeClient, method: str, **more: Json) -> stripe.PaymentIntent:
    params: Json = card_charge(new_id(), payment_method=method, **more)
    return client.v1.payment_intents.create(params)


def test_a_customers_method_pays_for_that_customer_only(client: stripe.StripeClient) -> None:
    """Without the customer, or with another, it is refused and nothing is made."""
    method, customer = owned(client)
    _, other = owned(client)
    for more in ({}, {"customer": other}):
        with pytest.raises(stripe.InvalidRequestError, match=f"belongs to the Customer {customer}"):
            charged(client, method, **more)
    intent = charged(client, method, customer=customer, off_session=True)
    assert (intent.status, intent.customer, intent.payment_method) == (
        "succeeded",
        customer,
        method,
    )
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        charged(client, method, customer="cus_nobody")


def test_a_method_has_the_card_it_was_made_of(client: stripe.StripeClient) -> None:
    """By number or token; a decline is the card's, whoever it belongs to."""
    params: Json = {"type": "card", "card": {"number": "5555555555554444"}}
    by_number = client.v1.payment_methods.create(params)
    assert by_number.card is not None
    assert (by_number.card.brand, by_number.card.last4) == ("mastercard", "4444")
    method, customer = owned(client, "tok_chargeDeclinedInsufficientFunds")
    with pytest.raises(stripe.CardError) as declined:
        charged(client, method, customer=customer, off_session=True)
    assert declined.value.code == "card_declined"
    assert client.v1.payment_methods.retrieve(method).customer == customer


def test_a_detached_method_pays_no_more(client: stripe.StripeClient) -> None:
    """Nor can it be attached again; that of another customer's cannot be attached at all."""
    method, customer = owned(client)
    other = client.v1.customers.create({}).id
    with pytest.raises(stripe.InvalidRequestError, match="already been attached"):
        client.v1.payment_methods.attach(method, {"customer": other})
    assert client.v1.payment_methods.detach(method).customer is None
    for again in (
        lambda: charged(client, method, customer=customer),
        lambda: client.v1.payment_methods.attach(method, {"customer": customer}),
    ):
        with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
            again()


def test_a_test_method_becomes_the_customers_own(client: stripe.StripeClient) -> None:
    """Attached, `pm_card_visa` is a new one; as it is, it pays for anybody."""
    customer = client.v1.customers.create({}).id
    attached = client.v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    assert (attached.id == "pm_card_visa", attached.customer) == (False, customer)
    assert charged(client, "pm_card_visa", customer=customer).status == "succeeded"


@pytest.mark.parametrize("absent", ["off_session", "error_on_requires_action"])
def test_who_is_not_there_cannot_authenticate(client: stripe.StripeClient, absent: str) -> None:
    """Declined at once; and only what is confirmed now can be confirmed without the payer."""
    method, customer = owned(client, "tok_authenticationRequired")
    assert charged(client, method, customer=customer).status == "requires_action"
    with pytest.raises(stripe.CardError) as declined:
        charged(client, method, customer=customer, **{absent: True})
    assert declined.value.code == "authentication_required"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        charged(client, method, customer=customer, confirm=False, **{absent: True})
    assert refused.value.param == absent
