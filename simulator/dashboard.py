"""What is done to a payment without a request of its own: in the dashboard, by banks, by time.

An action is what the admin API takes as a body, and what a vendor decides. Amounts are in ISO
minor units; without one, an action is about all there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field


class NotOffered(Exception):
    """The vendor has no such thing; the message says what it has instead."""


class _Action(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    # What the journal names it by.
    operation: ClassVar[str]


class _OfAmount(_Action):
    amount: int | None = Field(default=None, gt=0)


class Capture(_OfAmount):
    """Take what is held, or a part of it."""

    operation = "dashboard_capture"


class Void(_Action):
    """Let go what is held."""

    operation = "dashboard_void"


class Expire(_Action):
    """Let an authorization lapse that nobody captured in time."""

    operation = "expire"


class GiveBack(_OfAmount):
    """Refund what was taken; such a refund carries nothing of the client's."""

    operation = "dashboard_refund"


class OpenDispute(_OfAmount):
    """The payer's bank, or the payer, disputes it; the reason is in the vendor's words."""

    operation = "dispute"

    reason: str | None = Field(default=None, min_length=1, max_length=100)


class CloseDispute(_Action):
    """The oldest open dispute ends, for or against the merchant."""

    operation = "close_dispute"

    outcome: Literal["won", "lost"]


class Reverse(_OfAmount):
    """A capture is taken back from the merchant by the vendor."""

    operation = "reverse"


class Pend(_Action):
    """What is taken next stays pending until it is settled."""

    operation = "pend"


class Settle(_Action):
    """What is pending ends."""

    operation = "settle"

    outcome: Literal["succeeded", "failed"] = "succeeded"


class FailRefund(_Action):
    """A refund comes back, perhaps days after it had succeeded."""

    operation = "fail_refund"

    reason: str | None = Field(default=None, min_length=1, max_length=100)


class SettleRefund(_Action):
    """A pending refund arrives."""

    operation = "settle_refund"


class RollKey(_Action):
    """The keys there are end, at once or after an overlap; none follows if there is no `key`."""

    operation = "roll_key"

    vendor: str
    key: str | None = Field(default=None, min_length=1, max_length=255)
    overlap_seconds: float = Field(default=0.0, ge=0)


OfPayment: TypeAlias = (
    Capture | Void | Expire | GiveBack | OpenDispute | CloseDispute | Reverse | Pend | Settle
)
OfRefund: TypeAlias = FailRefund | SettleRefund
Action: TypeAlias = OfPayment | OfRefund | RollKey
# What is posted where, under /_simulator; `subject` is a payment's id, or a refund's.
PATHS: Final[Mapping[str, type[Action]]] = {
    "payments/{subject}/capture": Capture,
    "payments/{subject}/void": Void,
    "payments/{subject}/expire": Expire,
    "payments/{subject}/refund": GiveBack,
    "payments/{subject}/dispute": OpenDispute,
    "payments/{subject}/dispute/close": CloseDispute,
    "payments/{subject}/reverse": Reverse,
    "payments/{subject}/pend": Pend,
    "payments/{subject}/settle": Settle,
    "refunds/{subject}/fail": FailRefund,
    "refunds/{subject}/settle": SettleRefund,
    "keys": RollKey,
}
