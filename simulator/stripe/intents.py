"""PaymentIntents: create, confirm, capture and cancel, as decisions on the present state.

Each function checks its parameters, raising Stripe's refusal before anything happens, and
returns a Decision whose first record is the intent as it then is. Nothing is changed here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from simulator.faults import FaultKind, Faults
from simulator.identifiers import Identifiers
from simulator.stripe import cards, currencies, failures
from simulator.stripe.forms import Form
from simulator.stripe.records import Charge, Decline, Failure, Intent
from simulator.stripe.state import StripeState
from simulator.vendor import Decision

# The metadata key under which a client names the payment of its own; only for the journal.
PAYMENT_ID: Final = "payment_id"

_ECHOED_TEXTS: Final = (
    "customer",
    "description",
    "on_behalf_of",
    "receipt_email",
    "return_url",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
)
_IGNORED: Final = (
    "amount_details",
    "application_fee_amount",
    "automatic_payment_methods",
    "confirmation_token",
    "customer_account",
    "error_on_requires_action",
    "excluded_payment_method_types",
    "hooks",
    "mandate",
    "mandate_data",
    "off_session",
    "payment_details",
    "payment_method_configuration",
    "payment_method_options",
    "radar_options",
    "transfer_data",
    "use_stripe_sdk",
)
_CREATE: Final = frozenset(
    (
        "allowed_payment_method_types",
        "amount",
        "capture_method",
        "confirm",
        "confirmation_method",
        "currency",
        "expand",
        "metadata",
        "payment_method",
        "payment_method_data",
        "payment_method_types",
        "setup_future_usage",
        "shipping",
        *_ECHOED_TEXTS,
        *_IGNORED,
    )
)
_CONFIRM: Final = (_CREATE - {"amount", "currency", "confirm", "metadata", "customer"}) | {
    "amount_to_confirm"
}
_CAPTURE: Final = frozenset(
    (
        "amount_details",
        "amount_to_capture",
        "application_fee_amount",
        "expand",
        "final_capture",
        "hooks",
        "metadata",
        "payment_details",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "transfer_data",
    )
)
_CANCEL: Final = frozenset(("cancellation_reason", "expand"))
_REASONS: Final = ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
_CAPTURE_METHODS: Final = ("automatic", "automatic_async", "manual")
_CONFIRMABLE: Final = ("requires_payment_method", "requires_confirmation", "requires_action")
_CANCELABLE: Final = (*_CONFIRMABLE, "requires_capture", "processing")


@dataclass(frozen=True, slots=True)
class StripeContext:
    """What a decision needs beside its form: the state, ids, and the time in Unix seconds."""

    state: StripeState
    ids: Identifiers
    at: float
    faults: Faults


def create(context: StripeContext, form: Form) -> Decision:
    """POST /v1/payment_intents."""
    form.allow(_CREATE)
    intent = _new_intent(context, form)
    if form.flag("confirm"):
        return _confirmed(context, form, intent, ("payment_intent.created",))
    return Decision(
        status=200,
        outcome="ok",
        writes=(intent,),
        keeps_key=True,
        payment_id=intent.metadata.get(PAYMENT_ID),
        reference=intent.id,
        events=("payment_intent.created",),
    )


def confirm(context: StripeContext, form: Form, intent_id: str) -> Decision:
    """POST /v1/payment_intents/{id}/confirm."""
    form.allow(_CONFIRM)
    intent = found(context.state, intent_id)
    method = _payment_method(form) or intent.payment_method
    capture_method = form.choice("capture_method", _CAPTURE_METHODS) or intent.capture_method
    if intent.status not in _CONFIRMABLE:
        return _wrong_state(
            intent,
            f"You cannot confirm this PaymentIntent because it has a status of {intent.status}. "
            f"Only a PaymentIntent with one of the following statuses may be confirmed: "
            f"{', '.join(_CONFIRMABLE)}.",
        )
    return _confirmed(
        context, form, replace(intent, payment_method=method, capture_method=capture_method), ()
    )


def capture(context: StripeContext, form: Form, intent_id: str) -> Decision:
    """POST /v1/payment_intents/{id}/capture: all of it, or less and the rest released."""
    form.allow(_CAPTURE)
    intent = found(context.state, intent_id)
    amount = form.integer("amount_to_capture")
    metadata = form.metadata()
    charge = intent.charge
    if intent.status != "requires_capture" or charge is None:
        return _wrong_state(
            intent,
            "This PaymentIntent could not be captured because it has a status of "
            f"{intent.status}. Only a PaymentIntent with one of the following statuses may be "
            "captured: requires_capture.",
        )
    amount = intent.amount if amount is None else amount
    if not 0 < amount <= intent.amount:
        raise failures.invalid(
            "The amount to capture must be positive and at most the amount authorized, "
            f"{intent.amount}.",
            param="amount_to_capture",
            code="amount_too_large" if amount > 0 else "parameter_invalid_integer",
        )
    taken = replace(charge, amount_captured=amount, captured=True)
    captured = replace(
        intent,
        status="succeeded",
        charges=(*intent.charges[:-1], taken),
        metadata={**intent.metadata, **metadata},
    )
    return _moved(captured, "captured", amount, ("charge.captured", "payment_intent.succeeded"))


def cancel(context: StripeContext, form: Form, intent_id: str) -> Decision:
    """POST /v1/payment_intents/{id}/cancel: releases what was authorized."""
    form.allow(_CANCEL)
    intent = found(context.state, intent_id)
    reason = form.choice("cancellation_reason", _REASONS)
    if intent.status not in _CANCELABLE:
        return _wrong_state(
            intent,
            f"You cannot cancel this PaymentIntent because it has a status of {intent.status}. "
            "Only a PaymentIntent with one of the following statuses may be canceled: "
            f"{', '.join(_CANCELABLE)}.",
        )
    if intent.status == "requires_capture":
        return _released(intent, context.at, reason, "charge.refunded")
    cancelled = replace(
        intent, status="canceled", canceled_at=int(context.at), cancellation_reason=reason
    )
    return Decision(
        status=200, outcome="ok", writes=(cancelled,), keeps_key=True,
        events=("payment_intent.canceled",), reference=intent.id,
    )  # fmt: skip


def expire(state: StripeState, at: float, payment_id: str) -> Decision | None:
    """What Stripe does by itself with an authorization nobody captured; None if there is none."""
    for intent_id in state.intents_with(PAYMENT_ID, payment_id):
        intent = state.intents[intent_id]
        if intent.status == "requires_capture":
            return _released(intent, at, "automatic", "charge.expired")
    return None


def found(state: StripeState, intent_id: str, param: str = "intent") -> Intent:
    """The intent of a path or parameter, or Stripe's 404."""
    intent = state.intents.get(intent_id)
    if intent is None:
        raise failures.no_such("payment_intent", intent_id, param)
    return intent


def _new_intent(context: StripeContext, form: Form) -> Intent:
    currency = currencies.check_currency(form.required("currency"))
    amount = form.integer("amount")
    if amount is None:
        raise failures.missing("amount")
    currencies.check_amount(amount, currency)
    method = _payment_method(form)
    extra: dict[str, object] = {
        name: form.text(name) for name in _ECHOED_TEXTS if form.params.get(name)
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


def _payment_method(form: Form) -> str | None:
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
    elif method is not None and cards.find(method) is None:
        raise failures.no_such("PaymentMethod", method, "payment_method")
    return method


def _confirmed(
    context: StripeContext, form: Form, intent: Intent, events: tuple[str, ...]
) -> Decision:
    card = cards.find(intent.payment_method or "")
    if card is None:
        raise failures.invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You "
            "can either update the PaymentIntent with a payment method and then confirm it "
            "again, or confirm it again directly with a payment method or ConfirmationToken.",
            code="payment_intent_unexpected_state",
        )
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
    if card.needs_action and form.text("off_session") is None:
        waiting = replace(intent, status="requires_action")
        return Decision(
            status=200, outcome="requires_action", writes=(waiting,), keeps_key=True,
            payment_id=intent.metadata.get(PAYMENT_ID), reference=intent.id,
            events=(*events, "payment_intent.requires_action"),
        )  # fmt: skip
    decline = _decline(context, intent, card)
    charge = Charge(id=context.ids.prefixed("ch_3"), created=context.at, amount=intent.amount)
    if decline is not None:
        return _refused(intent, replace(charge, decline=decline), decline, events)
    events = (*events, "charge.succeeded")
    if intent.capture_method == "manual":
        held = replace(
            intent, status="requires_capture", charges=(*intent.charges, charge), decline=None
        )
        events = (*events, "payment_intent.amount_capturable_updated")
        return _moved(held, "authorized", intent.amount, events)
    charge = replace(charge, amount_captured=intent.amount, captured=True)
    paid = replace(intent, status="succeeded", charges=(*intent.charges, charge), decline=None)
    return _moved(paid, "charged", intent.amount, (*events, "payment_intent.succeeded"))


def _decline(context: StripeContext, intent: Intent, card: cards.Card) -> Decline | None:
    spec = context.faults.replacing
    if spec is not None and spec.kind is FaultKind.DECLINE:
        return cards.SCRIPTED.get(spec.code or "", cards.GENERIC)
    if card.needs_action:
        return cards.AUTHENTICATION
    amount_minor = currencies.iso_minor(intent.amount, intent.currency)
    return card.decline or cards.MAGIC_AMOUNTS.get(amount_minor)


def _released(intent: Intent, at: float, reason: str | None, event: str) -> Decision:
    """Cancel an intent that holds money."""
    *earlier, held = intent.charges
    cancelled = replace(
        intent,
        status="canceled",
        charges=(*earlier, replace(held, cancelled=True)),
        canceled_at=int(at),
        cancellation_reason=reason,
    )
    return _moved(cancelled, "voided", intent.amount, (event, "payment_intent.canceled"))


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


def _moved(intent: Intent, effect: str, amount: int, events: tuple[str, ...]) -> Decision:
    return Decision(
        status=200,
        outcome="ok",
        writes=(intent,),
        keeps_key=True,
        effect=effect,
        payment_id=intent.metadata.get(PAYMENT_ID),
        amount_minor=currencies.iso_minor(amount, intent.currency),
        currency=intent.currency.upper(),
        reference=intent.id,
        events=events,
    )


def _wrong_state(intent: Intent, message: str) -> Decision:
    code = "payment_intent_unexpected_state"
    failure: Failure = failures.state(message, code)
    return Decision(
        status=failure.status,
        outcome=code,
        writes=(intent,),
        error=failure,
        keeps_key=True,
        payment_id=intent.metadata.get(PAYMENT_ID),
        reference=intent.id,
    )
