"""Whether a webhook comes from the provider it claims to come from, and what it is about.

Only the exact bytes received can be verified, never a parsed and re-encoded body. A valid
signature makes an event a hint to go and ask, not a fact: it may be late, repeated or out
of order.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from payments.notification import ProviderNotification
from payments.record import Struct


class Verdict(StrEnum):
    """What is known of a webhook's origin.

    EXPIRED is genuine but too old: a replay, or a clock gone wrong. UNDECIDED could not be
    checked now: answer with a status that makes the provider send it again.
    """

    VALID = "valid"
    MALFORMED = "malformed"
    MISMATCH = "mismatch"
    EXPIRED = "expired"
    UNDECIDED = "undecided"


class PaymentNotification(Struct, frozen=True):
    """An event, and the payment of ours that it names."""

    event: ProviderNotification
    payment_id: UUID


class RefundNotification(Struct, frozen=True):
    """An event, and the refund of ours that it names."""

    event: ProviderNotification
    refund_id: UUID


class ReferenceNotification(Struct, frozen=True):
    """An event about an object that names nothing of ours: whose it is, its provider can tell.

    `reference` is for `Gateway.look` of the same provider only.
    """

    event: ProviderNotification
    reference: str


Notification = PaymentNotification | RefundNotification | ReferenceNotification


class WebhookSource(Protocol):
    """One provider's webhooks, as it sends them to one address."""

    @property
    def name(self) -> str: ...

    async def verify(self, headers: Mapping[str, str], payload: bytes) -> Verdict:
        """Whether the provider sent this; `headers` are found in whatever case."""
        ...

    def read(self, payload: bytes) -> Notification | None:
        """What a genuine payload says of what may be ours; None: nothing.

        Raises ValueError for one that is no event of this provider's.
        """
        ...

    async def aclose(self) -> None:
        """Let go of what it verifies with."""
        ...


def our_id(text: str | None) -> UUID | None:
    """An id as we give them to providers; None for what somebody else put there."""
    try:
        found = UUID(text or "")
    except ValueError:
        return None
    return found if str(found) == text else None
