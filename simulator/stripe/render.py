"""Records as the JSON objects Stripe's API answers with, every documented field present."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import blake2b
from typing import Final

from simulator.stripe import cards
from simulator.stripe.records import (
    Charge,
    Customer,
    Dispute,
    Endpoint,
    Intent,
    PaymentMethod,
    Refund,
)
from simulator.stripe.state import Event, StripeState

API_VERSION: Final = "2026-10-28.endive"
# A bank waits two to three weeks for evidence.
_EVIDENCE_S: Final = 14 * 24 * 3600
_ECHOED: Final = (
    "customer",
    "description",
    "on_behalf_of",
    "receipt_email",
    "setup_future_usage",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
    "application_fee_amount",
)


def intent_object(
    intent: Intent, expand: Collection[str] = (), state: StripeState | None = None
) -> dict[str, object]:
    """A PaymentIntent; `latest_charge` is an id unless expanded."""
    charge = intent.charge
    latest: object = charge.id if charge is not None else None
    if charge is not None and "latest_charge" in expand:
        latest = charge_object(intent, charge, state)
    automatic = {
        "enabled": True,
        "allow_redirects": "always" if intent.redirects else "never",
    }
    listed = intent.extra.get("payment_method_types")
    return {
        "id": intent.id,
        "object": "payment_intent",
        "allowed_payment_method_types": intent.extra.get("allowed_payment_method_types"),
        "amount": intent.amount,
        "amount_capturable": intent.amount_capturable,
        "amount_details": {"tip": {}},
        "amount_received": intent.amount_received,
        "application": None,
        "automatic_payment_methods": None if listed else automatic,
        "canceled_at": intent.canceled_at,
        "cancellation_reason": intent.cancellation_reason,
        "capture_method": intent.capture_method,
        "client_secret": _client_secret(intent),
        "confirmation_method": intent.confirmation_method,
        "created": int(intent.created),
        "currency": intent.currency,
        "last_payment_error": _last_error(intent),
        "latest_charge": latest,
        "livemode": False,
        "metadata": intent.metadata,
        "next_action": _next_action(intent),
        "payment_method": intent.payment_method,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": listed or ["card"],
        "processing": None,
        "review": None,
        "source": None,
        "status": intent.status,
        **{name: intent.extra.get(name) for name in _ECHOED},
    }


def _client_secret(intent: Intent) -> str:
    """Made of the id, so that it need not be kept: it opens nothing here."""
    return f"{intent.id}_secret_{blake2b(intent.id.encode(), digest_size=12).hexdigest()}"


def _next_action(intent: Intent) -> dict[str, object] | None:
    if intent.status != "requires_action":
        return None
    return_url = intent.extra.get("return_url")
    if return_url is None:
        return {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}
    url = f"https://hooks.stripe.com/3d_secure_2/hosted?payment_intent={intent.id}"
    return {"type": "redirect_to_url", "redirect_to_url": {"return_url": return_url, "url": url}}


def _last_error(intent: Intent) -> dict[str, object] | None:
    if intent.decline is None:
        return None
    charge = intent.charge
    return {
        "charge": charge.id if charge is not None else None,
        "code": intent.decline.code,
        "decline_code": intent.decline.decline_code,
        "message": intent.decline.message,
        "type": "card_error",
    }


def charge_object(
    intent: Intent, charge: Charge, state: StripeState | None = None
) -> dict[str, object]:
    """A Charge of an intent."""
    decline = charge.decline
    refunds = state.refunds_of(charge.id) if state is not None else []
    return {
        "id": charge.id,
        "object": "charge",
        "amount": charge.amount,
        "amount_captured": charge.amount_captured,
        "amount_refunded": charge.amount_refunded,
        "application": None,
        "balance_transaction": f"txn_{charge.id[3:]}" if charge.captured else None,
        "billing_details": {"address": {}, "email": None, "name": None, "phone": None},
        "calculated_statement_descriptor": "SIMULATOR",
        "captured": charge.captured,
        "created": int(charge.created),
        "currency": intent.currency,
        "customer": intent.extra.get("customer"),
        "description": intent.extra.get("description"),
        "disputed": charge.disputed,
        "failure_balance_transaction": None,
        "failure_code": decline.code if decline is not None else None,
        "failure_message": decline.message if decline is not None else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent.metadata,
        "outcome": _outcome(charge),
        "paid": decline is None and not charge.pending,
        "payment_intent": intent.id,
        "payment_method": intent.payment_method,
        "payment_method_details": _card_details(
            state.card_of(intent.payment_method) if state else None
        ),
        "receipt_email": intent.extra.get("receipt_email"),
        "receipt_number": None,
        "receipt_url": None,
        "refunded": charge.cancelled or 0 < charge.amount_captured <= charge.amount_refunded,
        "refunds": page([refund_object(refund) for refund in refunds], f"/v1/charges/{charge.id}"),
        "review": None,
        "shipping": intent.extra.get("shipping"),
        "source": None,
        "statement_descriptor": intent.extra.get("statement_descriptor"),
        "status": "failed" if decline else "pending" if charge.pending else "succeeded",
        "transfer_group": intent.extra.get("transfer_group"),
    }


def _outcome(charge: Charge) -> dict[str, object]:
    if charge.decline is None:
        return {
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "normal",
            "seller_message": "Payment complete.",
            "type": "authorized",
        }
    blocked = charge.decline.decline_code == "fraudulent"
    return {
        "network_status": "not_sent_to_network" if blocked else "declined_by_network",
        "reason": "highest_risk_level" if blocked else charge.decline.decline_code,
        "risk_level": "highest" if blocked else "normal",
        "seller_message": "The bank did not return any further details with this decline.",
        "type": "blocked" if blocked else "issuer_declined",
    }


def _card_details(card: cards.Card | None) -> dict[str, object]:
    card = card or cards.Card()
    return {
        "type": "card",
        "card": {
            "brand": card.brand,
            "country": "US",
            "exp_month": 12,
            "exp_year": 2034,
            "funding": "credit",
            "last4": card.last4,
            "network": card.brand,
        },
    }


def refund_object(refund: Refund) -> dict[str, object]:
    """A Refund."""
    failed = refund.status == "failed"
    return {
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount,
        "balance_transaction": f"txn_{refund.id[3:]}",
        "charge": refund.charge,
        "created": int(refund.created),
        "currency": refund.currency,
        "destination_details": {"type": "card", "card": {"type": "refund"}},
        "metadata": refund.metadata,
        "payment_intent": refund.payment_intent,
        "reason": refund.reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": refund.status,
        "transfer_reversal": None,
        **(_failure(refund) if failed else {}),
    }


def _failure(refund: Refund) -> dict[str, object]:
    return {
        "failure_balance_transaction": f"txn_f{refund.id[3:]}",
        "failure_reason": refund.failure_reason,
    }


def dispute_object(dispute: Dispute) -> dict[str, object]:
    """A Dispute, with what it did to the account's balance. No fee is charged here."""
    movements = [_movement(dispute, "withdrawal", -dispute.amount, dispute.created)]
    if dispute.status == "won" and dispute.closed_at is not None:
        movements.append(_movement(dispute, "reversal", dispute.amount, dispute.closed_at))
    return {
        "id": dispute.id,
        "object": "dispute",
        "amount": dispute.amount,
        "balance_transactions": movements,
        "charge": dispute.charge,
        "created": int(dispute.created),
        "currency": dispute.currency,
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {
            "due_by": int(dispute.created) + _EVIDENCE_S,
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "network_reason_code": "10.4",
        "payment_intent": dispute.payment_intent,
        "payment_method_details": {
            "type": "card",
            "card": {"brand": "visa", "case_type": "chargeback", "network_reason_code": "10.4"},
        },
        "reason": dispute.reason,
        "status": dispute.status,
    }


def _movement(dispute: Dispute, name: str, amount: int, at: float) -> dict[str, object]:
    return {
        "id": f"txn_{name[0]}{dispute.id[3:]}",
        "object": "balance_transaction",
        "amount": amount,
        "created": int(at),
        "currency": dispute.currency,
        "description": f"Chargeback {name} for {dispute.charge}",
        "fee": 0,
        "fee_details": [],
        "net": amount,
        "reporting_category": "dispute" if amount < 0 else "dispute_reversal",
        "source": dispute.id,
        "status": "available",
        "type": "adjustment",
    }


def event_object(event: Event) -> dict[str, object]:
    """An Event, as listed and as posted to webhook endpoints."""
    return {
        "id": event.id,
        "object": "event",
        "api_version": API_VERSION,
        "created": int(event.created),
        "data": {"object": _subject(event)},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": event.request_id, "idempotency_key": event.key},
        "type": event.type,
    }


def _subject(event: Event) -> Mapping[str, object]:
    match event.subject:
        case Refund() as refund:
            return refund_object(refund)
        case Dispute() as dispute:
            return dispute_object(dispute)
        case intent:
            if event.type.startswith("charge.") and intent.charge is not None:
                return charge_object(intent, intent.charge)
            return intent_object(intent)


def customer_object(customer: Customer) -> dict[str, object]:
    """A Customer."""
    return {
        "id": customer.id,
        "object": "customer",
        "created": int(customer.created),
        "email": customer.email,
        "livemode": False,
        "metadata": customer.metadata,
        "name": customer.name,
    }


def payment_method_object(method: PaymentMethod) -> dict[str, object]:
    """A PaymentMethod."""
    return {
        "id": method.id,
        "object": "payment_method",
        "billing_details": {"address": {}, "email": None, "name": None, "phone": None},
        "created": int(method.created),
        "customer": method.customer,
        "livemode": False,
        "metadata": {},
        **_card_details(cards.find(method.like)),
    }


def endpoint_object(endpoint: Endpoint, *, with_secret: bool) -> dict[str, object]:
    """A WebhookEndpoint; its secret is shown only when it is created."""
    return {
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "api_version": None,
        "application": None,
        "created": int(endpoint.created),
        "description": None,
        "enabled_events": list(endpoint.enabled_events),
        "livemode": False,
        "metadata": {},
        "status": "enabled",
        "url": endpoint.url,
        **({"secret": endpoint.secret} if with_secret else {}),
    }


def page(data: list[dict[str, object]], url: str, *, has_more: bool = False) -> dict[str, object]:
    """A list object; the client asks `url` for the next page."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}
