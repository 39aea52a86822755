"""What clients ask: open an account, pay, transfer. Money is there or the answer is no."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from payments import holds, ledger
from payments.account import Account, AccountStatus, world
from payments.change import work_for
from payments.decision import Context, Decision, RefusalCode, Refused, State
from payments.decisions.account_checks import Side, exceeds_turnover, lacks_funds, unusable
from payments.decisions.payment_methods import chosen
from payments.decisions.provider_checks import unsupported
from payments.events import AccountEvent, AccountEventType, Event, EventType
from payments.outcome import Operation
from payments.payment import CaptureMethod, Payment, PaymentStatus, PaymentType
from payments.progress import Progress
from payments.record import replace

if TYPE_CHECKING:
    from uuid import UUID

    from payments.commands import CreatePayment, OpenAccount


def open_account(command: OpenAccount, _state: State, at: Context) -> Decision:
    """A new account; its opening balance is a transfer from `world`."""
    opening = command.initial_balance
    account = Account(
        id=at.new_id(),
        tenant_id=command.tenant_id,
        user_id=command.user_id,
        currency=opening.currency,
        status=AccountStatus.ACTIVE,
        debits_posted=0,
        credits_posted=0,
        debits_pending=0,
        credits_pending=0,
        version=1,
        created_at=at.now,
        updated_at=at.now,
    )
    source = world(command.tenant_id, opening.currency)
    transfers: tuple[ledger.LedgerTransfer, ...] = ()
    if opening.amount_minor:
        entry = ledger.Entry(
            id=at.new_id(),
            amount_minor=opening.amount_minor,
            transaction_type=ledger.TransactionType.OPENING_BALANCE,
            recorded_at=at.now,
            description="Opening balance",
        )
        # The balance is part of version 1: nobody ever saw the account without it.
        moved = ledger.transfer(source, replace(account, version=0), entry)
        (account,), transfers = moved.accounts, (moved.transfer,)
    created = AccountEvent(at.new_id(), AccountEventType.CREATED, account, at.now)
    return Decision(
        result=account,
        accounts=(account,),
        system_accounts=(source,),
        transfers=transfers,
        account_events=(created,),
    )


def create_payment(command: CreatePayment, state: State, at: Context) -> Decision | Refused:
    """Accept a payment: an internal transfer moves at once, an external one holds its amount."""
    source = _debited(state, command)
    if isinstance(source, Refused):
        return source
    if command.payment_type is PaymentType.INTERNAL:
        return _transfer(command, source, state, at)
    return _external(command, source, state, at)


def _debited(state: State, command: CreatePayment) -> Account | Refused:
    """The account that pays. Whoever saw another version of it learns that before anything else."""
    account = _account(state, command.source_account_id, command)
    if isinstance(account, Refused):
        return account
    expected = command.source_versions
    if expected is not None and account.version not in expected:
        return Refused(
            RefusalCode.PRECONDITION_FAILED,
            f"account {account.id} is at version {account.version} now",
            account,
        )
    return unusable(account, command.amount) or account


def _account(state: State, account_id: UUID, command: CreatePayment) -> Account | Refused:
    account = state.accounts.get(account_id)
    if account is None or account.tenant_id != command.tenant_id:
        return Refused(RefusalCode.ACCOUNT_NOT_FOUND, f"there is no account {account_id}")
    return account


def _transfer(
    command: CreatePayment, source: Account, state: State, at: Context
) -> Decision | Refused:
    assert command.destination_account_id is not None, "a transfer has a destination"
    if command.destination_account_id == source.id:
        return Refused(RefusalCode.SAME_ACCOUNT, "source and destination are the same account")
    destination = _account(state, command.destination_account_id, command)
    if isinstance(destination, Refused):
        return destination
    refused = (
        unusable(destination, command.amount)
        or lacks_funds(source, command.amount)
        or exceeds_turnover(source, command.amount, by=Side.DEBIT)
        or exceeds_turnover(destination, command.amount, by=Side.CREDIT)
    )
    if refused is not None:
        return refused
    payment = replace(
        _payment(command, at, None),
        status=PaymentStatus.COMPLETED,
        captured_minor=command.amount.amount_minor,
        completed_at=at.now,
    )
    entry = ledger.Entry(
        id=at.new_id(),
        amount_minor=command.amount.amount_minor,
        transaction_type=ledger.TransactionType.TRANSFER,
        recorded_at=at.now,
        description=command.description,
        payment_id=payment.id,
    )
    moved = ledger.transfer(source, destination, entry)
    return Decision(
        result=payment,
        accounts=moved.accounts,
        payments=(payment,),
        transfers=(moved.transfer,),
        events=(Event(at.new_id(), EventType.TRANSFER_COMPLETED, payment, at.now),),
        account_events=holds.balance_facts(moved, at),
    )


def _external(
    command: CreatePayment, source: Account, state: State, at: Context
) -> Decision | Refused:
    automatic = command.capture_method is CaptureMethod.AUTOMATIC
    operation = Operation.CHARGE if automatic else Operation.AUTHORIZE
    if refused := unsupported(command.provider, operation, command.amount, at):
        return refused
    method = chosen(command.method_named, command.provider, source.id, state, at)
    if isinstance(method, Refused):
        return method
    refused = lacks_funds(source, command.amount) or exceeds_turnover(
        source, command.amount, by=Side.DEBIT
    )
    if refused is not None:
        return refused
    payment = replace(
        _payment(command, at, operation),
        payment_method=method.reference,
        customer_reference=method.customer_reference,
    )
    return _held(payment, source, at)


def _held(payment: Payment, source: Account, at: Context) -> Decision:
    moved = holds.reserve(payment, source, at)
    payment = replace(payment, hold_id=moved.transfer.entry.id)
    created = Event(at.new_id(), EventType.PAYMENT_CREATED, payment, at.now)
    return Decision(
        result=payment,
        accounts=moved.accounts,
        system_accounts=(holds.clearing_of(payment),),
        payments=(payment,),
        transfers=(moved.transfer,),
        events=(created,),
        work=(work_for(payment, at, created),),
    )


def _payment(command: CreatePayment, at: Context, operation: Operation | None) -> Payment:
    """A new payment; `operation` is what its provider is owed, None for an internal one."""
    patience = timedelta(seconds=at.policy.patience_s)
    return Payment(
        id=at.new_id(),
        tenant_id=command.tenant_id,
        idempotency_key=command.idempotency_key,
        payment_type=command.payment_type,
        source_account_id=command.source_account_id,
        destination_account_id=command.destination_account_id,
        amount=command.amount,
        capture_method=command.capture_method,
        status=PaymentStatus.PENDING,
        provider=command.provider,
        description=command.description,
        metadata=command.metadata,
        progress=Progress(
            max_retries=at.policy.max_retries, due_at=at.now + patience if operation else None
        ),
        created_at=at.now,
        updated_at=at.now,
        hold_id=at.new_id() if operation else None,
        operation=operation,
        operation_minor=command.amount.amount_minor if operation else None,
    )
