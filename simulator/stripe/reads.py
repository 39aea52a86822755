"""Stripe's reads: single objects, and cursor lists newest first."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from simulator.faults import FaultKind
from simulator.stripe import failures, paging, render
from simulator.stripe.context import PAYMENT_ID, StripeContext, found
from simulator.stripe.forms import Form
from simulator.stripe.records import Charge, Intent, Refund
from simulator.stripe.state import StripeState
from simulator.vendor import Decision


def intent(context: StripeContext, form: Form, intent_id: str) -> Decision:
    """GET /v1/payment_intents/{id}."""
    form.allow(("client_secret", "expand"))
    one = found(context.state, intent_id)
    if paging.hidden(context, one.created):
        raise failures.no_such("payment_intent", intent_id, "intent")
    body = render.intent_object(one, form.names("expand"), context.state)
    return paging.read(body, payment_id=one.metadata.get(PAYMENT_ID), reference=one.id)


def intents(context: StripeContext, form: Form) -> Decision:
    """GET /v1/payment_intents."""
    form.allow((*paging.PARAMETERS, "created", "customer"))
    customer = form.text("customer")
    chosen = paging.page_of(
        form,
        context.state.intents,
        paging.created_filter(form),
        lambda one: customer in (None, one.extra.get("customer")),
    )
    expand = paging.in_list(form)
    data = [render.intent_object(one, expand, context.state) for one in chosen[0]]
    return paging.read(render.page(data, "/v1/payment_intents", has_more=chosen[1]))


def charge(context: StripeContext, form: Form, charge_id: str) -> Decision:
    """GET /v1/charges/{id}."""
    form.allow(("expand",))
    intent_id = context.state.intent_of_charge.get(charge_id)
    if intent_id is None:
        raise failures.no_such("charge", charge_id, "id")
    owner = context.state.intents[intent_id]
    one = next(charge for charge in owner.charges if charge.id == charge_id)
    body = render.charge_object(owner, one, context.state)
    return paging.read(body, payment_id=owner.metadata.get(PAYMENT_ID), reference=owner.id)


def charges(context: StripeContext, form: Form) -> Decision:
    """GET /v1/charges, of one intent or of all."""
    form.allow((*paging.PARAMETERS, "created", "customer", "payment_intent", "transfer_group"))
    state = context.state
    after = form.text("starting_after")
    if (intent_id := form.text("payment_intent")) is not None:
        owners: Iterable[Intent] = (found(state, intent_id, "payment_intent"),)
    else:
        start = state.intent_of_charge.get(after or "")
        owners = state.intents.newest_first(state.intents.place(start) + 1 if start else None)
    listed: Iterator[tuple[Intent, Charge]] = (
        (owner, one) for owner in owners for one in reversed(owner.charges)
    )
    if after is not None:
        listed = itertools.islice(
            itertools.dropwhile(lambda pair: pair[1].id != after, listed), 1, None
        )
    limit = paging.limit_of(form)
    taken = list(itertools.islice(listed, limit + 1))
    data = [render.charge_object(owner, one, state) for owner, one in taken[:limit]]
    return paging.read(render.page(data, "/v1/charges", has_more=len(taken) > limit))


def refund(context: StripeContext, form: Form, refund_id: str) -> Decision:
    """GET /v1/refunds/{id}."""
    form.allow(("expand",))
    one = context.state.refunds.get(refund_id)
    if one is None or paging.hidden(context, one.created):
        raise failures.no_such("refund", refund_id, "refund")
    owner = context.state.intents[one.payment_intent]
    payment_id = owner.metadata.get(PAYMENT_ID)
    return paging.read(render.refund_object(one), payment_id=payment_id, reference=one.id)


def refunds(context: StripeContext, form: Form) -> Decision:
    """GET /v1/refunds, of one intent or charge or of all."""
    form.allow((*paging.PARAMETERS, "created", "charge", "payment_intent"))
    state = context.state
    intent_id, charge_id = form.text("payment_intent"), form.text("charge")
    payment = state.intents.get(intent_id or "")
    chosen, has_more = paging.page_of(
        form,
        state.refunds,
        paging.created_filter(form),
        lambda one: intent_id in (None, one.payment_intent) and charge_id in (None, one.charge),
        None if intent_id is charge_id is None else _refunds_of(state, payment, charge_id),
    )
    if context.faults.has(FaultKind.NOT_FOUND):
        chosen, has_more = [], False
    data = [render.refund_object(one) for one in chosen]
    return paging.read(
        render.page(data, "/v1/refunds", has_more=has_more),
        payment_id=payment.metadata.get(PAYMENT_ID) if payment is not None else None,
    )


def _refunds_of(state: StripeState, intent: Intent | None, charge_id: str | None) -> list[Refund]:
    """Newest first, of an intent's charges or else of a charge."""
    if intent is None:
        return [] if charge_id is None else state.refunds_of(charge_id)
    given = [one for made in intent.charges for one in state.refunds_of(made.id)]
    return sorted(given, key=lambda one: one.id, reverse=True)


def balance(context: StripeContext, form: Form) -> Decision:
    """GET /v1/balance: what was captured less what was refunded or disputed, per currency."""
    form.allow(("expand",))
    available = context.state.available
    amounts = [
        {"amount": amount, "currency": currency, "source_types": {"card": amount}}
        for currency, amount in sorted(available.items())
    ] or [{"amount": 0, "currency": "usd", "source_types": {"card": 0}}]
    return paging.read(
        {"object": "balance", "available": amounts, "livemode": False, "pending": []}
    )


def event(context: StripeContext, form: Form, event_id: str) -> Decision:
    """GET /v1/events/{id}."""
    form.allow(("expand",))
    for one in reversed(context.state.events):
        if one.id == event_id:
            return paging.read(render.event_object(one))
    raise failures.no_such("event", event_id, "id")


def events(context: StripeContext, form: Form) -> Decision:
    """GET /v1/events, newest first."""
    form.allow((*paging.PARAMETERS, "created", "delivery_success", "type", "types"))
    kind, after = form.text("type"), form.text("starting_after")
    listed = reversed(context.state.events)
    if after is not None:
        listed = itertools.islice(itertools.dropwhile(lambda one: one.id != after, listed), 1, None)
    limit = paging.limit_of(form)
    matching = (one for one in listed if kind in (None, one.type))
    taken = list(itertools.islice(matching, limit + 1))
    data = [render.event_object(one) for one in taken[:limit]]
    return paging.read(render.page(data, "/v1/events", has_more=len(taken) > limit))
