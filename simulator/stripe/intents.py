"""PaymentIntents: create and confirm, as decisions on the present state.

Each function checks its parameters, raising Stripe's refusal before anything happens, and
returns a Decision whose first record is the intent as it then is. Nothing is changed here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from simulator.faults import FaultKind
from simulator.stripe import cards, currencies, failures, parameters
from simulator.stripe.context import PAYMENT_ID, StripeContext, changed, found, moved, wrong_state
from simulator.stripe.forms import Form
from simulator.stripe.holds import CONFIRMABLE, is_pending, pending
from simulator.stripe.payment_methods import check_payer
from simulator.stripe.records import Charge, Decline, Intent
from simulator.vendor import Decision

# With which nobody is there to act: what asks for that is declined.
_ABSENT: Final = ("off_session", "error_on_requires_action")
_CAPTURE_METHODS: Final = ("automatic", "automatic_async", "manual")


def create(context: StripeContext, form: Form) -> Decision:
    """POST /v1/payment_intents."""
    form.allow(parameters.CREATE)
    if not form.flag("confirm"):
        for name in _ABSENT:
            if form.params.get(name):
                raise failures.invalid(
                    f"`{name}` can only be used with `confirm=true`.", param=name
                )
    intent = _new_intent(context, form)
    if form.flag("confirm"):
        return _confirmed(context, form, intent, ("payment_intent.created",))
    return changed(intent, ("payment_intent.created",))


def confirm(context: StripeContext, form: Form, intent_id: str) -> Decision:
    """POST /v1/payment_intents/{id}/confirm."""
    form.allow(parameters.CONFIRM)
    intent = found(context.state, intent_id)
    method = _payment_method(context, form) or intent.payment_method
    capture_method = form.choice("capture_method", _CAPTURE_METHODS) or intent.capture_method
    if intent.status not in CONFIRMABLE:
        return wrong_state(intent, "confirm", CONFIRMABLE)
    return _confirmed(
        context, form, replace(intent, payment_method=method, capture_method=capture_method), ()
    )


def _new_intent(context: StripeContext, form: Form) -> Intent:
    currency = currencies.check_currency(form.required("currency"))
    amount = form.integer("amount")
    if amount is None:
        raise failures.missing("amount")
    currencies.check_amount(amount, currency)
    method = _payment_method(context, form)
    check_payer(context.state, method, form.text("customer"))
    extra: dict[str, object] = {
        name: form.text(name) for name in parameters.ECHOED_TEXTS if form.params.get(name)
    }
    for name in ("payment_method_types", "allowed_payment_method_types"):
        if types := form.names(name):
            extra[name] = list(types)
    if shipping := form.mapping("shipping"):
        extra["shipping"] = shipping
    return Intent(
        id=context.ids.prefixed("pi_3"),
        created=context.at,
        amount=amount,
        currency=currency,
        status="requires_confirmation" if method else "requires_payment_method",
        capture_method=form.choice("capture_method", _CAPTURE_METHODS) or "automatic_async",
        confirmation_method=form.choice("confirmation_method", ("automatic", "manual"))
        or "automatic",
        payment_method=method,
        metadata=form.metadata(),
        extra=extra,
        redirects=_redirects(form),
    )


def _redirects(form: Form) -> bool:
    """Whether methods that redirect the buyer are allowed; on unless said otherwise."""
    if form.names("payment_method_types") or form.names("allowed_payment_method_types"):
        return False
    automatic = form.mapping("automatic_payment_methods")
    return automatic.get("enabled", "true") == "true" and automatic.get("allow_redirects") in (
        None,
        "always",
    )


def _payment_method(context: StripeContext, form: Form) -> str | None:
    data = form.mapping("payment_method_data")
    card = data.get("card")
    number = card.get("number") if isinstance(card, dict) else None
    method = form.text("payment_method")
    if isinstance(number, str):
        method = cards.method_of_number(number)
        if method is None:
            raise failures.invalid(
                "Your card number is incorrect.", param="number", code="incorrect_number"
            )
    elif method is not None and context.state.card_of(method) is None:
        raise failures.no_such("PaymentMethod", method, "payment_method")
    return method


def _confirmed(
    context: StripeContext, form: Form, intent: Intent, events: tuple[str, ...]
) -> Decision:
    card = context.state.card_of(intent.payment_method)
    if card is None:
        raise failures.invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You "
            "can either update the PaymentIntent with a payment method and then confirm it "
            "again, or confirm it again directly with a payment method or ConfirmationToken.",
            code="payment_intent_unexpected_state",
        )
    payer = intent.extra.get("customer")
    check_payer(context.state, intent.payment_method, payer if isinstance(payer, str) else None)
    return_url = form.text("return_url") or intent.extra.get("return_url")
    if intent.redirects and return_url is None:
        raise failures.invalid(
            "This PaymentIntent is configured to accept payment methods enabled in your "
            "Dashboard. Because some of these payment methods might redirect your customer off "
            "of your page, you must provide a `return_url`. If you don't want to accept "
            "redirect-based payment methods, set `automatic_payment_methods[enabled]` to "
            "`true` and `automatic_payment_methods[allow_redirects]` to `never` when creating "
            "Setup Intents and Payment Intents.",
            param="return_url",
        )
    if card.needs_action and all(form.text(each) in (None, "false") for each in _ABSENT):
        waiting = replace(intent, status="requires_action")
        events = (*events, "payment_intent.requires_action")
        return changed(waiting, events, "requires_action")
    decline = _decline(context, intent, card)
    charge = Charge(id=context.ids.prefixed("ch_3"), created=context.at, amount=intent.amount)
    if decline is not None:
        return _refused(intent, replace(charge, decline=decline), decline, events)
    return _charged(context, replace(intent, decline=None), charge, events)


def _charged(
    context: StripeContext, intent: Intent, charge: Charge, events: tuple[str, ...]
) -> Decision:
    """Hold the amount, take it, or begin to."""
    after = replace(intent, charges=(*intent.charges, charge))
    if intent.capture_method == "manual":
        held = replace(after, status="requires_capture")
        told = ("charge.succeeded", "payment_intent.amount_capturable_updated")
        return moved(held, "authorized", intent.amount, (*events, *told))
    if is_pending(context, intent):
        return pending(after, replace(charge, pending=intent.amount), (*events, "charge.pending"))
    taken = replace(charge, amount_captured=intent.amount, captured=True)
    paid = replace(after, status="succeeded", charges=(*intent.charges, taken))
    told = ("charge.succeeded", "payment_intent.succeeded")
    return moved(paid, "charged", intent.amount, (*events, *told))


def _decline(context: StripeContext, intent: Intent, card: cards.Card) -> Decline | None:
    spec = context.faults.replacing
    if spec is not None and spec.kind is FaultKind.DECLINE:
        return cards.SCRIPTED.get(spec.code or "", cards.GENERIC)
    if card.needs_action:
        return cards.AUTHENTICATION
    amount_minor = currencies.iso_minor(intent.amount, intent.currency)
    return card.decline or cards.MAGIC_AMOUNTS.get(amount_minor)


def _refused(intent: Intent, charge: Charge, decline: Decline, events: tuple[str, ...]) -> Decision:
    refused = replace(
        intent,
        status="requires_payment_method",
        payment_method=None,
        charges=(*intent.charges, charge),
        decline=decline,
    )
    return Decision(
        status=402,
        outcome=f"declined:{decline.decline_code}",
        writes=(refused,),
        error=failures.declined(decline, charge),
        keeps_key=True,
        payment_id=intent.metadata.get(PAYMENT_ID),
        amount_minor=currencies.iso_minor(intent.amount, intent.currency),
        currency=intent.currency.upper(),
        reference=intent.id,
        events=(*events, "charge.failed", "payment_intent.payment_failed"),
    )
