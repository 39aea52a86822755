"""What is kept of an event: of a payment's first all, and of each later one what may have changed.

A message is the payment after the change, and most of it never changes. The history keeps that
once, and no nulls but those of `metadata`; who reads an event is given it whole again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, get_args

import orjson
from pydantic import BaseModel

from topics.contracts.payloads import DisputeData, PaymentData, PaymentEventData, RefundData

if TYPE_CHECKING:
    from payments.events import Event

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


def event_data(event: Event) -> PaymentEventData:
    """An event as the world sees it."""
    return PaymentEventData(
        payment=PaymentData.of(event.payment),
        refund=RefundData.of(event.refund) if event.refund else None,
        dispute=DisputeData.of(event.dispute) if event.dispute else None,
    )


def kept(event: Event, data: PaymentEventData) -> str:
    """What the history keeps of it."""
    is_first = event.payment.version == 1
    known = None if is_first else {"payment": set(_NEVER_CHANGED)}
    return data.model_dump_json(exclude=known, exclude_none=True)


def whole(data: str, first: str | None) -> dict[str, object]:
    """An event as it was, from what was kept of it and of the payment's first."""
    told: dict[str, dict[str, object]] = orjson.loads(data)
    began = orjson.loads(first)["payment"] if first else {}
    never_changed = {name: value for name, value in began.items() if name in _NEVER_CHANGED}
    told["payment"] = never_changed | told["payment"]
    return {
        subject: nulls | told[subject] if told.get(subject) else None
        for subject, nulls in _NULLS.items()
    }
