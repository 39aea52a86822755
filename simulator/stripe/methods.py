"""PaymentMethods: made of a test card, attached to a customer, used with that customer alone.

One that is attached to nobody can be used once. The test cards that Stripe names, such as
`pm_card_visa`, are made anew whenever they are named. Source: docs.stripe.com/api/payment_methods.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from simulator.stripe import cards, customers, failures, paging, render
from simulator.stripe.context import StripeContext
from simulator.stripe.forms import Form
from simulator.stripe.records import PaymentMethod
from simulator.stripe.state import StripeState
from simulator.vendor import Decision

_URL: Final = "/v1/payment_methods"
_CREATE: Final = ("allow_redisplay", "billing_details", "card", "expand", "metadata", "type")
# "Attaching this card to a Customer object succeeds, but attempts to charge it fail."
_ATTACHABLE: Final = "pm_card_chargeCustomerFail"
_SPENT: Final = (
    "The provided PaymentMethod was previously used with a PaymentIntent without Customer "
    "attachment, shared with a connected account without Customer attachment, or was detached "
    "from a Customer. It may not be used again. To use a PaymentMethod multiple times, you must "
    "attach it to a Customer first."
)


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be charged: the id by which it was named, and the test card behind it."""

    id: str
    card: str


def create(context: StripeContext, form: Form) -> Decision:
    """POST /v1/payment_methods: of a card by its number, or by the token of a test card."""
    form.allow(_CREATE)
    if form.required("type") != "card":
        raise failures.invalid("Invalid type: must be card", param="type")
    card = form.mapping("card")
    number, token = card.get("number"), card.get("token")
    name = cards.method_of_number(number) if isinstance(number, str) else None
    if isinstance(token, str):
        name = f"pm_card_{token.removeprefix('tok_')}"
    if name is None or cards.find(name) is None:
        raise failures.invalid(
            "Your card number is incorrect.", param="card[number]", code="incorrect_number"
        )
    return _changed(_new(context, name, form))


def retrieve(context: StripeContext, form: Form, method_id: str) -> Decision:
    """GET /v1/payment_methods/{id}."""
    form.allow(("expand",))
    method = _found(context.state, method_id)
    return paging.read(render.method_object(method), reference=method.id)


def listed(context: StripeContext, form: Form) -> Decision:
    """GET /v1/payment_methods: those of a customer, newest first."""
    form.allow((*paging.PARAMETERS, "customer", "type"))
    customer = customers.found(context.state, form.required("customer"))
    chosen, has_more = paging.page_of(
        form,
        context.state.methods,
        paging.ALL,
        lambda one: one.customer == customer.id,
    )
    data = [render.method_object(one) for one in chosen]
    return paging.read(render.page(data, _URL, has_more=has_more))


def attach(context: StripeContext, form: Form, method_id: str) -> Decision:
    """POST /v1/payment_methods/{id}/attach; a test card by its name becomes a new one."""
    form.allow(("customer", "expand"))
    customer = customers.found(context.state, form.required("customer"))
    known = context.state.methods.get(method_id)
    if known is None and cards.find(method_id) is None:
        raise failures.no_such("PaymentMethod", method_id, "payment_method")
    method = known or _new(context, method_id)
    if method.customer not in (None, customer.id):
        raise failures.invalid(
            "The payment method you provided has already been attached to a customer."
        )
    if method.is_spent:
        raise failures.invalid(_SPENT)
    card = cards.find(method.card)
    if card is not None and card.decline is not None and method.card != _ATTACHABLE:
        failure = failures.card_error(card.decline)
        return Decision(
            status=402,
            outcome=f"declined:{card.decline.decline_code}",
            error=failure,
            keeps_key=True,
        )
    return _changed(replace(method, customer=customer.id))


def detach(context: StripeContext, form: Form, method_id: str) -> Decision:
    """POST /v1/payment_methods/{id}/detach: it may not be used again."""
    form.allow(("expand",))
    method = _found(context.state, method_id)
    if method.customer is None:
        raise failures.invalid(
            "The payment method you provided is not attached to a customer so detachment is "
            "impossible."
        )
    return _changed(replace(method, customer=None, is_spent=True))


def chosen(context: StripeContext, form: Form, customer: str | None) -> Choice | None:
    """What an intent's parameters name to be charged, or Stripe's refusal to charge that."""
    card = form.mapping("payment_method_data").get("card")
    number = card.get("number") if isinstance(card, dict) else None
    if isinstance(number, str):
        name = cards.method_of_number(number)
        if name is None:
            raise failures.invalid(
                "Your card number is incorrect.", param="number", code="incorrect_number"
            )
        return Choice(name, name)
    method_id = form.text("payment_method")
    if method_id is None:
        return None
    if cards.find(method_id) is not None:
        return Choice(method_id, method_id)
    method = usable(context.state, method_id, customer)
    return Choice(method.id, method.card)


def usable(state: StripeState, method_id: str, customer: str | None) -> PaymentMethod:
    """A PaymentMethod that this customer, or nobody, may be charged with; or the refusal."""
    method = state.methods.get(method_id)
    if method is None:
        raise failures.no_such("PaymentMethod", method_id, "payment_method", status=400)
    if method.is_spent:
        raise failures.invalid(_SPENT, param="payment_method")
    if method.customer not in (None, customer):
        raise failures.invalid(
            f"The `payment_method` parameter supplied {method.id} belongs to the Customer "
            f"{method.customer}. Please include the Customer in the `customer` parameter on the "
            "PaymentIntent.",
            param="payment_method",
        )
    return method


def spent(state: StripeState, method_id: str | None) -> tuple[PaymentMethod, ...]:
    """What confirming with a PaymentMethod of nobody's makes of it: it was its only use."""
    method = state.methods.get(method_id or "")
    if method is None or method.customer is not None:
        return ()
    return (replace(method, is_spent=True),)


def _new(context: StripeContext, card: str, form: Form | None = None) -> PaymentMethod:
    return PaymentMethod(
        id=context.ids.prefixed("pm_1"),
        created=context.at,
        card=card,
        metadata=form.metadata() if form is not None else {},
    )


def _found(state: StripeState, method_id: str) -> PaymentMethod:
    method = state.methods.get(method_id)
    if method is None:
        raise failures.no_such("PaymentMethod", method_id, "payment_method")
    return method


def _changed(method: PaymentMethod) -> Decision:
    return Decision(status=200, outcome="ok", writes=(method,), keeps_key=True, reference=method.id)
