"""A payment's answer as bytes, from one dict.

`PaymentResponse` is what is documented, and says the same at ten times the price; a test holds the
two equal for every state that a payment can be in.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import orjson

from payments.money import format_amount

if TYPE_CHECKING:
    from payments.payment import Payment

# Most amounts of an answer are nothing, and of all answers few are not among those before.
_AMOUNTS_MAX: Final = 4096
_decimal = lru_cache(maxsize=_AMOUNTS_MAX)(format_amount)


def payment_json(payment: Payment) -> bytes:
    """The payment as its owner sees it."""
    return orjson.dumps(_shown(payment), option=orjson.OPT_UTC_Z)


def _shown(payment: Payment) -> dict[str, object]:
    currency, destination = payment.currency, payment.destination_account_id
    # In the order of the model's fields. Ids are the driver's own UUIDs as often as not, which
    # orjson does not know.
    return {
        "id": str(payment.id),
        "payment_type": payment.payment_type,
        "source_account_id": str(payment.source_account_id),
        "destination_account_id": None if destination is None else str(destination),
        "amount": _decimal(payment.amount.amount_minor, currency),
        "amount_minor": payment.amount.amount_minor,
        "currency": currency,
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
        "idempotency_key": payment.idempotency_key,
        "captured": _decimal(payment.captured_minor, currency),
        "refunded": _decimal(payment.refunded_minor, currency),
        "refundable": _decimal(payment.refundable_minor, currency),
        "disputed": _decimal(payment.disputed_minor, currency),
        "disputed_minor": payment.disputed_minor,
    }
