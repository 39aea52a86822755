"""How entities become columns and rows become entities; nothing else knows both.

Both go by name. A column that is written holds the entity's attribute of that name, unless
`_ELSEWHERE` says where else it is; a column that is read is named where the entity is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import orjson

from payments.account import Account, AccountStatus
from payments.attempt import Attempt, AttemptResult
from payments.dead_letter import DeadLetter, DeadLetterReason, DeadLetterState, SourceMessage
from payments.dispute import Dispute
from payments.events import Event
from payments.journal.seals import Seal
from payments.ledger import Entry, LedgerTransfer
from payments.money import Money
from payments.notification import RecordedNotification
from payments.operator_action import OperatorAction
from payments.outcome import Operation
from payments.payment import CaptureMethod, Payment, PaymentStatus, PaymentType, Provider
from payments.payment_method import PaymentMethod, PaymentMethodState
from payments.progress import Progress
from payments.reconciliation.breaks import Resolution, TrackedBreak
from payments.reconciliation.differences import Break, BreakType, Kind
from payments.refund import Refund, RefundOrigin, RefundStatus
from payments.standing import DisputeKind, DisputeState
from payments.webhook_endpoint import EndpointState, WebhookEndpoint
from store.queries import queries
from store.read.audit_log import AuditEntry, Signature

if TYPE_CHECKING:
    from asyncpg import Record

Get = Callable[[Any], object]

# Whose a movement is that names nobody of ours: its finder is an operator.
_NO_TENANT: Final = "default"


def columns(
    name: str, entities: Sequence[object], /, **given: Sequence[object]
) -> tuple[str, *tuple[Sequence[object], ...]]:
    """A statement's text and, for each parameter, the column of all `entities`, of which are some.

    For `execute(*columns(...))`. What no entity knows is `given`, a column each.
    """
    kind: type = type(entities[0])
    statement, getters = _plan(name, kind)
    return statement, *(given.get(each) or list(map(get, entities)) for each, get in getters)


@cache
def _plan(name: str, kind: type) -> tuple[str, tuple[tuple[str, Get], ...]]:
    """Found once a statement: where in an entity of that kind its parameters are."""
    statement, elsewhere = queries()[name], _ELSEWHERE.get(kind, {})
    getters = ((each, elsewhere.get(each) or attrgetter(each)) for each in statement.parameters)
    return statement.text, tuple(getters)


def _within(field: str, kind: type) -> dict[str, Get]:
    """The columns that are attributes of one attribute."""
    return {each: attrgetter(f"{field}.{each}") for each in kind.__annotations__}


_AMOUNT: Final[Mapping[str, Get]] = {
    "amount_minor": attrgetter("amount.amount_minor"),
    "currency": attrgetter("amount.currency"),
}
_ELSEWHERE: Final[Mapping[type, Mapping[str, Get]]] = {
    Payment: {
        **_AMOUNT,
        **_within("progress", Progress),
        "metadata": lambda payment: orjson.dumps(payment.metadata).decode(),
    },
    Refund: {**_AMOUNT, **_within("progress", Progress)},
    Dispute: _AMOUNT,
    LedgerTransfer: _within("entry", Entry),
    # It follows from what the attempt is for: what does not is kept.
    Attempt: {"provider_key": lambda attempt: attempt.kept_key},
    AttemptResult: {
        "id": attrgetter("attempt.id"),
        "payment_id": attrgetter("attempt.payment_id"),
        "subject_id": attrgetter("attempt.subject_id"),
    },
    Event: {
        "payment_id": attrgetter("payment.id"),
        "tenant_id": attrgetter("payment.tenant_id"),
        "version": attrgetter("payment.version"),
        "sequence": lambda event: event.payment.sequence if event.is_public else None,
    },
    # An array of arrays would be taken for one of their elements.
    WebhookEndpoint: {"event_types": lambda endpoint: ",".join(endpoint.event_types)},
    DeadLetter: {
        "topic": attrgetter("source.topic"),
        "message_partition": attrgetter("source.partition"),
        "message_offset": attrgetter("source.offset"),
        "message_key": attrgetter("source.key"),
        "message_value": attrgetter("source.value"),
        "message_headers": lambda letter: orjson.dumps(dict(letter.source.headers)).decode(),
    },
    AuditEntry: _within("signature", Signature),
    OperatorAction: {"detail": lambda action: orjson.dumps(dict(action.detail)).decode()},
    RecordedNotification: {
        "provider": attrgetter("event.provider"),
        "event_id": attrgetter("event.id"),
        "type": attrgetter("event.type"),
    },
    TrackedBreak: {
        **_within("found", Break),
        "tenant_id": lambda tracked: tracked.found.tenant_id or _NO_TENANT,
        "here_minor": lambda tracked: tracked.found.here and tracked.found.here.amount_minor,
        "here_currency": lambda tracked: tracked.found.here and tracked.found.here.currency,
        "there_minor": lambda tracked: tracked.found.there and tracked.found.there.amount_minor,
        "there_currency": lambda tracked: tracked.found.there and tracked.found.there.currency,
        "resolved_at": lambda tracked: tracked.resolution and tracked.resolution.at,
        "resolved_by": lambda tracked: tracked.resolution and tracked.resolution.by,
        "resolution": lambda tracked: tracked.resolution and tracked.resolution.reason,
    },
    Seal: {
        "first_ledger_id": attrgetter("first_id"),
        "last_ledger_id": attrgetter("last_id"),
        "previous_digest": lambda each: bytes.fromhex(each.previous_digest),
        "fingerprints": lambda each: bytes.fromhex(each.fingerprints),
        "digest": lambda each: bytes.fromhex(each.digest),
    },
}


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


def payment_method_from(row: Record) -> PaymentMethod:
    """A payment method, from all its columns."""
    return PaymentMethod(
        id=row["id"],
        tenant_id=row["tenant_id"],
        account_id=row["account_id"],
        provider=Provider(row["provider"]),
        reference=row["reference"],
        customer_reference=row["customer_reference"],
        state=PaymentMethodState(row["state"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["version"],
    )


def webhook_endpoint_from(row: Record) -> WebhookEndpoint:
    """A webhook endpoint, from all its columns."""
    return WebhookEndpoint(
        id=row["id"],
        tenant_id=row["tenant_id"],
        url=row["url"],
        event_types=tuple(row["event_types"]),
        api_version=row["api_version"],
        description=row["description"],
        state=EndpointState(row["state"]),
        disabled_reason=row["disabled_reason"],
        key_id=row["key_id"],
        secret_number=row["secret_number"],
        previous_key_id=row["previous_key_id"],
        previous_secret_until=row["previous_secret_until"],
        changed_by=row["changed_by"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["version"],
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
        disputed_minor=row["disputed_minor"],
        refunded_minor=row["refunded_minor"],
        refund_pending_minor=row["refund_pending_minor"],
        last_error_code=row["last_error_code"],
        last_error=row["last_error"],
        completed_at=row["completed_at"],
        authorization_expires_at=row["authorization_expires_at"],
        charge_blocked_by=row["charge_blocked_by"],
        refund_blocked_by=row["refund_blocked_by"],
        payment_method=row["payment_method"],
        customer_reference=row["customer_reference"],
    )


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
        origin=RefundOrigin(row["origin"]),
    )


def dispute_from(row: Record) -> Dispute:
    """A dispute, from all its columns."""
    return Dispute(
        id=row["id"],
        tenant_id=row["tenant_id"],
        payment_id=row["payment_id"],
        provider=Provider(row["provider"]),
        reference=row["reference"],
        kind=DisputeKind(row["kind"]),
        amount=Money(row["amount_minor"], row["currency"]),
        state=DisputeState(row["state"]),
        withdrawn_minor=row["withdrawn_minor"],
        reason=row["reason"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["version"],
        closed_at=row["closed_at"],
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


def break_from(row: Record) -> TrackedBreak:
    """A difference between a report and our books, from all its columns."""
    return TrackedBreak(
        found=Break(
            id=row["id"],
            tenant_id=row["tenant_id"],
            provider=Provider(row["provider"]),
            type=BreakType(row["type"]),
            kind=Kind(row["kind"]),
            payment_id=row["payment_id"],
            refund_id=row["refund_id"],
            reference=row["reference"],
            here=_money(row["here_minor"], row["here_currency"]),
            there=_money(row["there_minor"], row["there_currency"]),
            status_here=row["status_here"],
            status_there=row["status_there"],
            began_at=row["began_at"],
            occurred_at=row["occurred_at"],
        ),
        first_found_at=row["first_found_at"],
        last_found_at=row["last_found_at"],
        resolution=Resolution(row["resolved_at"], row["resolved_by"], row["resolution"])
        if row["resolved_at"]
        else None,
    )


def seal_from(row: Record) -> Seal:
    """A seal, from all its columns."""
    return Seal(
        tenant_id=row["tenant_id"],
        number=row["number"],
        first_id=row["first_ledger_id"],
        last_id=row["last_ledger_id"],
        row_count=row["row_count"],
        sealed_at=row["sealed_at"],
        previous_digest=row["previous_digest"].hex(),
        fingerprints=row["fingerprints"].hex(),
        digest=row["digest"].hex(),
    )


def _progress(row: Record) -> Progress:
    return Progress(
        max_retries=row["max_retries"],
        due_at=row["due_at"],
        lease_id=row["lease_id"],
        attempt_count=row["attempt_count"],
        retry_count=row["retry_count"],
        inquiry_count=row["inquiry_count"],
        first_asked_at=row["first_asked_at"],
    )


def _money(amount_minor: int | None, currency: str | None) -> Money | None:
    return None if amount_minor is None or currency is None else Money(amount_minor, currency)
