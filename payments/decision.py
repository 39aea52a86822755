"""What a decision is made of: the state it saw, the time and ids it was given, what it decided.

A `Decision` is everything there is to record: new and changed rows as they are
after it, ledger transfers, events, work, dead letters. A `Refused` changes nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Union

from payments.progress import Policy
from payments.record import Struct, field, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet
    from datetime import datetime
    from uuid import UUID

    from payments.account import Account, SystemAccount
    from payments.attempt import Attempt, AttemptResult
    from payments.dead_letter import DeadLetter
    from payments.dispute import Dispute
    from payments.events import AccountEvent, Event, Republication, Work
    from payments.ledger import LedgerTransfer
    from payments.notification import NotificationTaken, RecordedNotification
    from payments.operator_action import OperatorAction
    from payments.payment import Payment, Provider
    from payments.payment_method import PaymentMethod
    from payments.provider_rules import ProviderRules
    from payments.refund import Refund
    from payments.webhook_endpoint import WebhookEndpoint, WebhookReplay, WebhookTest


class RefusalCode(StrEnum):
    """Why a command was refused: stable, in order of precedence."""

    ACCOUNT_NOT_FOUND = "account_not_found"
    PAYMENT_NOT_FOUND = "payment_not_found"
    REFUND_NOT_FOUND = "refund_not_found"
    DEAD_LETTER_NOT_FOUND = "dead_letter_not_found"
    NOT_FOUND = "not_found"
    PRECONDITION_FAILED = "precondition_failed"
    SAME_ACCOUNT = "same_account"
    ACCOUNT_NOT_ACTIVE = "account_not_active"
    CURRENCY_MISMATCH = "currency_mismatch"
    OPERATION_NOT_SUPPORTED = "operation_not_supported"
    CURRENCY_NOT_SUPPORTED = "currency_not_supported"
    AMOUNT_NOT_SUPPORTED = "amount_not_supported"
    PAYMENT_METHOD_NOT_FOUND = "payment_method_not_found"
    PAYMENT_METHOD_TAKEN = "payment_method_taken"
    PAYMENT_NOT_CANCELLABLE = "payment_not_cancellable"
    PAYMENT_NOT_CAPTURABLE = "payment_not_capturable"
    CAPTURE_EXCEEDS_AUTHORIZATION = "capture_exceeds_authorization"
    PAYMENT_NOT_REFUNDABLE = "payment_not_refundable"
    REFUND_EXCEEDS_PAYMENT = "refund_exceeds_payment"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    ACCOUNT_TURNOVER_EXCEEDED = "account_turnover_exceeded"
    PAYMENT_NOT_RESOLVABLE = "payment_not_resolvable"
    REFUND_NOT_RESOLVABLE = "refund_not_resolvable"
    ATTEMPT_IN_FLIGHT = "attempt_in_flight"
    AMOUNT_MISMATCH = "amount_mismatch"
    REFERENCE_MALFORMED = "reference_malformed"
    DEAD_LETTER_NOT_PARKED = "dead_letter_not_parked"
    DEAD_LETTER_NOT_REDRIVABLE = "dead_letter_not_redrivable"
    NOT_CLAIMABLE = "not_claimable"
    BEHIND_DEAD_LETTER = "behind_dead_letter"
    WEBHOOK_ENDPOINT_NOT_ENABLED = "webhook_endpoint_not_enabled"
    WEBHOOK_ENDPOINTS_EXHAUSTED = "webhook_endpoints_exhausted"


class Refused(Struct, frozen=True):
    """No, and why, for a person to read; `present` is the row whose state said no, if one did."""

    code: RefusalCode
    detail: str
    present: Account | Payment | Refund | DeadLetter | None = None

    def __repr__(self) -> str:
        # What is present is not in logs: a payment carries its client's own words.
        return f"Refused(code={self.code!r}, detail={self.detail!r})"

    @property
    def is_conditional(self) -> bool:
        """Whether the request itself was never judged.

        The asker's own condition failed, or somebody is at it who may change the answer.
        """
        return self.code in {RefusalCode.PRECONDITION_FAILED, RefusalCode.ATTEMPT_IN_FLIGHT}


class State(Struct, frozen=True):
    """The rows a decision may look at, locked while it does.

    `provider_events` are the keys of those notifications that were taken before. Of payment
    methods `active_methods` are not locked: who is faster than a detachment is before it.
    """

    accounts: Mapping[UUID, Account] = field(default_factory=dict)
    payments: Mapping[UUID, Payment] = field(default_factory=dict)
    refunds: Mapping[UUID, Refund] = field(default_factory=dict)
    dead_letters: Mapping[UUID, DeadLetter] = field(default_factory=dict)
    provider_events: AbstractSet[tuple[str, str]] = frozenset()
    disputes: Mapping[UUID, Dispute] = field(default_factory=dict)
    payment_methods: Mapping[UUID, PaymentMethod] = field(default_factory=dict)
    active_methods: Mapping[tuple[Provider, str], PaymentMethod] = field(default_factory=dict)
    webhook_endpoints: Mapping[UUID, WebhookEndpoint] = field(default_factory=dict)
    # Of a tenant that asks for one more; those who ask at once do not see each other's.
    endpoint_counts: Mapping[str, int] = field(default_factory=dict)

    def after(self, decision: Decision) -> State:
        """The rows as the decision leaves them, for what is decided in the same breath."""
        return replace(
            self,
            accounts={**self.accounts, **{each.id: each for each in decision.accounts}},
            payments={**self.payments, **{each.id: each for each in decision.payments}},
            refunds={**self.refunds, **{each.id: each for each in decision.refunds}},
            disputes={**self.disputes, **{each.id: each for each in decision.disputes}},
        )


class Context(Struct, frozen=True):
    """The time, the ids, the chance (`jitter` in [0, 1)), policy and topics of one decision."""

    now: datetime
    new_id: Callable[[], UUID]
    jitter: float = 0.0
    policy: Policy = field(default_factory=Policy)
    # The topics a message may be sent to.
    topics: frozenset[str] = frozenset()
    # How each provider names a charge, as regular expressions; any name will do of others.
    references: Mapping[str, str] = field(default_factory=dict)
    # What each provider takes; of others anything is accepted.
    rules: Mapping[str, ProviderRules] = field(default_factory=dict)


class Claimed(Struct, frozen=True):
    """A claim's result: what to do, for whom; the payment and refund as claimed."""

    attempt: Attempt
    payment: Payment
    refund: Refund | None = None


Result = Union[
    "Account",
    "Payment",
    "PaymentMethod",
    "Refund",
    Claimed,
    "DeadLetter",
    "NotificationTaken",
    "WebhookEndpoint",
    "WebhookTest",
    "WebhookReplay",
    None,
]


class Decision(Struct, frozen=True):
    """All that is to be recorded, and `result`, what the asker is told."""

    result: Result
    accounts: tuple[Account, ...] = ()
    system_accounts: tuple[SystemAccount, ...] = ()
    payment_methods: tuple[PaymentMethod, ...] = ()
    payments: tuple[Payment, ...] = ()
    refunds: tuple[Refund, ...] = ()
    transfers: tuple[LedgerTransfer, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    attempt_results: tuple[AttemptResult, ...] = ()
    events: tuple[Event, ...] = ()
    account_events: tuple[AccountEvent, ...] = ()
    work: tuple[Work, ...] = ()
    dead_letters: tuple[DeadLetter, ...] = ()
    provider_events: tuple[RecordedNotification, ...] = ()
    # Payments whose messages wait behind another dead letter than before, or behind none.
    blocked: tuple[Payment, ...] = ()
    # A parked message to publish again as it came (an operator's redrive of poison).
    republished: tuple[Republication, ...] = ()
    # What an operator did, signed.
    actions: tuple[OperatorAction, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    webhook_endpoints: tuple[WebhookEndpoint, ...] = ()
    webhook_tests: tuple[WebhookTest, ...] = ()
    webhook_replays: tuple[WebhookReplay, ...] = ()

    def then(self, later: Decision) -> Decision:
        """Both, recorded as one; the result is the later one's."""
        both = {
            name: getattr(self, name) + getattr(later, name)
            for name in self.__struct_fields__
            if name != "result"
        }
        return Decision(result=later.result, **both)
