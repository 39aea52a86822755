"""Disputes: opened by a payer's bank, which takes the money at once; won, it comes back.

Source: docs.stripe.com/disputes/how-disputes-work and docs.stripe.com/api/disputes. Evidence is
not simulated: who wins is said in the dashboard. A dispute carries no metadata of the client's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from simulator.entries import DisputeFact
from simulator.stripe import currencies, failures, paging, render
from simulator.stripe.context import PAYMENT_ID, StripeContext
from simulator.stripe.forms import Form
from simulator.stripe.records import Charge, Dispute, Intent
from simulator.stripe.refunds import refundable
from simulator.vendor import Decision

_URL: Final = "/v1/disputes"
_REASONS: Final = frozenset(
    (
        "bank_cannot_process check_returned credit_not_processed customer_initiated "
        "debit_not_authorized duplicate fraudulent general incorrect_account_details "
        "insufficient_funds noncompliant product_not_received product_unacceptable "
        "subscription_canceled unrecognized"
    ).split()
)


def retrieve(context: StripeContext, form: Form, dispute_id: str) -> Decision:
    """GET /v1/disputes/{id}."""
    form.allow(("expand",))
    dispute = context.state.disputes.get(dispute_id)
    if dispute is None:
        raise failures.no_such("dispute", dispute_id, "dispute")
    intent = context.state.intents[dispute.payment_intent]
    body = render.dispute_object(dispute)
    return paging.read(body, payment_id=intent.metadata.get(PAYMENT_ID), reference=dispute.id)


def listed(context: StripeContext, form: Form) -> Decision:
    """GET /v1/disputes, of one intent or charge or of all, newest first."""
    form.allow((*paging.PARAMETERS, "charge", "created", "payment_intent"))
    intent_id, charge_id = form.text("payment_intent"), form.text("charge")
    made = paging.created_filter(form)
    chosen, has_more = paging.page_of(
        form,
        context.state.disputes,
        made,
        lambda one: intent_id in (None, one.payment_intent) and charge_id in (None, one.charge),
    )
    intent = context.state.intents.get(intent_id or "")
    return paging.read(
        render.page([render.dispute_object(one) for one in chosen], _URL, has_more=has_more),
        payment_id=intent.metadata.get(PAYMENT_ID) if intent is not None else None,
    )


def begin(
    context: StripeContext, intent: Intent, amount: int | None, reason: str | None
) -> Decision:
    """All that is left of a charge is disputed, or a part in Stripe's units."""
    charge = refundable(intent)
    reason = reason or "fraudulent"
    if reason not in _REASONS:
        raise failures.invalid(f"Invalid reason: {reason}", param="reason")
    left = charge.amount_refundable
    amount = left if amount is None else amount
    if not 0 < amount <= left:
        raise failures.invalid(
            f"{amount} {intent.currency} cannot be disputed: {left} are left of the charge.",
            param="amount",
        )
    dispute = Dispute(
        id=context.ids.prefixed("dp_1"),
        created=context.at,
        amount=amount,
        currency=intent.currency,
        charge=charge.id,
        payment_intent=intent.id,
        reason=reason,
    )
    charge = replace(charge, disputed=True, amount_disputed=charge.amount_disputed + amount)
    events = ("charge.dispute.created", "charge.dispute.funds_withdrawn")
    return _told(dispute, _with(intent, charge), "disputed", events)


def close(context: StripeContext, intent: Intent, *, won: bool) -> Decision | None:
    """The oldest open dispute of an intent ends; None when there is none."""
    dispute = context.state.open_dispute(intent.id)
    if dispute is None:
        return None
    closed = replace(dispute, status="won" if won else "lost", closed_at=context.at)
    if not won:
        return _told(closed, intent, None, ("charge.dispute.closed",))
    charge = next(one for one in intent.charges if one.id == dispute.charge)
    charge = replace(charge, amount_disputed=charge.amount_disputed - dispute.amount)
    events = ("charge.dispute.closed", "charge.dispute.funds_reinstated")
    return _told(closed, _with(intent, charge), "reinstated", events)


def _with(intent: Intent, charge: Charge) -> Intent:
    charges = tuple(charge if one.id == charge.id else one for one in intent.charges)
    return replace(intent, charges=charges)


def _told(
    dispute: Dispute, intent: Intent, effect: str | None, events: tuple[str, ...]
) -> Decision:
    amount_minor = currencies.iso_minor(dispute.amount, dispute.currency)
    return Decision(
        status=200,
        outcome="ok",
        writes=(dispute, intent),
        effect=effect,
        reference=dispute.id,
        payment_id=intent.metadata.get(PAYMENT_ID),
        amount_minor=amount_minor,
        currency=dispute.currency.upper(),
        dispute=_fact(dispute, amount_minor),
        events=events,
    )


def _fact(dispute: Dispute, amount_minor: int) -> DisputeFact:
    match dispute.status:
        case "won":
            return DisputeFact(dispute.id, amount_minor, "won", 0)
        case "lost":
            return DisputeFact(dispute.id, amount_minor, "lost", amount_minor)
        case _:
            return DisputeFact(dispute.id, amount_minor, "open", amount_minor)
