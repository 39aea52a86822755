"""Every type of message there is: on which channel, with which value, and what it says.

A payload has a version. Within a version it only grows, as `compatibility` defines it; its
JSON Schema is committed in `schemas/`, one file a version. What a type means never changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from payments.dead_letter import DeadLetterState
from payments.events import AccountEventType, EventType, WorkType
from topics.contracts import channels
from topics.contracts.payloads import (
    AccountEventData,
    DeadLetterEventData,
    PaymentEventData,
    WorkData,
)


@dataclass(frozen=True, slots=True)
class Payload:
    """The value of a channel's messages; `version` counts its incompatible changes from 1."""

    name: str
    version: int
    model: type[BaseModel]

    @property
    def label(self) -> str:
        """Name and version, as its file and its schema are called."""
        return f"{self.name}.v{self.version}"


@dataclass(frozen=True, slots=True)
class Channel:
    """One topic: what is on it, and by type (`ce_type`) what a message of it says.

    `headers` are those of the envelope that only some channels have.
    """

    name: str
    summary: str
    payload: Payload
    types: Mapping[str, str]
    headers: tuple[str, ...] = ()


PAYMENT_EVENT: Final = Payload("payment-event", 1, PaymentEventData)
ACCOUNT_EVENT: Final = Payload("account-event", 1, AccountEventData)
WORK: Final = Payload("work", 1, WorkData)
DEAD_LETTER_EVENT: Final = Payload("dead-letter-event", 1, DeadLetterEventData)

PAYLOADS: Final = (PAYMENT_EVENT, ACCOUNT_EVENT, WORK, DEAD_LETTER_EVENT)

_EVENTS: Final = Channel(
    channels.EVENTS,
    "Every public fact about a payment, in order; its last message is the payment.",
    PAYMENT_EVENT,
    {
        EventType.PAYMENT_CREATED: "A payment was accepted and its amount is held.",
        EventType.PAYMENT_AUTHORIZED: "The provider reserved the amount; it waits for a capture.",
        EventType.PAYMENT_COMPLETED: "The provider collected the money.",
        EventType.PAYMENT_FAILED: "It will not be collected; the hold is released.",
        EventType.PAYMENT_CANCELLED: "It was cancelled or voided; the hold is released.",
        EventType.PAYMENT_CAPTURE_FAILED: "A capture was refused; it is still authorized.",
        EventType.PAYMENT_CAPTURED_ELSEWHERE: "Somebody captured it at the provider: completed.",
        EventType.PAYMENT_REVERSED: "The provider took its money back.",
        EventType.PAYMENT_UNKNOWN: "The provider was asked and what it did is not known yet.",
        EventType.PAYMENT_REVIEW: "Nobody can tell by machine what the provider did.",
        EventType.PAYMENT_REDRIVEN: "An operator has a failed payment tried again.",
        EventType.REFUND_CREATED: "A refund was accepted.",
        EventType.REFUND_COMPLETED: "The money of a refund is back.",
        EventType.REFUND_FAILED: "A refund was not made, or came back after it was completed.",
        EventType.REFUND_UNKNOWN: "The provider was asked for a refund; its outcome is unknown.",
        EventType.REFUND_REVIEW: "Nobody can tell by machine what became of a refund.",
        EventType.DISPUTE_OPENED: "A payer disputes the payment.",
        EventType.DISPUTE_UPDATED: "A dispute's amount, or what of it is withdrawn, changed.",
        EventType.DISPUTE_WON: "A dispute was decided for us; what was withdrawn is back.",
        EventType.DISPUTE_LOST: "A dispute was decided for the payer.",
        EventType.TRANSFER_COMPLETED: "Money moved between two accounts, at once.",
    },
    ("ce_sequence", "ce_sequencetype"),
)

_ACCOUNTS: Final = Channel(
    channels.ACCOUNTS,
    "Accounts as they come and what they have; a later balance makes an earlier one stale.",
    ACCOUNT_EVENT,
    {
        AccountEventType.CREATED: "An account was opened.",
        AccountEventType.BALANCE_CHANGED: "What the account has now; not how it came to it.",
    },
)

_CHARGES: Final = Channel(
    channels.CHARGES,
    "Work for the charge stage. A claim of another attempt than the next is refused.",
    WORK,
    {WorkType.CHARGE: "Make this attempt at what the payment owes its provider."},
    ("ce_causationid",),
)

_REFUNDS: Final = Channel(
    channels.REFUNDS,
    "Work for the refund stage. A claim of another attempt than the next is refused.",
    WORK,
    {WorkType.REFUND: "Make this attempt at the refund."},
    ("ce_causationid",),
)

_DEAD_LETTERS: Final = Channel(
    channels.DEAD_LETTERS,
    "What could not be processed, with its original bytes, and what became of it.",
    DEAD_LETTER_EVENT,
    {
        f"dead_letter.{DeadLetterState.PARKED}": "It waits for an operator.",
        f"dead_letter.{DeadLetterState.REDRIVEN}": "An operator had it tried again.",
        f"dead_letter.{DeadLetterState.DISCARDED}": "An operator closed it.",
    },
)

CHANNELS: Final = (_EVENTS, _ACCOUNTS, _CHARGES, _REFUNDS, _DEAD_LETTERS)
