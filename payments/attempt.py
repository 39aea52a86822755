"""An attempt: one try at a provider, saved before the call is made.

Its `provider_key` is a function of the payment or refund and the operation, so
every try of one thing carries the same key, for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
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

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from payments.payment import Provider


@dataclass(frozen=True, slots=True)
class Attempt:
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


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """How an attempt ended, for the record."""

    attempt_id: UUID
    finished_at: datetime
    outcome: str
    provider_reference: str | None = None
    error_code: str | None = None
    error: str | None = None


def provider_key(operation: Operation, subject_id: UUID) -> str:
    """The idempotency key the provider sees; at most 45 characters, so that vendors may add."""
    return f"{operation.value}-{subject_id}"


def result_of(attempt_id: UUID, outcome: Outcome, at: datetime) -> AttemptResult:
    """How an outcome reads in the record."""
    match outcome:
        case Succeeded():
            return AttemptResult(attempt_id, at, "succeeded", provider_reference=outcome.reference)
        case CapturedElsewhere(reference):
            return AttemptResult(attempt_id, at, "captured_elsewhere", provider_reference=reference)
        case Declined():
            kind = "declined"
        case Retriable():
            kind = "retriable"
        case Pending():
            kind = "pending"
        case Unknown() | Unresolvable():
            kind = "unknown"
        case Deferred():
            return AttemptResult(attempt_id, at, "deferred", error_code=outcome.reason)
        case _:
            assert_never(outcome)
    return AttemptResult(attempt_id, at, kind, error_code=outcome.code, error=outcome.message)


def lease_expired(attempt_id: UUID, at: datetime) -> AttemptResult:
    """The record of an attempt whose worker was given up; a late answer overwrites it."""
    return AttemptResult(attempt_id, at, "lease_expired")
