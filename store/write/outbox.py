"""Outbox rows: every message a decision says, in the order in which it says them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from payments.events import AccountEventType, WorkType
from topics.contracts import channels
from topics.contracts.payloads import (
    AccountData,
    AccountEventData,
    DeadLetterData,
    DeadLetterEventData,
    WorkData,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from payments.dead_letter import DeadLetter
    from payments.decision import Decision
    from payments.events import AccountEvent, Event, Republication, Work
    from telemetry.tracing import Trace

# A trace, or none of both.
_SaidIn = tuple[str | None, str | None]
_UNTRACED: Final[_SaidIn] = (None, None)


class OutboxValues(NamedTuple):
    """A row of the outbox, by its columns."""

    id: UUID
    aggregatetype: str
    aggregateid: str
    type: str
    payload: str
    tenant_id: str
    sequence: int | None
    causationid: UUID | None
    traceparent: str | None
    tracestate: str | None
    occurred_at: datetime
    recorded_at: datetime


def superseded(decisions: Sequence[Decision]) -> set[UUID]:
    """The balance facts of a batch that a later one of the same account makes stale."""
    latest: dict[UUID, UUID] = {}
    stale: set[UUID] = set()
    for decision in decisions:
        for event in decision.account_events:
            if event.type is AccountEventType.BALANCE_CHANGED:
                stale.update(filter(None, [latest.get(event.account.id)]))
                latest[event.account.id] = event.id
    return stale


def messages(
    decision: Decision, told: Iterable[str], trace: Trace | None, at: datetime
) -> Iterable[OutboxValues]:
    """A decision's rows: its events (with what they say), then accounts, work, dead letters.

    Each is dated `at` when it was decided, and so lies among those of its positions.
    """
    said_in = trace or _UNTRACED
    for event, payload in zip(decision.events, told, strict=True):
        if event.is_public:
            yield _event(event, payload, said_in)
    for account_event in decision.account_events:
        yield _account_event(account_event, said_in)
    for work in decision.work:
        yield _work(work, said_in)
    for letter in decision.dead_letters:
        yield _dead_letter(letter, said_in, at)
    for message in decision.republished:
        yield _republished(message, said_in)


def _event(event: Event, payload: str, said_in: _SaidIn) -> OutboxValues:
    payment = event.payment
    return OutboxValues(
        id=event.id,
        aggregatetype=channels.EVENTS,
        aggregateid=str(payment.id),
        type=event.type.value,
        payload=payload,
        tenant_id=payment.tenant_id,
        sequence=payment.sequence,
        causationid=None,
        traceparent=said_in[0],
        tracestate=said_in[1],
        occurred_at=event.occurred_at,
        recorded_at=event.occurred_at,
    )


def _account_event(event: AccountEvent, said_in: _SaidIn) -> OutboxValues:
    data = AccountEventData(account=AccountData.of(event.account))
    return OutboxValues(
        id=event.id,
        aggregatetype=channels.ACCOUNTS,
        aggregateid=str(event.account.id),
        type=event.type.value,
        payload=data.model_dump_json(),
        tenant_id=event.account.tenant_id,
        sequence=None,
        causationid=None,
        traceparent=said_in[0],
        tracestate=said_in[1],
        occurred_at=event.occurred_at,
        recorded_at=event.occurred_at,
    )


def _work(work: Work, said_in: _SaidIn) -> OutboxValues:
    return OutboxValues(
        id=work.id,
        aggregatetype=channels.CHARGES if work.type is WorkType.CHARGE else channels.REFUNDS,
        aggregateid=str(work.payment_id),
        type=work.type.value,
        payload=WorkData.of(work).model_dump_json(),
        tenant_id=work.tenant_id,
        sequence=None,
        causationid=work.causation_id,
        traceparent=said_in[0],
        tracestate=said_in[1],
        occurred_at=work.occurred_at,
        recorded_at=work.occurred_at,
    )


def _dead_letter(letter: DeadLetter, said_in: _SaidIn, at: datetime) -> OutboxValues:
    data = DeadLetterEventData(dead_letter=DeadLetterData.bounded(letter))
    key = letter.source.key
    return OutboxValues(
        id=letter.message_id,
        aggregatetype=channels.DEAD_LETTERS,
        aggregateid=key.decode("utf-8", "replace").replace("\0", "\ufffd")
        if key and "key" not in data.dead_letter.cut
        else str(letter.id),
        type=f"dead_letter.{letter.state.value}",
        payload=data.model_dump_json(),
        tenant_id=letter.tenant_id,
        sequence=None,
        causationid=None,
        traceparent=said_in[0],
        tracestate=said_in[1],
        # Not when it failed: one that moves up in its queue may have been parked for weeks.
        occurred_at=at,
        recorded_at=at,
    )


def _republished(message: Republication, said_in: _SaidIn) -> OutboxValues:
    source = message.letter.source
    return OutboxValues(
        id=message.id,
        aggregatetype=source.topic,
        aggregateid=(source.key or b"").decode("utf-8", "replace").replace("\0", "\ufffd"),
        type=source.headers.get("ce_type", "unknown"),
        payload=(source.value or b"").decode(),
        tenant_id=message.letter.tenant_id,
        sequence=None,
        causationid=None,
        traceparent=said_in[0],
        tracestate=said_in[1],
        occurred_at=message.occurred_at,
        recorded_at=message.occurred_at,
    )
