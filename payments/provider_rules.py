"""What a provider takes, as data: which operations, which currencies, which amounts of each.

The rules are a provider's own, from its documents; its folder declares them. Who accepts a
request and who makes the call ask the same rules, so that nothing is accepted that would only be
refused later. They say no only where the provider surely would: what hangs on a card or on an
account's settings is the provider's to decline. Amounts are ISO 4217's minor units.
"""

from __future__ import annotations

import re
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from payments.money import Money
from payments.outcome import MAKES_A_PAYMENT, Operation
from payments.record import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping

_NONE: Final[Mapping[str, int]] = MappingProxyType({})


class Breach(StrEnum):
    """What a request is about that its provider does not take, in order of precedence."""

    OPERATION = "operation"
    CURRENCY = "currency"
    AMOUNT = "amount"


class Broken(Struct, frozen=True):
    """A rule that a request breaks, and how it reads."""

    breach: Breach
    detail: str


class ProviderRules(Struct, frozen=True, kw_only=True):
    """What a provider, called `title` by people, takes.

    `currencies` None: any, as far as can be known. Amounts are multiples of their currency's step
    (1 where none is named), for every operation; a payment is at least and at most of these
    amounts, which binds no capture or refund: those are parts of it. `shared_methods` is the
    regular expression of payment methods that belong to nobody: its documented test tokens.
    """

    title: str
    operations: frozenset[Operation] = frozenset(Operation)
    currencies: frozenset[str] | None = None
    steps: Mapping[str, int] = field(default_factory=lambda: _NONE)
    least: Mapping[str, int] = field(default_factory=lambda: _NONE)
    greatest: Mapping[str, int] = field(default_factory=lambda: _NONE)
    shared_methods: str = ""

    def broken_by(self, operation: Operation, amount: Money | None) -> Broken | None:
        """The first rule that a request breaks; a void has no amount."""
        if operation not in self.operations:
            return Broken(Breach.OPERATION, f"{self.title} does not {operation}")
        if amount is None:
            return None
        if self.currencies is not None and amount.currency not in self.currencies:
            return Broken(Breach.CURRENCY, f"{self.title} does not take {amount.currency}")
        wanted = self._wanted(operation, amount)
        if wanted is None:
            return None
        return Broken(Breach.AMOUNT, f"{amount} is not {wanted}, as {self.title} wants it")

    def expresses(self, amount: Money) -> bool:
        """Whether the amount can be written as the provider writes it."""
        return amount.amount_minor % self.steps.get(amount.currency, 1) == 0

    def shares(self, reference: str) -> bool:
        """Whether a payment method is everybody's."""
        return re.fullmatch(self.shared_methods, reference) is not None

    def _wanted(self, operation: Operation, amount: Money) -> str | None:
        currency = amount.currency
        if not self.expresses(amount):
            return f"a multiple of {Money(self.steps[currency], currency)}"
        if operation not in MAKES_A_PAYMENT:
            return None
        least, greatest = self.least.get(currency), self.greatest.get(currency)
        if least is not None and amount.amount_minor < least:
            return f"at least {Money(least, currency)}"
        if greatest is not None and amount.amount_minor > greatest:
            return f"at most {Money(greatest, currency)}"
        return None
