"""What is kept of an event: of a payment's first all, and of each later one what may have changed.

A message is the payment after the change, and most of it never changes, or is nothing, or stands in
the event's own columns. The history keeps none of that twice; who reads an event is given it whole
again, with what never changes from the payment itself, whose history may be archived.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, get_args

import orjson
from pydantic import BaseModel

from payments.payment import CaptureMethod
from topics.contracts.payloads import DisputeData, PaymentData, PaymentEventData, RefundData

if TYPE_CHECKING:
    from datetime import datetime

    from payments.events import Event
    from payments.payment import Payment

# No UPDATE of a payment names one of these (`update_payments`).
_NEVER_CHANGED: Final = frozenset(
    {
        "id",
        "payment_type",
        "source_account_id",
        "destination_account_id",
        "amount",
        "amount_minor",
        "currency",
        "capture_method",
        "provider",
        "description",
        "metadata",
        "max_retries",
        "created_at",
    }
)
# What the row of an event says itself, or what follows from what is kept.
_IN_COLUMNS: Final = frozenset({"id", "version", "amount"})
_KNOWN_LATER: Final = _IN_COLUMNS | _NEVER_CHANGED
# What is not kept when it is when the event took place; of a payment's first it is.
_TIMES: Final = ("created_at", "updated_at")
# What is not kept when it is this.
_NOTHING: Final[Mapping[str, object]] = {
    "captured_minor": 0,
    "refunded_minor": 0,
    "retry_count": 0,
    "disputed_minor": 0,
    "metadata": {},
    "capture_method": CaptureMethod.AUTOMATIC.value,
}
_SUBJECTS: Final[Mapping[str, type[BaseModel]]] = {
    "payment": PaymentData,
    "refund": RefundData,
    "dispute": DisputeData,
}
_NULLS: Final = {
    subject: {
        name: None
        for name, field in model.model_fields.items()
        if type(None) in get_args(field.annotation)
    }
    for subject, model in _SUBJECTS.items()
}


class Told(NamedTuple):
    """An event as the world is told it, if it is, and what the history keeps of it; both JSON."""

    message: str
    kept: str


def told(event: Event) -> Told:
    """An event in words: what `event_data` says, written from one dict at a tenth of the price."""
    refund = RefundData.of(event.refund).model_dump(mode="json") if event.refund else None
    dispute = DisputeData.of(event.dispute).model_dump(mode="json") if event.dispute else None
    parts = {"payment": _said_of(event.payment), "refund": refund, "dispute": dispute}
    return Told(_as_text(parts) if event.is_public else "", _as_text(_kept(event, parts)))


def event_data(event: Event) -> PaymentEventData:
    """An event as the world sees it."""
    return PaymentEventData(
        payment=PaymentData.of(event.payment),
        refund=RefundData.of(event.refund) if event.refund else None,
        dispute=DisputeData.of(event.dispute) if event.dispute else None,
    )


def _said_of(payment: Payment) -> dict[str, object]:
    """As `PaymentData` says it, field by field, which a test holds it to."""
    destination, amount = payment.destination_account_id, payment.amount
    # The driver's UUIDs are none that orjson knows.
    return {
        "id": str(payment.id),
        "payment_type": payment.payment_type,
        "source_account_id": str(payment.source_account_id),
        "destination_account_id": None if destination is None else str(destination),
        "amount": amount.decimal,
        "amount_minor": amount.amount_minor,
        "currency": amount.currency,
        "status": payment.status,
        "capture_method": payment.capture_method,
        "captured_minor": payment.captured_minor,
        "refunded_minor": payment.refunded_minor,
        "provider": payment.provider,
        "provider_transaction_id": payment.provider_reference,
        "description": payment.description,
        "metadata": payment.metadata,
        "retry_count": payment.progress.retry_count,
        "max_retries": payment.progress.max_retries,
        "last_error_code": payment.last_error_code,
        "last_error": payment.last_error,
        "version": payment.version,
        "created_at": payment.created_at,
        "updated_at": payment.updated_at,
        "completed_at": payment.completed_at,
        "authorization_expires_at": payment.authorization_expires_at,
        "disputed_minor": payment.disputed_minor,
    }


def _kept(
    event: Event, parts: Mapping[str, dict[str, object] | None]
) -> dict[str, dict[str, object]]:
    """Of each part what is something and cannot be known otherwise."""
    left_out = _IN_COLUMNS if event.payment.version == 1 else _KNOWN_LATER
    kept = {
        subject: {name: value for name, value in part.items() if value is not None}
        for subject, part in parts.items()
        if part is not None
    }
    kept["payment"] = {
        name: value
        for name, value in kept["payment"].items()
        if name not in left_out
        and not (name in _NOTHING and value == _NOTHING[name])
        and not (name in _TIMES and value == event.occurred_at)
    }
    return kept


def _as_text(parts: Mapping[str, object]) -> str:
    return orjson.dumps(parts, option=orjson.OPT_UTC_Z).decode()


def never_changed(payment: Payment) -> Mapping[str, object]:
    """Of every event of this payment the same."""
    return PaymentData.of(payment).model_dump(mode="json", include={*_NEVER_CHANGED})


def whole(
    data: str, of_payment: Mapping[str, object], version: int, occurred_at: datetime
) -> dict[str, object]:
    """An event as it was, from what was kept of it, its payment and its columns."""
    said: dict[str, dict[str, object]] = orjson.loads(data)
    columns = {"version": version, "updated_at": _as_json(occurred_at)}
    said["payment"] = {**_NOTHING, **columns, **of_payment, **said["payment"]}
    return {
        subject: nulls | said[subject] if said.get(subject) else None
        for subject, nulls in _NULLS.items()
    }


def _as_json(at: datetime) -> str:
    """As pydantic writes a time that is in UTC."""
    return at.isoformat().replace("+00:00", "Z")
