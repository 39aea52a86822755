"""How entities become columns and rows become entities; nothing else knows both.

`*_values` give a row's parameters in the order its statement in `sql/record.sql`
names them; a test prepares every statement, so that the two cannot drift apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from payments.account import Account, AccountStatus
from payments.dead_letter import DeadLetter, DeadLetterReason, DeadLetterState, SourceMessage
from payments.money import Money
from payments.outcome import Operation
from payments.payment import CaptureMethod, Payment, PaymentStatus, PaymentType, Provider
from payments.progress import Progress
from payments.refund import Refund, RefundStatus

if TYPE_CHECKING:
    from asyncpg import Record

    from payments.attempt import Attempt, AttemptResult
    from payments.ledger import LedgerTransfer
    from payments.notification import RecordedNotification

Values = tuple[object, ...]


def account_from(row: Record) -> Account:
    """An account, from all its columns."""
    return Account(
        id=row["id"],
        tenant_id=row["tenant_id"],
        user_id=row["user_id"],
        currency=row["currency"],
        status=AccountStatus(row["status"]),
        debits_posted=row["debits_posted"],
        credits_posted=row["credits_posted"],
        debits_pending=row["debits_pending"],
        credits_pending=row["credits_pending"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def account_inserted(account: Account) -> Values:
    """A new account's columns."""
    return (
        account.id,
        account.tenant_id,
        account.user_id,
        account.currency,
        account.status.value,
        account.credits_posted,
        account.version,
        account.created_at,
    )


def account_updated(account: Account, version_before: int) -> Values:
    """What may change of an account."""
    return (
        account.id,
        version_before,
        account.status.value,
        account.debits_posted,
        account.credits_posted,
        account.debits_pending,
        account.credits_pending,
        account.version,
        account.updated_at,
    )


def payment_from(row: Record) -> Payment:
    """A payment, from all its columns."""
    return Payment(
        id=row["id"],
        tenant_id=row["tenant_id"],
        idempotency_key=row["idempotency_key"],
        payment_type=PaymentType(row["payment_type"]),
        source_account_id=row["source_account_id"],
        destination_account_id=row["destination_account_id"],
        amount=Money(row["amount_minor"], row["currency"]),
        capture_method=CaptureMethod(row["capture_method"]),
        status=PaymentStatus(row["status"]),
        provider=Provider(row["provider"]) if row["provider"] else None,
        description=row["description"],
        metadata=orjson.loads(row["metadata"]),
        progress=_progress(row),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["version"],
        sequence=row["sequence"],
        provider_reference=row["provider_reference"],
        hold_id=row["hold_id"],
        operation=Operation(row["operation"]) if row["operation"] else None,
        operation_minor=row["operation_minor"],
        asked_operation=Operation(row["asked_operation"]) if row["asked_operation"] else None,
        captured_minor=row["captured_minor"],
        refunded_minor=row["refunded_minor"],
        refund_pending_minor=row["refund_pending_minor"],
        last_error_code=row["last_error_code"],
        last_error=row["last_error"],
        completed_at=row["completed_at"],
        authorization_expires_at=row["authorization_expires_at"],
        charge_blocked_by=row["charge_blocked_by"],
        refund_blocked_by=row["refund_blocked_by"],
    )


def payment_inserted(payment: Payment) -> Values:
    """What a payment is made with, before what may change."""
    return (
        payment.tenant_id,
        payment.idempotency_key,
        payment.payment_type.value,
        payment.source_account_id,
        payment.destination_account_id,
        payment.amount.amount_minor,
        payment.currency,
        payment.capture_method.value,
        payment.provider.value if payment.provider else None,
        payment.description,
        orjson.dumps(payment.metadata).decode(),
        payment.progress.max_retries,
        payment.created_at,
        *payment_updated(payment, 0),
    )


def payment_updated(payment: Payment, version_before: int) -> Values:
    """What may change of a payment."""
    progress = payment.progress
    return (
        payment.id,
        version_before,
        payment.status.value,
        payment.provider_reference,
        payment.hold_id,
        payment.captured_minor,
        payment.refunded_minor,
        payment.refund_pending_minor,
        payment.operation.value if payment.operation else None,
        payment.operation_minor,
        progress.due_at,
        progress.lease_id,
        progress.attempt_count,
        progress.inquiry_count,
        progress.retry_count,
        payment.last_error_code,
        payment.last_error,
        payment.version,
        payment.sequence,
        payment.updated_at,
        payment.completed_at,
        payment.authorization_expires_at,
        payment.asked_operation.value if payment.asked_operation else None,
        progress.first_asked_at,
    )


def payment_blocked(payment: Payment) -> Values:
    """Which letters its messages wait behind."""
    return (payment.id, payment.charge_blocked_by, payment.refund_blocked_by)


def refund_from(row: Record) -> Refund:
    """A refund, from all its columns."""
    return Refund(
        id=row["id"],
        tenant_id=row["tenant_id"],
        payment_id=row["payment_id"],
        idempotency_key=row["idempotency_key"],
        amount=Money(row["amount_minor"], row["currency"]),
        status=RefundStatus(row["status"]),
        reason=row["reason"],
        provider=Provider(row["provider"]) if row["provider"] else None,
        progress=_progress(row),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["version"],
        provider_reference=row["provider_reference"],
        last_error_code=row["last_error_code"],
        last_error=row["last_error"],
        completed_at=row["completed_at"],
    )


def refund_inserted(refund: Refund) -> Values:
    """What a refund is made with, before what may change."""
    return (
        refund.tenant_id,
        refund.payment_id,
        refund.idempotency_key,
        refund.amount.amount_minor,
        refund.amount.currency,
        refund.reason,
        refund.provider.value if refund.provider else None,
        refund.progress.max_retries,
        refund.created_at,
        *refund_updated(refund, 0),
    )


def refund_updated(refund: Refund, version_before: int) -> Values:
    """What may change of a refund."""
    progress = refund.progress
    return (
        refund.id,
        version_before,
        refund.status.value,
        refund.provider_reference,
        progress.due_at,
        progress.lease_id,
        progress.attempt_count,
        progress.inquiry_count,
        progress.retry_count,
        refund.last_error_code,
        refund.last_error,
        refund.version,
        refund.updated_at,
        refund.completed_at,
        progress.first_asked_at,
    )


def transfer_inserted(transfer: LedgerTransfer) -> Values:
    """A ledger row's columns."""
    entry = transfer.entry
    return (
        entry.id,
        transfer.tenant_id,
        transfer.state.value,
        transfer.pending_id,
        transfer.debit_account_id,
        transfer.credit_account_id,
        entry.amount_minor,
        transfer.releases_minor,
        transfer.currency,
        entry.transaction_type.value,
        entry.description,
        entry.payment_id,
        entry.refund_id,
        transfer.debit_balance_after,
        transfer.credit_balance_after,
        entry.recorded_at,
    )


def attempt_inserted(attempt: Attempt) -> Values:
    """A claim's columns."""
    return (
        attempt.id,
        attempt.tenant_id,
        attempt.payment_id,
        attempt.refund_id,
        attempt.number,
        attempt.operation.value,
        attempt.inquiry,
        attempt.provider.value,
        attempt.provider_key,
        attempt.worker,
        attempt.lease_expires_at,
        attempt.started_at,
    )


def attempt_finished(result: AttemptResult) -> Values:
    """What an attempt's end adds to its row."""
    return (
        result.attempt_id,
        result.finished_at,
        result.outcome,
        result.provider_reference,
        result.error_code,
        result.error,
    )


def dead_letter_from(row: Record) -> DeadLetter:
    """A dead letter, from all its columns."""
    return DeadLetter(
        id=row["id"],
        tenant_id=row["tenant_id"],
        stage=row["stage"],
        reason=DeadLetterReason(row["reason"]),
        error=row["error"],
        source=SourceMessage(
            topic=row["topic"],
            partition=row["message_partition"],
            offset=row["message_offset"],
            key=row["message_key"],
            value=row["message_value"],
            headers=orjson.loads(row["message_headers"]),
        ),
        attempts=row["attempts"],
        first_failed_at=row["first_failed_at"],
        last_failed_at=row["last_failed_at"],
        payment_id=row["payment_id"],
        refund_id=row["refund_id"],
        queued_for=row["queued_for"],
        waits_behind=row["waits_behind"],
        state=DeadLetterState(row["state"]),
        resolved_at=row["resolved_at"],
        resolved_by=row["resolved_by"],
        resolution=row["resolution"],
        version=row["version"],
    )


def dead_letter_inserted(letter: DeadLetter) -> Values:
    """A letter's columns."""
    source = letter.source
    return (
        letter.id,
        letter.tenant_id,
        letter.stage,
        letter.reason.value,
        letter.error,
        letter.payment_id,
        letter.refund_id,
        source.topic,
        source.partition,
        source.offset,
        source.key,
        source.value,
        orjson.dumps(dict(source.headers)).decode(),
        letter.attempts,
        letter.first_failed_at,
        letter.last_failed_at,
        letter.queued_for,
        letter.waits_behind,
    )


def dead_letter_updated(letter: DeadLetter, version_before: int) -> Values:
    """What may change of a letter."""
    return (
        letter.id,
        version_before,
        letter.state.value,
        letter.resolved_at,
        letter.resolved_by,
        letter.resolution,
        letter.waits_behind,
        letter.version,
    )


def provider_event_inserted(noted: RecordedNotification) -> Values:
    """A taken notification's columns."""
    return (
        noted.event.provider.value,
        noted.event.id,
        noted.tenant_id,
        noted.event.type,
        noted.payment_id,
        noted.refund_id,
        noted.effect.value,
        noted.received_at,
    )


def _progress(row: Record) -> Progress:
    lease_id: UUID | None = row["lease_id"]
    return Progress(
        max_retries=row["max_retries"],
        due_at=row["due_at"],
        lease_id=lease_id,
        attempt_count=row["attempt_count"],
        retry_count=row["retry_count"],
        inquiry_count=row["inquiry_count"],
        first_asked_at=row["first_asked_at"],
    )
