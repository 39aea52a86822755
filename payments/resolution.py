"""What an operator says became of a payment or a refund whose outcome nobody knew.

Whoever resolves has looked at the provider's own books; what was found there is said whole,
amount and reference, and signed. Nothing is guessed for them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from payments.needs import Needs
from payments.record import Struct

if TYPE_CHECKING:
    from uuid import UUID

    from payments.money import Money


# A provider's own name for what it did: visible characters of ASCII, as all of theirs are.
REFERENCE: Final = re.compile(r"[!-~]{1,255}", re.ASCII)


class Happened(Struct, frozen=True):
    """The provider did it: of this amount, which it calls `reference` (of form REFERENCE)."""

    amount: Money
    reference: str


class Captured(Struct, frozen=True):
    """The provider has taken this much of what it held, by whosever word, as `reference`."""

    amount: Money
    reference: str


class DidNotHappen(Struct, frozen=True):
    """The provider did not do it, and will not."""


Verdict = Happened | Captured | DidNotHappen


class ResolvePayment(Struct, frozen=True):
    """End a payment's doubt; None as tenant means any (an operator at the console)."""

    payment_id: UUID
    actor: str
    reason: str
    verdict: Verdict
    tenant_id: str | None = None

    def needs(self) -> Needs:
        """The payment, and the letters about its outcome."""
        return Needs(payment_ids=(self.payment_id,), unresolved=True)


class ResolveRefund(Struct, frozen=True):
    """End a refund's doubt; None as tenant means any."""

    refund_id: UUID
    actor: str
    reason: str
    verdict: Verdict
    tenant_id: str | None = None

    def needs(self) -> Needs:
        """The refund with its payment, and the letters about its outcome."""
        return Needs(refund_ids=(self.refund_id,), unresolved=True)
