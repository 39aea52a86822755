"""Records as the JSON PayPal answers with, minimal or in full, links included."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from simulator.entries import StoredObject
from simulator.paypal.amounts import money
from simulator.paypal.records import (
    Authorization,
    Capture,
    Order,
    PayPalDispute,
    PayPalRefund,
)
from simulator.paypal.state import PayPalState

_MINIMAL: Final = ("id", "status", "links")
_PAYEE: Final = {"email_address": "merchant@example.com", "merchant_id": "MERCHANTSIMUL"}
_PROTECTION: Final = {"status": "ELIGIBLE", "dispute_categories": ["ITEM_NOT_RECEIVED"]}
_RESPONSE_S: Final = 10 * 24 * 3600
_HONOR_S: Final = 29 * 24 * 3600  # an authorization can be captured for 29 days


def resource(
    record: StoredObject, state: PayPalState, host: str, *, minimal: bool
) -> dict[str, object]:
    """Any record; links point at `host`, the address the client came by."""
    match record:
        case Order():
            full = _order(record, state, host)
        case Authorization():
            full = _authorization(record, host)
        case Capture():
            full = _capture(record, host)
        case PayPalRefund():
            full = _refund(record, host)
        case PayPalDispute():
            return _dispute(record, state, host)
        case _:
            raise AssertionError(f"no resource is shown for a {record.kind}")
    return {name: full[name] for name in _MINIMAL} if minimal else full


def stamp(at: float) -> str:
    """RFC 3339 in UTC, to the second, as PayPal writes times."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _order(order: Order, state: PayPalState, host: str) -> dict[str, object]:
    unit: dict[str, object] = {
        "reference_id": order.reference_id,
        "amount": money(order.amount, order.currency),
        "payee": _PAYEE,
    }
    for name in ("custom_id", "invoice_id", "description"):
        if (value := getattr(order, name)) is not None:
            unit[name] = value
    made: dict[str, object] = {}
    if order.captures:
        made["captures"] = [_capture(state.captures[one], host) for one in order.captures]
    if order.authorizations:
        held = [state.authorizations[one] for one in order.authorizations]
        made["authorizations"] = [_authorization(one, host) for one in held]
    if refunds := state.refunds_of(order.captures):
        made["refunds"] = [_refund(given, host) for given in refunds]
    if made:
        unit["payments"] = made
    shown: dict[str, object] = {
        "id": order.id,
        "status": order.status,
        "intent": order.intent,
        "purchase_units": [unit],
        "create_time": stamp(order.created),
        "update_time": stamp(order.updated),
        "links": _order_links(order, host),
    }
    if order.source:
        shown["payment_source"] = order.source
        shown["payer"] = {"email_address": "payer@example.com", "payer_id": "PAYERSIMULATOR"}
    return shown


def _order_links(order: Order, host: str) -> list[dict[str, str]]:
    here = f"{host}/v2/checkout/orders/{order.id}"
    links = [_link(here, "self", "GET")]
    if order.status in ("CREATED", "PAYER_ACTION_REQUIRED"):
        rel = "approve" if order.status == "CREATED" else "payer-action"
        links.append(_link(f"{host}/checkoutnow?token={order.id}", rel, "GET"))
    if order.status != "COMPLETED":
        verb = order.intent.lower()
        links.append(_link(f"{here}/{verb}", verb, "POST"))
    return links


def _authorization(held: Authorization, host: str) -> dict[str, object]:
    here = f"{host}/v2/payments/authorizations/{held.id}"
    return {
        "id": held.id,
        "status": held.status,
        "amount": money(held.amount, held.currency),
        **_names(held),
        "seller_protection": _PROTECTION,
        "expiration_time": stamp(held.created + _HONOR_S),
        "supplementary_data": {"related_ids": {"order_id": held.order_id}},
        "create_time": stamp(held.created),
        "update_time": stamp(held.updated),
        **_processor(held.response_code),
        "links": [
            _link(here, "self", "GET"),
            _link(f"{here}/capture", "capture", "POST"),
            _link(f"{here}/void", "void", "POST"),
            _link(f"{host}/v2/checkout/orders/{held.order_id}", "up", "GET"),
        ],
    }


def _capture(taken: Capture, host: str) -> dict[str, object]:
    here = f"{host}/v2/payments/captures/{taken.id}"
    amount = money(taken.amount, taken.currency)
    nothing = {"currency_code": taken.currency, "value": "0.00"}
    related = {"order_id": taken.order_id}
    if taken.authorization_id is not None:
        related["authorization_id"] = taken.authorization_id
    return {
        "id": taken.id,
        "status": taken.status,
        "amount": amount,
        **_names(taken),
        **_status_details(_reason_of(taken)),
        "final_capture": taken.final,
        "disbursement_mode": "INSTANT",
        "seller_protection": _PROTECTION,
        "seller_receivable_breakdown": {
            "gross_amount": amount,
            "paypal_fee": nothing,
            "net_amount": amount,
        },
        "supplementary_data": {"related_ids": related},
        "create_time": stamp(taken.created),
        "update_time": stamp(taken.updated),
        **_processor(taken.response_code),
        "links": [
            _link(here, "self", "GET"),
            _link(f"{here}/refund", "refund", "POST"),
            _link(f"{host}/v2/checkout/orders/{taken.order_id}", "up", "GET"),
        ],
    }


def _refund(given: PayPalRefund, host: str) -> dict[str, object]:
    amount = money(given.amount, given.currency)
    return {
        "id": given.id,
        "status": given.status,
        "amount": amount,
        **_names(given),
        **({"note_to_payer": given.note} if given.note is not None else {}),
        **_status_details("ECHECK" if given.status in ("PENDING", "FAILED") else None),
        "seller_payable_breakdown": {
            "gross_amount": amount,
            "paypal_fee": {"currency_code": given.currency, "value": "0.00"},
            "net_amount": amount,
            "total_refunded_amount": money(given.total_refunded, given.currency),
        },
        "create_time": stamp(given.created),
        "update_time": stamp(given.updated or given.created),
        "links": [
            _link(f"{host}/v2/payments/refunds/{given.id}", "self", "GET"),
            _link(f"{host}/v2/payments/captures/{given.capture_id}", "up", "GET"),
        ],
    }


def dispute_summary(dispute: PayPalDispute, host: str) -> dict[str, object]:
    """A dispute as it is listed."""
    return {
        "dispute_id": dispute.id,
        "create_time": stamp(dispute.created),
        "update_time": stamp(dispute.updated),
        "reason": dispute.reason,
        "status": "WAITING_FOR_SELLER_RESPONSE" if dispute.outcome is None else "RESOLVED",
        "dispute_state": dispute_state(dispute),
        "dispute_amount": money(dispute.amount, dispute.currency),
        "dispute_life_cycle_stage": "CHARGEBACK",
        "dispute_channel": "INTERNAL",
        "links": [_link(f"{host}/v1/customer/disputes/{dispute.id}", "self", "GET")],
    }


def dispute_state(dispute: PayPalDispute) -> str:
    """Where the dispute stands for the merchant."""
    return "REQUIRED_ACTION" if dispute.outcome is None else "RESOLVED"


def _dispute(dispute: PayPalDispute, state: PayPalState, host: str) -> dict[str, object]:
    taken = state.captures[dispute.capture_id]
    transaction = {
        "buyer_transaction_id": f"{taken.id[:-1]}B",
        "seller_transaction_id": taken.id,
        "create_time": stamp(taken.created),
        "transaction_status": "REVERSED" if taken.lost else taken.status,
        "gross_amount": money(taken.amount, taken.currency),
        "buyer": {"name": "Payer Simulator"},
        "seller": {**_PAYEE, "name": "Merchant Simulator"},
    }
    if taken.custom_id is not None:
        transaction["custom"] = taken.custom_id
    if taken.invoice_id is not None:
        transaction["invoice_number"] = taken.invoice_id
    summary = dispute_summary(dispute, host)
    del summary["dispute_state"]
    return {**summary, "disputed_transactions": [transaction], **_outcome(dispute)}


def _outcome(dispute: PayPalDispute) -> dict[str, object]:
    """What was decided, and what it moved: nothing for the merchant who won or had refunded."""
    if dispute.outcome is None:
        return {"seller_response_due_date": stamp(dispute.created + _RESPONSE_S)}
    refunded = money(dispute.amount_refunded, dispute.currency)
    outcome: dict[str, object] = {"outcome_code": dispute.outcome}
    if not dispute.amount_refunded:
        return {"dispute_outcome": outcome}
    shown: dict[str, object] = {"dispute_outcome": {**outcome, "amount_refunded": refunded}}
    if not dispute.is_settled_by_seller:
        parties = (("SELLER", "DEBIT"), ("BUYER", "CREDIT"))
        shown["money_movements"] = [
            {
                "affected_party": party,
                "amount": refunded,
                "initiated_time": stamp(dispute.updated),
                "type": direction,
                "reason": "DISPUTE_SETTLEMENT",
            }
            for party, direction in parties
        ]
    return shown


def _reason_of(taken: Capture) -> str | None:
    """Why a capture's status is not the whole truth about it."""
    if taken.reversed:
        return "CHARGEBACK"
    if taken.disputed:
        return "BUYER_COMPLAINT"
    return "PENDING_REVIEW" if taken.status == "PENDING" else None


def _status_details(reason: str | None) -> dict[str, object]:
    return {} if reason is None else {"status_details": {"reason": reason}}


def _names(record: Authorization | Capture | PayPalRefund) -> dict[str, str]:
    """The merchant's own ids, where given."""
    names = {"custom_id": record.custom_id, "invoice_id": record.invoice_id}
    return {name: value for name, value in names.items() if value is not None}


def _processor(response_code: str | None) -> dict[str, object]:
    if response_code is None:
        return {}
    return {
        "processor_response": {"avs_code": "G", "cvv_code": "P", "response_code": response_code}
    }


def _link(href: str, rel: str, method: str) -> dict[str, str]:
    return {"href": href, "rel": rel, "method": method}
