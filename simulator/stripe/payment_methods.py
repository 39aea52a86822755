"""Stripe's Customers and PaymentMethods: made of test cards, attached, detached, charged.

A method that is attached to a customer pays for that customer only, and one that was detached
pays no more. The documented test methods (`pm_card_...`) are nobody's; attached, such a one
becomes a method of the customer's own. Source: docs.stripe.com/api/payment_methods.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from simulator.stripe import cards, failures
from simulator.stripe.context import StripeContext
from simulator.stripe.forms import Form
from simulator.stripe.records import Customer, PaymentMethod
from simulator.stripe.state import StripeState
from simulator.vendor import Decision

_CUSTOMER: Final = ("description", "email", "expand", "metadata", "name")
_METHOD: Final = ("allow_redisplay", "billing_details", "card", "expand", "metadata", "type")
_USED: Final = (
    "This PaymentMethod was previously used without being attached to a Customer or was "
    "detached from a Customer, and may not be used again."
)


def create_customer(context: StripeContext, form: Form) -> Decision:
    """POST /v1/customers."""
    form.allow(_CUSTOMER)
    customer = Customer(
        id=context.ids.prefixed("cus_", length=14),
        created=context.at,
        email=form.text("email"),
        name=form.text("name"),
        metadata=form.metadata(),
    )
    return Decision(status=200, outcome="ok", writes=(customer,), keeps_key=True)


def customer(context: StripeContext, form: Form, customer_id: str) -> Decision:
    """GET /v1/customers/{id}."""
    form.allow(("expand",))
    return Decision(status=200, outcome="ok", subject=_customer(context.state, customer_id, "id"))


def create(context: StripeContext, form: Form) -> Decision:
    """POST /v1/payment_methods: a card by its number or by its test token."""
    form.allow(_METHOD)
    if form.required("type") != "card":
        raise failures.invalid("Only cards are simulated.", param="type")
    card = form.mapping("card")
    number, token = card.get("number"), card.get("token")
    like = cards.method_of_number(number) if isinstance(number, str) else None
    if isinstance(token, str):
        like = token.replace("tok_", "pm_card_", 1)
    if like is None or cards.find(like) is None:
        raise failures.invalid(
            "Your card number is incorrect.", param="card[number]", code="incorrect_number"
        )
    return _written(_made(context, like, None))


def retrieve(context: StripeContext, form: Form, method_id: str) -> Decision:
    """GET /v1/payment_methods/{id}."""
    form.allow(("expand",))
    method = _method(context.state, method_id)
    return Decision(status=200, outcome="ok", subject=method)


def attach(context: StripeContext, form: Form, method_id: str) -> Decision:
    """POST /v1/payment_methods/{id}/attach."""
    form.allow(("customer", "expand"))
    owner = _customer(context.state, form.required("customer"), "customer")
    if cards.find(method_id) is not None:
        return _written(_made(context, method_id, owner.id))
    method = _method(context.state, method_id)
    if method.is_detached:
        raise failures.invalid(_USED)
    if method.customer not in (None, owner.id):
        raise failures.invalid(
            "The payment method you provided has already been attached to a customer."
        )
    return _written(replace(method, customer=owner.id))


def detach(context: StripeContext, form: Form, method_id: str) -> Decision:
    """POST /v1/payment_methods/{id}/detach."""
    form.allow(("expand",))
    method = _method(context.state, method_id)
    if method.customer is None:
        raise failures.invalid(
            "The payment method you provided is not attached to a customer so detachment is "
            "impossible."
        )
    return _written(replace(method, customer=None, is_detached=True))


def check_payer(state: StripeState, method_id: str | None, customer_id: str | None) -> None:
    """Refuse a customer that is not there, and a method that may not pay for them."""
    if customer_id is not None:
        _customer(state, customer_id, "customer")
    method = state.payment_methods.get(method_id or "")
    if method is not None and method.is_detached:
        raise failures.invalid(_USED, param="payment_method")
    if method is not None and method.customer not in (None, customer_id):
        raise failures.invalid(
            f"The `payment_method` parameter supplied {method.id} belongs to the Customer "
            f"{method.customer}. Please include the Customer in the `customer` parameter on the "
            "PaymentIntent.",
            param="payment_method",
        )


def _made(context: StripeContext, like: str, owner: str | None) -> PaymentMethod:
    return PaymentMethod(
        id=context.ids.prefixed("pm_1"), created=context.at, like=like, customer=owner
    )


def _written(method: PaymentMethod) -> Decision:
    return Decision(status=200, outcome="ok", writes=(method,), keeps_key=True)


def _customer(state: StripeState, customer_id: str, param: str) -> Customer:
    found = state.customers.get(customer_id)
    if found is None:
        raise failures.no_such("customer", customer_id, param)
    return found


def _method(state: StripeState, method_id: str) -> PaymentMethod:
    found = state.payment_methods.get(method_id)
    if found is None:
        raise failures.no_such("PaymentMethod", method_id, "payment_method")
    return found
