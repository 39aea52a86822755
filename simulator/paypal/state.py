"""Everything PayPal has on record. Changed only by `put`, which journal entries drive."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import orjson

from simulator.entries import StoredObject, reader
from simulator.indices import Index
from simulator.paypal.records import (
    DECODERS,
    Authorization,
    Capture,
    Listener,
    Order,
    PayPalDispute,
    PayPalRefund,
)
from simulator.spill import Spill, Spilled

_PAID: Final = frozenset(
    "CAPTURED COMPLETED CREATED PARTIALLY_CAPTURED PARTIALLY_REFUNDED PENDING REFUNDED".split()
)


class PayPalState:
    """Orders and what was made of them, of one merchant."""

    def __init__(self, file: Spill) -> None:
        self.orders: Spilled[Order] = Spilled(file, reader(Order, DECODERS))
        self.authorizations: Spilled[Authorization] = Spilled(file, reader(Authorization, DECODERS))
        self.captures: Spilled[Capture] = Spilled(file, reader(Capture, DECODERS))
        self.refunds: Spilled[PayPalRefund] = Spilled(file, reader(PayPalRefund, DECODERS))
        self.disputes: Spilled[PayPalDispute] = Spilled(file, reader(PayPalDispute, DECODERS))
        self.listeners: dict[str, Listener] = {}
        self._order_of_invoice: Spilled[str] = Spilled(file, orjson.loads)
        self._orders_of_payment = Index(file)
        self._refunds_of_capture = Index(file)
        self._refunds_named = Index(file)
        self._disputes_of_capture = Index(file)

    def put(self, record: StoredObject) -> None:
        """Take a record as the present state of its object."""
        match record:
            case Order():
                if self.orders.put(record.id, record) and record.custom_id is not None:
                    self._orders_of_payment.add(record.custom_id, record.id)
            case Authorization():
                self.authorizations[record.id] = record
                self._note_invoice(record)
            case Capture():
                self.captures[record.id] = record
                self._note_invoice(record)
            case PayPalRefund():
                self._put_refund(record)
            case PayPalDispute():
                if self.disputes.put(record.id, record):
                    self._disputes_of_capture.add(record.capture_id, record.id)
            case Listener():
                self.listeners[record.id] = record
            case _:
                raise TypeError(f"no place for a {record.kind}")

    def refunds_of(self, captures: Iterable[str]) -> list[PayPalRefund]:
        """The refunds of these captures, oldest first per capture."""
        return [
            self.refunds[given]
            for one in captures
            for given in reversed([*self._refunds_of_capture.newest_first(one)])
        ]

    def order_of(self, payment_id: str) -> Order | None:
        """The newest order for a payment that was paid, or the newest."""
        orders = [self.orders[one] for one in self._orders_of_payment.newest_first(payment_id)]
        paid = (one for one in orders if one.captures or one.authorizations)
        return next(paid, orders[0] if orders else None)

    def refund_named(self, name: str) -> PayPalRefund | None:
        """The refund of this id, or the newest whose custom id it is."""
        newest = next(self._refunds_named.newest_first(name), name)
        return self.refunds.get(name) or self.refunds.get(newest)

    def open_dispute(self, captures: Iterable[str]) -> PayPalDispute | None:
        """The oldest dispute of these captures that has no outcome."""
        ids = (one for each in captures for one in self._disputes_of_capture.newest_first(each))
        disputes = (self.disputes[one] for one in sorted(ids))
        return next((one for one in disputes if one.outcome is None), None)

    def is_invoiced_elsewhere(self, invoice_id: str | None, order_id: str) -> bool:
        """Whether another order was paid, or holds money, under this invoice id."""
        first = None if invoice_id is None else self._order_of_invoice.get(invoice_id)
        return first not in (None, order_id)

    def _note_invoice(self, paid: Authorization | Capture) -> None:
        invoice_id = paid.invoice_id
        if invoice_id is None or paid.status not in _PAID or invoice_id in self._order_of_invoice:
            return
        self._order_of_invoice[invoice_id] = paid.order_id

    def _put_refund(self, refund: PayPalRefund) -> None:
        if self.refunds.put(refund.id, refund):
            self._refunds_of_capture.add(refund.capture_id, refund.id)
            if refund.our_id is not None:
                self._refunds_named.add(refund.our_id, refund.id)
