"""PaymentIntents: create, update and confirm, as decisions on the present state.

Each function checks its parameters, raising Stripe's refusal before anything happens, and
returns a Decision whose first record is the intent as it then is. Nothing is changed here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from simulator.faults import FaultKind
from simulator.stripe import cards, currencies, customers, failures, methods, parameters
from simulator.stripe.context import PAYMENT_ID, StripeContext, changed, found, moved, wrong_state
from simulator.stripe.forms import Form
from simulator.stripe.holds import CONFIRMABLE, is_pending, pending
from simulator.stripe.records import Charge, Decline, Intent
from simulator.vendor import Decision

_OF_CONFIRMATION: Final = ("off_session", "error_on_requires_action")
_CAPTURE_METHODS: Final = ("automatic", "automatic_async", "manual")


def create(context: StripeContext, form: Form) -> Decision:
    """POST /v1/payment_intents."""
    form.allow(parameters.CREATE)
    confirms = form.flag("confirm")
    for name in _OF_CONFIRMATION:
        if form.text(name) is not None and not confirms:
            raise failures.invalid("This parameter can only be used with confirm=true.", param=name)
    intent = _new_intent(context, form)
    if confirms:
        return _confirmed(context, form, intent, ("payment_intent.created",))
    return changed(intent, ("payment_intent.created",))


def update(context: StripeContext, form: Form, intent_id: str) -> Decision:
    """POST /v1/payment_intents/{id}: what is to be paid, and how, only until something was."""
    form.allow(parameters.UPDATE)
    intent = found(context.state, intent_id)
    fixed = next((name for name in parameters.UPDATE_BEFORE if name in form.params), None)
    if fixed is not None and intent.status not in CONFIRMABLE:
        return _not_updated(intent, fixed)
    currency = form.text("currency")
    currency = intent.currency if currency is None else currencies.check_currency(currency)
    amount = form.integer("amount")
    amount = intent.amount if amount is None else amount
    if "amount" in form.params or "currency" in form.params:
        currencies.check_amount(amount, currency)
    customer = _customer_of(context, form, intent)
    choice = methods.chosen(context, form, customer)
    updated = replace(
        intent,
        amount=amount,
        currency=currency,
        capture_method=form.choice("capture_method", _CAPTURE_METHODS) or intent.capture_method,
        metadata=form.merged_metadata(intent.metadata),
        extra={**intent.extra, **_extra(form), **({"customer": customer} if customer else {})},
    )
    if choice is not None:
        updated = replace(
            updated, payment_method=choice.id, card=choice.card, status="requires_confirmation"
        )
    return changed(updated, ())


def confirm(context: StripeContext, form: Form, intent_id: str) -> Decision:
    """POST /v1/payment_intents/{id}/confirm."""
    form.allow(parameters.CONFIRM)
    intent = found(context.state, intent_id)
    choice = methods.chosen(context, form, intent.customer)
    capture_method = form.choice("capture_method", _CAPTURE_METHODS) or intent.capture_method
    if intent.status not in CONFIRMABLE:
        return wrong_state(intent, "confirm", CONFIRMABLE)
    intent = replace(intent, capture_method=capture_method)
    if choice is not None:
        intent = replace(intent, payment_method=choice.id, card=choice.card)
    return _confirmed(context, form, intent, ())


def _new_intent(context: StripeContext, form: Form) -> Intent:
    currency = currencies.check_currency(form.required("currency"))
    amount = form.integer("amount")
    if amount is None:
        raise failures.missing("amount")
    currencies.check_amount(amount, currency)
    customer = form.text("customer")
    if customer is not None:
        customers.found(context.state, customer)
    choice = methods.chosen(context, form, customer)
    return Intent(
        id=context.ids.prefixed("pi_3"),
        created=context.at,
        amount=amount,
        currency=currency,
        status="requires_confirmation" if choice else "requires_payment_method",
        capture_method=form.choice("capture_method", _CAPTURE_METHODS) or "automatic_async",
        confirmation_method=form.choice("confirmation_method", ("automatic", "manual"))
        or "automatic",
        payment_method=choice.id if choice else None,
        card=choice.card if choice else None,
        metadata=form.metadata(),
        extra=_extra(form),
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


def _extra(form: Form) -> dict[str, object]:
    """What is echoed."""
    extra: dict[str, object] = {
        name: form.text(name) for name in parameters.ECHOED_TEXTS if form.params.get(name)
    }
    for name in ("payment_method_types", "allowed_payment_method_types"):
        if types := form.names(name):
            extra[name] = list(types)
    if shipping := form.mapping("shipping"):
        extra["shipping"] = shipping
    return extra


def _customer_of(context: StripeContext, form: Form, intent: Intent) -> str | None:
    """Whose intent it is after an update; nobody else's once it is somebody's."""
    customer = form.text("customer")
    if customer is None:
        return intent.customer
    if intent.customer not in (None, customer):
        raise failures.invalid(
            "You cannot modify `customer` on a PaymentIntent once it already has been set. To "
            "fulfill a payment with a different Customer, cancel this PaymentIntent and create a "
            "new one.",
            param="customer",
        )
    return customers.found(context.state, customer).id


def _not_updated(intent: Intent, param: str) -> Decision:
    """The intent has gone too far for this to be another."""
    code = "payment_intent_unexpected_state"
    message = (
        f"This PaymentIntent's {param} could not be updated because it has a status of "
        f"{intent.status}. You may only update the {param} of a PaymentIntent with one of the "
        f"following statuses: {', '.join(CONFIRMABLE)}."
    )
    decision = changed(intent, (), code)
    failure = failures.state(message, code, param)
    return replace(decision, status=failure.status, error=failure)


def _confirmed(
    context: StripeContext, form: Form, intent: Intent, events: tuple[str, ...]
) -> Decision:
    card = cards.find(intent.test_card)
    if card is None:
        raise failures.invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You "
            "can either update the PaymentIntent with a payment method and then confirm it "
            "again, or confirm it again directly with a payment method or ConfirmationToken.",
            code="payment_intent_unexpected_state",
        )
    if intent.payment_method is not None and intent.payment_method != intent.test_card:
        methods.usable(context.state, intent.payment_method, intent.customer)
    _check_redirects(form, intent)
    decision = _paid(context, form, (intent, card), events)
    return replace(
        decision, writes=(*decision.writes, *methods.spent(context.state, intent.payment_method))
    )


def _check_redirects(form: Form, intent: Intent) -> None:
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


def _paid(
    context: StripeContext,
    form: Form,
    paying: tuple[Intent, cards.Card],
    events: tuple[str, ...],
) -> Decision:
    """Ask the issuer, or the payer, who is not there if `off_session` or told not to be asked."""
    intent, card = paying
    decline = _decline(context, intent, card)
    is_off_session = form.text("off_session") not in (None, "false")
    if decline is None and card.needs_action:
        if not is_off_session and not form.flag("error_on_requires_action"):
            waiting = replace(intent, status="requires_action")
            told = (*events, "payment_intent.requires_action")
            return changed(waiting, told, "requires_action")
        decline = cards.AUTHENTICATION if is_off_session else cards.NOT_HANDLED
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
    amount_minor = currencies.iso_minor(intent.amount, intent.currency)
    return card.decline or cards.MAGIC_AMOUNTS.get(amount_minor)


def _refused(intent: Intent, charge: Charge, decline: Decline, events: tuple[str, ...]) -> Decision:
    refused = replace(
        intent,
        status="requires_payment_method",
        payment_method=None,
        card=None,
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
