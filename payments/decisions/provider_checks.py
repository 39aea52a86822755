"""What is asked of a provider's rules before it is owed anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payments.decision import Context, RefusalCode, Refused
from payments.provider_rules import Breach

if TYPE_CHECKING:
    from payments.money import Money
    from payments.outcome import Operation
    from payments.payment import Provider

_CODES: Final = {
    Breach.OPERATION: RefusalCode.OPERATION_NOT_SUPPORTED,
    Breach.CURRENCY: RefusalCode.CURRENCY_NOT_SUPPORTED,
    Breach.AMOUNT: RefusalCode.AMOUNT_NOT_SUPPORTED,
}


def unsupported(
    provider: Provider | None, operation: Operation, amount: Money, at: Context
) -> Refused | None:
    """Why the provider would refuse the operation, if that can be known before it is asked."""
    rules = at.rules.get(provider) if provider else None
    broken = rules.broken_by(operation, amount) if rules else None
    return Refused(_CODES[broken.breach], broken.detail) if broken else None
