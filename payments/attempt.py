"""An attempt: one try at a provider, saved before the call is made.

Its `provider_key` is a function of the payment or refund and the operation, so
every try of one thing carries the same key, for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from payments.outcome import (
    CapturedElsewhere,
    Declined,
    Deferred,
    Operation,
    Outcome,
    Pending,
    Retriable,
    Succeeded,
    Unknown,
    Unresolvable,
)
from payments.record import Struct

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from payments.payment import Provider


class Attempt(Struct, frozen=True):
    """A claim with a lease; `inquiry` asks what became of an earlier attempt first."""

    id: UUID
    tenant_id: str
    payment_id: UUID
    refund_id: UUID | None
    number: int
    operation: Operation
    inquiry: bool
    provider: Provider
    provider_key: str
    worker: str
    lease_expires_at: datetime
    started_at: datetime

    @property
    def kept_key(self) -> str | None:
        """The key, if it is another than `provider_key()` makes."""
        usual = provider_key(self.operation, self.refund_id or self.payment_id)
        return None if self.provider_key == usual else self.provider_key


class AttemptName(Struct, frozen=True):
    """Which attempt: its id, among those at a payment or at one of its refunds."""

    payment_id: UUID
    refund_id: UUID | None
    id: UUID

    @property
    def subject_id(self) -> UUID:
        """What it is at."""
        return self.refund_id or self.payment_id


class AttemptResult(Struct, frozen=True):
    """How an attempt ended, for the record."""

    attempt: AttemptName
    finished_at: datetime
    outcome: str
    provider_reference: str | None = None
    error_code: str | None = None
    error: str | None = None


def provider_key(operation: Operation, subject_id: UUID) -> str:
    """The idempotency key the provider sees; at most 45 characters, so that vendors may add."""
    return f"{operation.value}-{subject_id}"


def result_of(attempt: AttemptName, outcome: Outcome, at: datetime) -> AttemptResult:
    """How an outcome reads in the record."""
    match outcome:
        case Succeeded():
            return AttemptResult(attempt, at, "succeeded", provider_reference=outcome.reference)
        case CapturedElsewhere(reference):
            return AttemptResult(attempt, at, "captured_elsewhere", provider_reference=reference)
        case Declined():
            kind = "declined"
        case Retriable():
            kind = "retriable"
        case Pending():
            kind = "pending"
        case Unknown() | Unresolvable():
            kind = "unknown"
        case Deferred():
            return AttemptResult(attempt, at, "deferred", error_code=outcome.reason)
        case _:
            assert_never(outcome)
    return AttemptResult(attempt, at, kind, error_code=outcome.code, error=outcome.message)


def lease_expired(attempt: AttemptName, at: datetime) -> AttemptResult:
    """The record of an attempt whose worker was given up; a late answer overwrites it."""
    return AttemptResult(attempt, at, "lease_expired")
