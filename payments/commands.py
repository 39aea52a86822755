"""Everything that can be asked: by clients, by stages, by the schedule, by operators.

A command says which rows it needs (`Needs`), so that a whole batch of commands can
be loaded and locked in one go, always in the same order: payments (with their
refunds), dead letters, accounts, payment methods, webhook endpoints, each by id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from payments.needs import Needs
from payments.outcome import Operation
from payments.payment import METHOD_KEY
from payments.record import Struct, field
from payments.resolution import ResolvePayment, ResolveRefund
from payments.webhook_endpoint import WebhookCommand

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from payments.dead_letter import DeadLetterReason, SourceMessage
    from payments.money import Money
    from payments.notification import ProviderNotification
    from payments.outcome import NotFound, Outcome, Unknown
    from payments.payment import CaptureMethod, PaymentType, Provider
    from payments.standing import Standing


class OpenAccount(Struct, frozen=True):
    """Open a customer's account with an opening balance (0 allowed)."""

    tenant_id: str
    user_id: str
    initial_balance: Money

    def needs(self) -> Needs:
        """Nothing: the account is new."""
        return Needs()


class AttachPaymentMethod(Struct, frozen=True):
    """Let an account be charged by a provider's payment method, and nobody else."""

    tenant_id: str
    account_id: UUID
    provider: Provider
    reference: str
    customer_reference: str | None = None

    def needs(self) -> Needs:
        """The account, and whose the method is."""
        return Needs(account_ids=(self.account_id,), methods=((self.provider, self.reference),))


class DetachPaymentMethod(Struct, frozen=True):
    """Let an account be charged by a method no more."""

    tenant_id: str
    account_id: UUID
    method_id: UUID

    def needs(self) -> Needs:
        """The method."""
        return Needs(method_ids=(self.method_id,))


class CreatePayment(Struct, frozen=True):
    """Accept a payment; an internal transfer is done at once."""

    tenant_id: str
    payment_type: PaymentType
    source_account_id: UUID
    destination_account_id: UUID | None
    amount: Money
    provider: Provider | None
    capture_method: CaptureMethod
    idempotency_key: str | None = None
    description: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    # The versions of the source account the asker accepts; None: whichever it has.
    source_versions: frozenset[int] | None = None

    @property
    def method_named(self) -> object:
        """What the metadata name as the method to charge; None if they name none."""
        return self.metadata.get(METHOD_KEY)

    def needs(self) -> Needs:
        """Both accounts; an external payment has but one, and perhaps a method."""
        if self.destination_account_id is not None:
            return Needs(account_ids=(self.source_account_id, self.destination_account_id))
        named = self.method_named
        methods = ((self.provider, named),) if self.provider and isinstance(named, str) else ()
        return Needs(account_ids=(self.source_account_id,), methods=methods)


class CancelPayment(Struct, frozen=True):
    """Stop a payment no provider was asked about, or void an authorized one."""

    tenant_id: str
    payment_id: UUID

    def needs(self) -> Needs:
        """The payment."""
        return Needs(payment_ids=(self.payment_id,))


class CapturePayment(Struct, frozen=True):
    """Capture an authorized payment, all of it (None) or less."""

    tenant_id: str
    payment_id: UUID
    amount: Money | None

    def needs(self) -> Needs:
        """The payment."""
        return Needs(payment_ids=(self.payment_id,), payments_only=True)


class RefundPayment(Struct, frozen=True):
    """Give back all that is left (None) or a part."""

    tenant_id: str
    payment_id: UUID
    amount: Money | None
    reason: str | None = None
    idempotency_key: str | None = None

    def needs(self) -> Needs:
        """The payment."""
        return Needs(payment_ids=(self.payment_id,))


class ClaimPayment(Struct, frozen=True):
    """Take attempt number `attempt` of a payment's provider work.

    Asked for again under the same `claim_id`, for nobody heard of its commit, it is one still.
    """

    payment_id: UUID
    attempt: int
    worker: str
    claim_id: UUID | None = None

    def needs(self) -> Needs:
        """The payment."""
        return Needs(payment_ids=(self.payment_id,), payments_only=True)


class SettlePayment(Struct, frozen=True):
    """Record what an attempt ended in; `source` is the message that asked for it.

    `is_first`: nothing had been asked before, so if this attempt was not either, nothing was.
    `is_of_inquiry`: the outcome is the answer to the question what became of an earlier attempt,
    and if it is not certain, nothing was learnt. `provider_key`: what the provider was asked
    under, by which a capture is told from one of another amount.
    """

    payment_id: UUID
    attempt_id: UUID
    operation: Operation
    outcome: Outcome
    source: SourceMessage
    is_first: bool = False
    is_of_inquiry: bool = False
    provider_key: str | None = None

    def needs(self) -> Needs:
        """The payment."""
        return Needs(payment_ids=(self.payment_id,))


class WakePayment(Struct, frozen=True):
    """Look at a payment that is due: send its work again, or give its worker up."""

    payment_id: UUID

    def needs(self) -> Needs:
        """The payment."""
        return Needs(payment_ids=(self.payment_id,), payments_only=True)


class ExpireAuthorization(Struct, frozen=True):
    """Give back what was authorized and not captured in time."""

    payment_id: UUID

    def needs(self) -> Needs:
        """The payment; its money moves once its provider has let go."""
        return Needs(payment_ids=(self.payment_id,), payments_only=True)


class ClaimRefund(Struct, frozen=True):
    """Take attempt number `attempt` of a refund."""

    refund_id: UUID
    attempt: int
    worker: str
    claim_id: UUID | None = None

    def needs(self) -> Needs:
        """The refund with its payment."""
        return Needs(refund_ids=(self.refund_id,), payments_only=True)


class SettleRefund(Struct, frozen=True):
    """Record what an attempt at a refund ended in; the rest as for a payment's."""

    refund_id: UUID
    attempt_id: UUID
    outcome: Outcome
    source: SourceMessage
    is_first: bool = False
    is_of_inquiry: bool = False
    provider_key: str | None = None

    @property
    def operation(self) -> Operation:
        """What was attempted."""
        return Operation.REFUND

    def needs(self) -> Needs:
        """The refund with its payment."""
        return Needs(refund_ids=(self.refund_id,))


class WakeRefund(Struct, frozen=True):
    """Look at a refund that is due."""

    refund_id: UUID

    def needs(self) -> Needs:
        """The refund with its payment."""
        return Needs(refund_ids=(self.refund_id,), payments_only=True)


class NotifyPayment(Struct, frozen=True):
    """Take notice of what a provider says of a payment by itself."""

    payment_id: UUID
    event: ProviderNotification

    def needs(self) -> Needs:
        """The payment, and whether the event is known."""
        return Needs(
            payment_ids=(self.payment_id,), provider_events=(self.event.key,), payments_only=True
        )


class NotifyRefund(Struct, frozen=True):
    """Take notice of what a provider says of a refund by itself."""

    refund_id: UUID
    event: ProviderNotification

    def needs(self) -> Needs:
        """The refund with its payment, and whether the event is known."""
        return Needs(
            refund_ids=(self.refund_id,), provider_events=(self.event.key,), payments_only=True
        )


class ObservePayment(Struct, frozen=True):
    """Record how the payment stands at its provider, because of what `event` said.

    `Unknown` is found where the provider will never tell. `seen_version` is the payment's from
    before it was looked at.
    """

    payment_id: UUID
    event: ProviderNotification
    found: Standing | NotFound | Unknown
    seen_version: int

    def needs(self) -> Needs:
        """The payment with all there is of it, and whether the event is known."""
        return Needs(
            payment_ids=(self.payment_id,), provider_events=(self.event.key,), standing=True
        )


class ParkMessage(Struct, frozen=True):
    """Put a message no stage can process, or may process now, among the dead letters, once.

    `payment_id` is whose message it is, if that can be told: its later ones wait behind it.
    """

    letter_id: UUID
    tenant_id: str
    stage: str
    reason: DeadLetterReason
    error: str
    source: SourceMessage
    payment_id: UUID | None = None

    def needs(self) -> Needs:
        """The letter, if it was parked before, and the payment, if there is one."""
        return Needs(
            dead_letter_ids=(self.letter_id,),
            payment_ids=(self.payment_id,) if self.payment_id else (),
            payments_only=True,
        )


class RedriveDeadLetter(Struct, frozen=True):
    """Try again what is parked; None as tenant means any (an operator at the console)."""

    letter_id: UUID
    actor: str
    reason: str
    tenant_id: str | None = None

    def needs(self) -> Needs:
        """The letter with its payment and its method, and with all that wait with it."""
        return Needs(dead_letter_ids=(self.letter_id,), methods_named=True)


class DiscardDeadLetter(Struct, frozen=True):
    """Close a letter without trying again."""

    letter_id: UUID
    actor: str
    reason: str
    tenant_id: str | None = None

    def needs(self) -> Needs:
        """The letter, and all that wait with it."""
        return Needs(dead_letter_ids=(self.letter_id,))


ProviderWorkCommand = (
    ClaimPayment
    | SettlePayment
    | WakePayment
    | ResolvePayment
    | ClaimRefund
    | SettleRefund
    | WakeRefund
    | ResolveRefund
)
Command = (
    OpenAccount
    | AttachPaymentMethod
    | DetachPaymentMethod
    | CreatePayment
    | CancelPayment
    | CapturePayment
    | RefundPayment
    | ProviderWorkCommand
    | ExpireAuthorization
    | NotifyPayment
    | NotifyRefund
    | ObservePayment
    | ParkMessage
    | RedriveDeadLetter
    | DiscardDeadLetter
    | WebhookCommand
)
