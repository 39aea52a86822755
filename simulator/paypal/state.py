"""Everything PayPal has on record. Changed only by `put`, which journal entries drive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from simulator.entries import StoredObject
from simulator.paypal.records import (
    Authorization,
    Capture,
    Listener,
    Order,
    PayPalDispute,
    PayPalRefund,
)

_PAID: Final = frozenset(
    "CAPTURED COMPLETED CREATED PARTIALLY_CAPTURED PARTIALLY_REFUNDED PENDING REFUNDED".split()
)


@dataclass(slots=True)
class PayPalState:
    """Orders and what was made of them, of one merchant."""

    orders: dict[str, Order] = field(default_factory=dict)
    authorizations: dict[str, Authorization] = field(default_factory=dict)
    captures: dict[str, Capture] = field(default_factory=dict)
    refunds: dict[str, PayPalRefund] = field(default_factory=dict)
    disputes: dict[str, PayPalDispute] = field(default_factory=dict)
    listeners: dict[str, Listener] = field(default_factory=dict)
    _order_of_invoice: dict[str, str] = field(default_factory=dict)
    _refunds_of_capture: dict[str, dict[str, PayPalRefund]] = field(default_factory=dict)

    def put(self, record: StoredObject) -> None:
        """Take a record as the present state of its object."""
        match record:
            case Order():
                self.orders[record.id] = record
            case Authorization():
                self.authorizations[record.id] = record
                self._note_invoice(record)
            case Capture():
                self.captures[record.id] = record
                self._note_invoice(record)
            case PayPalRefund():
                self.refunds[record.id] = record
                self._refunds_of_capture.setdefault(record.capture_id, {})[record.id] = record
            case PayPalDispute():
                self.disputes[record.id] = record
            case Listener():
                self.listeners[record.id] = record
            case _:
                raise TypeError(f"no place for a {record.kind}")

    def refunds_of(self, captures: Iterable[str]) -> list[PayPalRefund]:
        """The refunds of these captures, oldest first per capture."""
        return [
            given for one in captures for given in self._refunds_of_capture.get(one, {}).values()
        ]

    def order_of(self, payment_id: str) -> Order | None:
        """The newest order for a payment that was paid, or the newest."""
        orders = [one for one in reversed(self.orders.values()) if one.custom_id == payment_id]
        paid = (one for one in orders if one.captures or one.authorizations)
        return next(paid, orders[0] if orders else None)

    def refund_named(self, name: str) -> PayPalRefund | None:
        """The refund of this id, or the newest whose custom id it is."""
        if name in self.refunds:
            return self.refunds[name]
        newest = reversed(self.refunds.values())
        return next((one for one in newest if one.our_id == name), None)

    def open_dispute(self, captures: Iterable[str]) -> PayPalDispute | None:
        """The oldest dispute of these captures that has no outcome."""
        wanted = frozenset(captures)
        return next(
            (
                one
                for one in self.disputes.values()
                if one.outcome is None and one.capture_id in wanted
            ),
            None,
        )

    def is_invoiced_elsewhere(self, invoice_id: str | None, order_id: str) -> bool:
        """Whether another order was paid, or holds money, under this invoice id."""
        if invoice_id is None:
            return False
        return self._order_of_invoice.get(invoice_id, order_id) != order_id

    def _note_invoice(self, paid: Authorization | Capture) -> None:
        if paid.invoice_id is not None and paid.status in _PAID:
            self._order_of_invoice.setdefault(paid.invoice_id, paid.order_id)
