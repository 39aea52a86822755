"""Customers: whom payment methods are attached to. Nothing else of theirs is simulated."""

from __future__ import annotations

from typing import Final

from simulator.stripe import failures, paging, render
from simulator.stripe.context import StripeContext
from simulator.stripe.forms import Form
from simulator.stripe.records import Customer
from simulator.stripe.state import StripeState
from simulator.vendor import Decision

_CREATE: Final = ("description", "email", "expand", "metadata", "name", "phone")


def create(context: StripeContext, form: Form) -> Decision:
    """POST /v1/customers."""
    form.allow(_CREATE)
    customer = Customer(
        id=context.ids.prefixed("cus_", length=14),
        created=context.at,
        email=form.text("email"),
        name=form.text("name"),
        description=form.text("description"),
        phone=form.text("phone"),
        metadata=form.metadata(),
    )
    return Decision(
        status=200, outcome="ok", writes=(customer,), keeps_key=True, reference=customer.id
    )


def retrieve(context: StripeContext, form: Form, customer_id: str) -> Decision:
    """GET /v1/customers/{id}."""
    form.allow(("expand",))
    customer = found(context.state, customer_id, "id")
    return paging.read(render.customer_object(customer), reference=customer.id)


def found(state: StripeState, customer_id: str, param: str = "customer") -> Customer:
    """The customer of a path or parameter, or Stripe's refusal."""
    customer = state.customers.get(customer_id)
    if customer is None:
        raise failures.no_such("customer", customer_id, param, status=404 if param == "id" else 400)
    return customer
