"""Whose payment method is whose: attach one to an account, detach it, and who may be charged.

A payment is charged to a method of its own account, to a test token that is everybody's, or,
naming none, to the configured one. Somebody else's method is refused as one that nobody has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payments.account import AccountStatus
from payments.decision import Context, Decision, RefusalCode, Refused, State
from payments.payment import METHOD_KEY
from payments.payment_method import PaymentMethod, PaymentMethodState
from payments.record import Struct, replace

if TYPE_CHECKING:
    from uuid import UUID

    from payments.commands import AttachPaymentMethod, DetachPaymentMethod
    from payments.payment import Provider

# Of a name that may be anything.
_SHOWN_MAX: Final = 100


class Chosen(Struct, frozen=True):
    """What is charged; both None: whatever is configured."""

    reference: str | None = None
    customer_reference: str | None = None


def chosen(
    named: object, provider: Provider | None, account_id: UUID, state: State, at: Context
) -> Chosen | Refused:
    """The method that `named` is the name of, if the account may be charged by it."""
    if named is None or provider is None:
        return Chosen()
    if isinstance(named, str):
        if _is_shared(provider, named, at):
            return Chosen(named)
        method = state.active_methods.get((provider, named))
        if method is not None and method.account_id == account_id:
            return Chosen(named, method.customer_reference)
    return Refused(
        RefusalCode.PAYMENT_METHOD_NOT_FOUND,
        f"{METHOD_KEY} {str(named)[:_SHOWN_MAX]!r} is no active payment method of account"
        f" {account_id} at {provider}",
    )


def attach_payment_method(
    command: AttachPaymentMethod, state: State, at: Context
) -> Decision | Refused:
    """A method for an account; the same again changes nothing."""
    account = state.accounts.get(command.account_id)
    if account is None or account.tenant_id != command.tenant_id:
        return Refused(RefusalCode.ACCOUNT_NOT_FOUND, f"there is no account {command.account_id}")
    if account.status is not AccountStatus.ACTIVE:
        return Refused(
            RefusalCode.ACCOUNT_NOT_ACTIVE, f"account {account.id} is {account.status.value}"
        )
    if _is_shared(command.provider, command.reference, at):
        return _taken(command, "is a test token, and everybody's")
    known = state.active_methods.get((command.provider, command.reference))
    if known is not None:
        if (known.account_id, known.customer_reference) == (account.id, command.customer_reference):
            return Decision(result=known)
        return _taken(command, "belongs to an account already: detach it there first")
    method = PaymentMethod(
        id=at.new_id(),
        tenant_id=command.tenant_id,
        account_id=account.id,
        provider=command.provider,
        reference=command.reference,
        customer_reference=command.customer_reference,
        state=PaymentMethodState.ACTIVE,
        created_at=at.now,
        updated_at=at.now,
    )
    return Decision(result=method, payment_methods=(method,))


def detach_payment_method(
    command: DetachPaymentMethod, state: State, at: Context
) -> Decision | Refused:
    """No payment is accepted with it from now on; one that was detached before stays so."""
    method = state.payment_methods.get(command.method_id)
    owner = (command.tenant_id, command.account_id)
    if method is None or (method.tenant_id, method.account_id) != owner:
        return Refused(
            RefusalCode.NOT_FOUND,
            f"account {command.account_id} has no payment method {command.method_id}",
        )
    if not method.is_active:
        return Decision(result=method)
    detached = replace(
        method,
        state=PaymentMethodState.DETACHED,
        updated_at=at.now,
        version=method.version + 1,
    )
    return Decision(result=detached, payment_methods=(detached,))


def _taken(command: AttachPaymentMethod, why: str) -> Refused:
    return Refused(
        RefusalCode.PAYMENT_METHOD_TAKEN, f"{command.reference!r} of {command.provider} {why}"
    )


def _is_shared(provider: Provider, reference: str, at: Context) -> bool:
    rules = at.rules.get(provider)
    return rules is not None and rules.shares(reference)
