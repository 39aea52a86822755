"""The bodies clients send, and the command each one is.

Unknown fields are refused, types are strict. What depends on two fields at once (an amount
and its currency, a type and its provider) is refused when the command is made.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from api.contract.requests.fields import (
    Amount,
    Currency,
    Description,
    Id,
    KnownProvider,
    Metadata,
    Name,
    OpeningBalance,
    ProviderReference,
    Reason,
    one_of,
)
from api.http.problems import FieldError, invalid
from payments.commands import AttachPaymentMethod, CreatePayment, OpenAccount
from payments.money import AmountError, Money, parse_amount
from payments.payment import CaptureMethod, PaymentType
from payments.resolution import Captured, DidNotHappen, Happened, Verdict
from topics.contracts.provider_names import PLACEHOLDER

_STRICT: Final = ConfigDict(extra="forbid", strict=True, frozen=True)


class CreateAccountBody(BaseModel):
    """An account to open."""

    model_config = _STRICT

    user_id: Name
    # Made, so that no default is documented: some generators cannot write one of two types.
    initial_balance: OpeningBalance = Field(
        default_factory=lambda: "0", description="Nothing unless it is said."
    )
    currency: Currency

    def command(self, tenant_id: str) -> OpenAccount:
        """The command. Raises Problem for a balance its currency cannot have."""
        balance = amount_in(self.currency, self.initial_balance, "/initial_balance")
        return OpenAccount(tenant_id=tenant_id, user_id=self.user_id, initial_balance=balance)


class AttachPaymentMethodBody(BaseModel):
    """A payment method of the account's customer, as its provider names it."""

    model_config = _STRICT

    provider: KnownProvider
    reference: Annotated[
        ProviderReference,
        Field(description="Stripe's PaymentMethod (`pm_...`), PayPal's vault id."),
    ]
    customer: Annotated[
        ProviderReference | None,
        Field(
            description="The provider's customer that it is attached to (Stripe's `cus_...`): "
            "payments with it are made for that customer, who is not there to confirm them."
        ),
    ] = None

    def command(self, tenant_id: str, account_id: UUID) -> AttachPaymentMethod:
        """The command."""
        return AttachPaymentMethod(
            tenant_id=tenant_id,
            account_id=account_id,
            provider=self.provider,
            reference=self.reference,
            customer_reference=self.customer,
        )


class CreateTransferBody(BaseModel):
    """Money to move at once between two accounts in one currency."""

    model_config = _STRICT

    source_account_id: Id
    destination_account_id: Id
    amount: Amount
    currency: Currency
    description: Description | None = None
    metadata: Metadata = {}

    def command(self, tenant_id: str, idempotency_key: str | None) -> CreatePayment:
        """The command. Raises Problem for an amount that cannot be paid."""
        return CreatePayment(
            tenant_id=tenant_id,
            payment_type=PaymentType.INTERNAL,
            source_account_id=self.source_account_id,
            destination_account_id=self.destination_account_id,
            amount=positive_amount_in(self.currency, self.amount),
            provider=None,
            capture_method=CaptureMethod.AUTOMATIC,
            idempotency_key=idempotency_key,
            description=self.description,
            metadata=self.metadata,
        )


# What `_contradictions` refuses, said in the document. By `if` and not as alternatives, since
# generators of clients would make a type of each, and lose what they have in common.
_GOES_TOGETHER: Final[JsonDict] = {
    "if": {"properties": {"payment_type": {"const": PaymentType.EXTERNAL.value}}},
    "then": {
        "required": ["provider"],
        "properties": {
            "provider": {"enum": [PLACEHOLDER]},
            "destination_account_id": {"type": "null"},
        },
    },
    "else": {
        "required": ["destination_account_id"],
        "properties": {
            "provider": {"type": "null"},
            "destination_account_id": {"type": "string"},
            "capture_method": {"const": CaptureMethod.AUTOMATIC.value},
        },
    },
}


class CreatePaymentBody(BaseModel):
    """A payment: through a provider, or between two accounts."""

    model_config = _STRICT | ConfigDict(json_schema_extra=_GOES_TOGETHER)

    payment_type: Annotated[PaymentType, one_of(PaymentType)]
    source_account_id: Id
    destination_account_id: Annotated[
        Id | None, Field(description="Required for an internal transfer, refused otherwise.")
    ] = None
    amount: Amount
    currency: Currency
    provider: Annotated[
        KnownProvider | None,
        Field(description="Required for an external payment, refused otherwise."),
    ] = None
    capture_method: Annotated[CaptureMethod, one_of(CaptureMethod)] = CaptureMethod.AUTOMATIC
    description: Description | None = None
    metadata: Metadata = {}

    def command(self, tenant_id: str, idempotency_key: str | None) -> CreatePayment:
        """The command. Raises Problem for fields that do not go together."""
        if errors := self._contradictions():
            raise invalid(*errors)
        return CreatePayment(
            tenant_id=tenant_id,
            payment_type=self.payment_type,
            source_account_id=self.source_account_id,
            destination_account_id=self.destination_account_id,
            amount=positive_amount_in(self.currency, self.amount),
            provider=self.provider,
            capture_method=self.capture_method,
            idempotency_key=idempotency_key,
            description=self.description,
            metadata=self.metadata,
        )

    def _contradictions(self) -> list[FieldError]:
        kind = self.payment_type
        external = kind is PaymentType.EXTERNAL
        errors = _needed(external, self.provider, "/provider", kind)
        errors += _needed(
            not external, self.destination_account_id, "/destination_account_id", kind
        )
        if not external and self.capture_method is CaptureMethod.MANUAL:
            errors.append(FieldError(f"must be automatic for {kind}", "/capture_method"))
        return errors


class CapturePaymentBody(BaseModel):
    """What to capture of an authorized payment: all of it, or less."""

    model_config = _STRICT

    amount: Amount | None = None


class RefundPaymentBody(BaseModel):
    """What to give back: all that is left, or a part."""

    model_config = _STRICT

    amount: Amount | None = None
    reason: Reason | None = None


class CancelPaymentBody(BaseModel):
    """Nothing: a cancellation has no options."""

    model_config = _STRICT


class ResolveDeadLetterBody(BaseModel):
    """Why an operator redrives or discards a letter; kept with it."""

    model_config = _STRICT

    reason: Reason


class ResolvedOutcome(StrEnum):
    """What an operator can find out."""

    SUCCEEDED = "succeeded"
    CAPTURED = "captured"
    FAILED = "failed"


# What `verdict` refuses, said in the document.
_FOUND_OR_NOT: Final[JsonDict] = {
    "if": {"properties": {"outcome": {"const": ResolvedOutcome.FAILED.value}}},
    "then": {"properties": {"amount": {"type": "null"}, "provider_reference": {"type": "null"}}},
    "else": {
        "required": ["amount", "provider_reference"],
        "properties": {
            "amount": {"type": ["number", "string"]},
            "provider_reference": {"type": "string"},
        },
    },
}


class ResolveBody(BaseModel):
    """What an operator found at the provider of a payment or a refund nobody was sure of.

    What was asked for succeeded or failed; or, whatever was asked for, the provider has captured
    this much of what it held.
    """

    model_config = _STRICT | ConfigDict(json_schema_extra=_FOUND_OR_NOT)

    outcome: Annotated[ResolvedOutcome, one_of(ResolvedOutcome)]
    amount: Annotated[
        Amount | None, Field(description="What was found; required if it succeeded.")
    ] = None
    provider_reference: Annotated[
        ProviderReference | None,
        Field(description="The provider's own name for it; required if it succeeded."),
    ] = None
    reason: Reason

    def verdict(self, currency: str) -> Verdict:
        """The verdict, of an amount in a currency. Raises Problem for fields that do not fit."""
        done, outcome = self.outcome is not ResolvedOutcome.FAILED, self.outcome
        errors = _needed(done, self.amount, "/amount", outcome)
        errors += _needed(done, self.provider_reference, "/provider_reference", outcome)
        if errors:
            raise invalid(*errors)
        if self.amount is None or self.provider_reference is None:
            return DidNotHappen()
        found = Captured if outcome is ResolvedOutcome.CAPTURED else Happened
        return found(positive_amount_in(currency, self.amount), self.provider_reference)


def amount_in(currency: str, text: str, pointer: str = "/amount") -> Money:
    """The amount a text is in a currency, 0 included. Raises Problem naming the field."""
    try:
        return parse_amount(text, currency)
    except AmountError as error:
        raise invalid(FieldError(str(error), pointer)) from None


def positive_amount_in(currency: str, text: str) -> Money:
    """As `amount_in`, for what must move money."""
    money = amount_in(currency, text)
    if not money.amount_minor:
        raise invalid(FieldError("must be more than zero", "/amount"))
    return money


def _needed(
    needed: bool,  # noqa: FBT001 - reads as a sentence at its two call sites
    value: UUID | str | None,
    pointer: str,
    kind: PaymentType | ResolvedOutcome,
) -> list[FieldError]:
    if needed and value is None:
        return [FieldError(f"is required for {kind}", pointer)]
    if not needed and value is not None:
        return [FieldError(f"is not taken for {kind}", pointer)]
    return []
