"""Scripted misbehaviour: which requests go wrong, how, and how often.

A fault is armed for a vendor and an operation, and fires on the next `times` requests that
match, or on a `share` of them. Faults live in memory only: a restart is a healthy provider.
Of the faults that replace an answer at most one fires per request, the first armed; those
that only colour it (latency, ignored keys, webhook disorder) combine freely.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationInfo
from pydantic_core import PydanticKnownError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_SECOND: Final = 1.0
# Under which the vendors' names stand in the context of a validation.
VENDORS: Final = "vendors"


class FaultKind(StrEnum):
    """What goes wrong. `before` means that nothing happened, `after` that it did.

    `during`, the work began and broke: nothing happened either, but the request has had its answer.
    """

    LATENCY = "latency"
    RATE_LIMIT = "rate_limit"
    ERROR_BEFORE = "error_before"
    ERROR_DURING = "error_during"
    ERROR_AFTER = "error_after"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    HANG_BEFORE = "hang_before"
    HANG_AFTER = "hang_after"
    TRUNCATE = "truncate"
    DECLINE = "decline"
    PEND = "pend"
    NOT_FOUND = "not_found"
    IGNORE_KEY = "ignore_key"
    DUPLICATE_WEBHOOK = "duplicate_webhook"
    REORDER_WEBHOOKS = "reorder_webhooks"
    DROP_WEBHOOK = "drop_webhook"


OF_WEBHOOKS: Final = frozenset(
    {FaultKind.DUPLICATE_WEBHOOK, FaultKind.REORDER_WEBHOOKS, FaultKind.DROP_WEBHOOK}
)
_COMBINING: Final = OF_WEBHOOKS | {FaultKind.LATENCY, FaultKind.IGNORE_KEY}
_ALL: Final = frozenset(FaultKind)


def _any_or_known(vendor: str, info: ValidationInfo) -> str:
    """Where the context of the validation has the vendors there are, only those."""
    vendors = (info.context or {}).get(VENDORS, (vendor,))
    if vendor not in ("*", *vendors):
        pattern = rf"^(\*|{'|'.join(vendors)})$"
        raise PydanticKnownError("string_pattern_mismatch", {"pattern": pattern})
    return vendor


HeaderName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\x20-\x7e]*$")]


class FaultSpec(BaseModel):
    """A fault as the admin API takes it.

    `times` None and `share` None mean every matching request until faults are deleted;
    with `per_second`, those beyond so many in a second, as a vendor limits a rate.
    `milliseconds` is the length of a latency, of a hang, or the age up to which
    `not_found` hides an object (None: any age). `status` is of an error, `headers` and
    `body` are put over those of an error or a 429; a text is sent as it is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind
    vendor: Annotated[str, AfterValidator(_any_or_known)] = "*"
    operation: str = Field(default="*", max_length=40)
    payment_id: str | None = None
    times: int | None = Field(default=None, ge=1)
    share: float | None = Field(default=None, gt=0, le=1)
    per_second: int | None = Field(default=None, ge=1)
    milliseconds: float | None = Field(default=None, ge=0)
    status: int = Field(default=500, ge=400, le=599)
    code: str | None = None
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    body: JsonValue = None


@dataclass(slots=True)
class ArmedFault:
    """A fault in the script, with what is left of it."""

    id: str
    spec: FaultSpec
    left: int | None
    fired: int = 0
    second_began: float = -inf
    in_second: int = 0

    def matches(self, vendor: str, operation: str, payment_id: str | None) -> bool:
        """Whether a request is among those the fault is armed for."""
        spec = self.spec
        return (
            self.left != 0
            and spec.vendor in ("*", vendor)
            and spec.operation in ("*", operation)
            and spec.payment_id in (None, payment_id)
        )

    def is_within_rate(self, now: float) -> bool:
        """Count a request; whether its second has room for it."""
        if self.spec.per_second is None:
            return False
        if now >= self.second_began + _SECOND:
            self.second_began, self.in_second = now, 0
        self.in_second += 1
        return self.in_second <= self.spec.per_second


@dataclass(frozen=True, slots=True)
class Faults:
    """What befalls one request."""

    replacing: FaultSpec | None = None
    combining: tuple[FaultSpec, ...] = ()

    @property
    def latency_s(self) -> float:
        """Seconds to wait before the work, of all latency faults together."""
        return sum(
            (spec.milliseconds or 0) / 1000
            for spec in self.combining
            if spec.kind is FaultKind.LATENCY
        )

    def has(self, kind: FaultKind) -> bool:
        """Whether a fault of this kind befalls the request."""
        return any(spec.kind is kind for spec in self.combining) or (
            self.replacing is not None and self.replacing.kind is kind
        )

    def __str__(self) -> str:
        specs = (*self.combining, self.replacing) if self.replacing else self.combining
        return "+".join(spec.kind for spec in specs)


NO_FAULTS: Final = Faults()


@dataclass(slots=True)
class FaultScript:
    """All armed faults, in the order they were armed."""

    entropy: Random
    clock: Callable[[], float] = monotonic
    armed: list[ArmedFault] = field(default_factory=list)
    _armed_count: int = 0

    def arm(self, spec: FaultSpec) -> ArmedFault:
        """Add a fault behind those already armed."""
        self._armed_count += 1
        fault = ArmedFault(id=f"fault_{self._armed_count}", spec=spec, left=spec.times)
        self.armed.append(fault)
        return fault

    def clear(self, vendor: str = "*") -> int:
        """Disarm everything, or one vendor's; returns how many faults were removed."""
        kept = [fault for fault in self.armed if vendor not in ("*", fault.spec.vendor)]
        removed = len(self.armed) - len(kept)
        self.armed[:] = kept
        return removed

    def draw(
        self,
        vendor: str,
        operation: str,
        payment_id: str | None,
        kinds: Collection[FaultKind] = _ALL,
    ) -> Faults:
        """Use up and return the faults, of these kinds, that befall this request."""
        if not self.armed:
            return NO_FAULTS
        replacing: FaultSpec | None = None
        combining: list[FaultSpec] = []
        for fault in self.armed:
            combines = fault.spec.kind in _COMBINING
            if fault.spec.kind not in kinds or (not combines and replacing is not None):
                continue
            if not fault.matches(vendor, operation, payment_id) or not self._falls(fault):
                continue
            if combines:
                combining.append(fault.spec)
            else:
                replacing = fault.spec
        self.armed[:] = [fault for fault in self.armed if fault.left != 0]
        return Faults(replacing, tuple(combining))

    def _falls(self, fault: ArmedFault) -> bool:
        share = fault.spec.share
        if share is not None and self.entropy.random() >= share:
            return False
        if fault.is_within_rate(self.clock()):
            return False
        fault.fired += 1
        if fault.left is not None:
            fault.left -= 1
        return True
