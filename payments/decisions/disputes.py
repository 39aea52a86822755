"""A dispute or a reversal found at a provider becomes ours: recorded, published, its money moved.

The provider decides it and moves the money; here the ledger follows, between what it has
collected for us and what it has taken back. A customer's account is never touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from payments import holds, ledger
from payments.change import changed
from payments.decision import Context, Decision, State
from payments.dispute import Dispute
from payments.events import EventType
from payments.ids import dispute_id
from payments.record import replace
from payments.standing import DisputeKind, DisputeState

if TYPE_CHECKING:
    from uuid import UUID

    from payments.payment import Payment
    from payments.standing import FoundDispute

_OVER: Final = frozenset({DisputeState.WON, DisputeState.LOST})


def follow_dispute(
    found: FoundDispute, payment_id: UUID, state: State, at: Context
) -> Decision | str | None:
    """What is new about it, or why it cannot be recorded; None where it is known."""
    payment = state.payments[payment_id]
    if found.amount.currency != payment.currency:
        return f"dispute {found.reference} is about {found.amount}"
    known = state.disputes.get(dispute_id(holds.provider_of(payment), found.reference))
    if known is None:
        opened = _recorded(_new(found, payment, at), found, payment, at)
        later = follow_dispute(found, payment_id, state.after(opened), at)
        return opened.then(later) if isinstance(later, Decision) else opened
    if (known.state, known.withdrawn_minor, known.amount) == _told(found):
        return None
    return _recorded(known, found, payment, at)


def _told(found: FoundDispute) -> tuple[object, ...]:
    return found.state, _withdrawn_minor(found), found.amount


def _withdrawn_minor(found: FoundDispute) -> int:
    return found.amount.amount_minor if found.is_withdrawn else 0


def _new(found: FoundDispute, payment: Payment, at: Context) -> Dispute:
    """As yet without its money and its state, which its first version gets."""
    provider = holds.provider_of(payment)
    return Dispute(
        id=dispute_id(provider, found.reference),
        tenant_id=payment.tenant_id,
        payment_id=payment.id,
        provider=provider,
        reference=found.reference,
        kind=found.kind,
        amount=found.amount,
        state=DisputeState.OPEN,
        withdrawn_minor=0,
        reason=found.reason,
        created_at=at.now,
        updated_at=at.now,
        version=0,
    )


def _recorded(known: Dispute, found: FoundDispute, payment: Payment, at: Context) -> Decision:
    # A dispute that is over by the time we hear of it was opened first; a reversal never was.
    is_opening = known.version == 0 and found.kind is DisputeKind.DISPUTE
    after = replace(
        known,
        amount=found.amount,
        state=DisputeState.OPEN if is_opening else found.state,
        withdrawn_minor=_withdrawn_minor(found),
        reason=found.reason or known.reason,
        closed_at=at.now if found.state in _OVER and not is_opening else None,
        updated_at=max(at.now, known.updated_at),
        version=known.version + 1,
    )
    taken_minor = after.withdrawn_minor - known.withdrawn_minor
    disputed = replace(payment, disputed_minor=payment.disputed_minor + taken_minor)
    change = changed(disputed, _event(known, after), at, dispute=after)
    return Decision(
        result=change.payment,
        payments=(change.payment,),
        disputes=(after,),
        events=(change.event,),
        system_accounts=(holds.clearing_of(payment), holds.disputed_of(payment)),
        transfers=(_moved(payment, after, taken_minor, at),) if taken_minor else (),
    )


def _event(known: Dispute, after: Dispute) -> EventType:
    if after.kind is DisputeKind.REVERSAL and known.version == 0:
        return EventType.PAYMENT_REVERSED
    if known.version and known.state is after.state:
        return EventType.DISPUTE_UPDATED
    match after.state:
        case DisputeState.OPEN:
            return EventType.DISPUTE_OPENED if not known.version else EventType.DISPUTE_UPDATED
        case DisputeState.WON:
            return EventType.DISPUTE_WON
        case DisputeState.LOST:
            return EventType.DISPUTE_LOST
        case _:
            assert_never(after.state)


def _moved(
    payment: Payment, dispute: Dispute, taken_minor: int, at: Context
) -> ledger.LedgerTransfer:
    collected, taken = holds.clearing_of(payment), holds.disputed_of(payment)
    entry = ledger.Entry(
        id=at.new_id(),
        amount_minor=abs(taken_minor),
        transaction_type=ledger.TransactionType.DISPUTE,
        recorded_at=at.now,
        description=f"{dispute.kind} {dispute.reference}",
        payment_id=payment.id,
    )
    debit, credit = (collected, taken) if taken_minor > 0 else (taken, collected)
    return ledger.transfer(debit, credit, entry).transfer
