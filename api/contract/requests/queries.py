"""What clients ask for after the question mark; unknown and repeated parameters are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from api.contract.requests.fields import (
    Currency,
    Id,
    Instant,
    KnownProvider,
    ProviderReference,
    StageName,
    one_of,
    refused,
)
from payments.dead_letter import DeadLetterReason, DeadLetterState
from payments.payment import PaymentStatus
from payments.payment_method import PaymentMethodState
from payments.reconciliation.breaks import BreakState
from payments.reconciliation.differences import BreakType
from payments.standing import DisputeState

_STRICT: Final = ConfigDict(extra="forbid", strict=True, frozen=True)
FiltersT = TypeVar("FiltersT")

LIMIT_MAX: Final = 100
LIMIT_DEFAULT: Final = 20
# What the column holds.
_AMOUNT_MINOR_MAX: Final = (1 << 63) - 1


def _limit(value: object) -> object:
    text = value if isinstance(value, str) else ""
    if re.fullmatch(r"[0-9]{1,3}", text) and 1 <= int(text) <= LIMIT_MAX:
        return int(text)
    raise refused("limit", f"must be a number from 1 to {LIMIT_MAX}")


def _amount_minor(value: object) -> object:
    text = value if isinstance(value, str) else ""
    if re.fullmatch(r"[1-9][0-9]{0,18}", text) and int(text) <= _AMOUNT_MINOR_MAX:
        return int(text)
    raise refused("amount_minor", f"must be a number from 1 to {_AMOUNT_MINOR_MAX}")


AmountMinor = Annotated[int, Field(ge=1, le=_AMOUNT_MINOR_MAX), BeforeValidator(_amount_minor)]
PageLimit = Annotated[int, Field(ge=1, le=LIMIT_MAX), BeforeValidator(_limit)]
Cursor = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="`next_cursor` of the page before, with the same filters.",
    ),
]


class PageQuery(BaseModel):
    """Which page of a list."""

    model_config = _STRICT

    cursor: Cursor | None = None
    limit: PageLimit = LIMIT_DEFAULT

    def filters(self, kind: Callable[..., FiltersT]) -> FiltersT:
        """What the list is filtered by: every parameter but the page's, under its own name."""
        names = type(self).model_fields.keys() - PageQuery.model_fields.keys()
        return kind(**{name: getattr(self, name) for name in names})


class PaymentsQuery(PageQuery):
    """Which payments; all filters apply together."""

    status: Annotated[PaymentStatus, one_of(PaymentStatus)] | None = None
    account_id: Annotated[Id | None, Field(description="Payments from or to this account.")] = None
    provider: KnownProvider | None = None
    currency: Currency | None = None
    amount_minor: AmountMinor | None = None
    provider_transaction_id: Annotated[
        ProviderReference | None,
        Field(description="Looked for among the newest first; give times for older ones."),
    ] = None
    created_from: Annotated[Instant | None, Field(alias="created[gte]")] = None
    created_before: Annotated[Instant | None, Field(alias="created[lt]")] = None


class PaymentQuery(BaseModel):
    """What to show of one payment."""

    model_config = _STRICT

    expand: Annotated[Literal["events"] | None, Field(description="`events` adds its history.")] = (
        None
    )


class BalanceQuery(BaseModel):
    """As of when."""

    model_config = _STRICT

    as_of: Annotated[
        Instant | None, Field(description="The balance as it was then; left out, as it is.")
    ] = None


class PaymentMethodsQuery(PageQuery):
    """Which payment methods of an account."""

    state: Annotated[PaymentMethodState, one_of(PaymentMethodState)] | None = None


class DeadLettersQuery(PageQuery):
    """Which dead letters; all filters apply together."""

    state: Annotated[DeadLetterState, one_of(DeadLetterState)] | None = None
    stage: StageName | None = None
    reason: Annotated[DeadLetterReason, one_of(DeadLetterReason)] | None = None


class DisputesQuery(PageQuery):
    """Which disputes; all filters apply together."""

    state: Annotated[DisputeState, one_of(DisputeState)] | None = None
    provider: KnownProvider | None = None
    payment_id: Annotated[Id | None, Field(description="Disputes of this payment.")] = None


class ReconciliationBreaksQuery(PageQuery):
    """Which breaks; all filters apply together."""

    state: Annotated[BreakState, one_of(BreakState)] | None = None
    provider: KnownProvider | None = None
    type: Annotated[BreakType, one_of(BreakType)] | None = None


class AuditLogQuery(PageQuery):
    """Which entries of the audit log; both filters apply together."""

    action: Annotated[
        str | None, Field(min_length=1, max_length=100, description="The `operationId`.")
    ] = None
    target: Annotated[
        str | None,
        Field(min_length=1, max_length=300, description="The address that was asked of."),
    ] = None
