"""A provider's settlement report held against our books: what differs, and since when. Pure.

The report says what moved at the provider in a period; our entries say what we believe. Each
difference is a break of one type, with the same id in every run that finds it, so that a
later run can tell a new one from an old one, and one that is gone from one it cannot see.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from payments.ids import reconciliation_break_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from payments.money import Money
    from payments.payment import Provider

# Between the provider's clock and ours, and between its deed and our commit.
MARGIN: Final = timedelta(minutes=5)


class Kind(StrEnum):
    """What moved: money to us, or back."""

    CHARGE = "charge"
    REFUND = "refund"


class SettlementStatus(StrEnum):
    """What the provider says of a movement; only a succeeded one moved money."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PENDING = "pending"


class BreakType(StrEnum):
    """How the two sides differ."""

    MISSING_HERE = "missing_here"
    MISSING_THERE = "missing_there"
    AMOUNT_DIFFERS = "amount_differs"
    CURRENCY_DIFFERS = "currency_differs"
    STATUS_DIFFERS = "status_differs"
    DUPLICATE_CHARGE = "duplicate_charge"
    DUPLICATE_REFUND = "duplicate_refund"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """A line of the report; `our_id` is the payment or refund it names, if it names ours.

    `payment_id` is the payment it names: a refund made at the provider itself has no other name.
    """

    kind: Kind
    reference: str
    our_id: UUID | None
    payment_id: UUID | None
    amount: Money
    status: SettlementStatus
    occurred_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BookEntry:
    """A payment or a refund of ours; `settled_at` is set once we say that its money moved.

    `began_at` is when the provider was first asked to move it, or else when it was created.
    `reference` ends with the name the provider gives the movement. `is_open` says that we do
    not know yet.
    """

    kind: Kind
    id: UUID
    payment_id: UUID
    tenant_id: str
    amount: Money
    status: str
    is_open: bool
    reference: str | None
    began_at: datetime
    settled_at: datetime | None

    @property
    def key(self) -> tuple[Kind, UUID]:
        return self.kind, self.id

    def is_named(self, reference: str) -> bool:
        """Whether the provider's reference is this entry's."""
        ours = self.reference
        return ours is not None and (ours == reference or ours.endswith(f"/{reference}"))


@dataclass(frozen=True, slots=True)
class Period:
    """What a report covers: `start` is in it, `end` is not."""

    start: datetime
    end: datetime

    def covers(self, began_at: datetime, ended_at: datetime) -> bool:
        """Whether what happened in between, at the provider's time, is certainly in the report."""
        return self.start + MARGIN <= began_at and ended_at < self.end - MARGIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """A difference. It was caused between `began_at` and `occurred_at`, which its age counts from.

    `here` and `there` are the amounts, None where a side has nothing.
    """

    id: UUID
    tenant_id: str | None
    provider: Provider
    type: BreakType
    kind: Kind
    payment_id: UUID | None
    refund_id: UUID | None
    reference: str | None
    here: Money | None
    there: Money | None
    status_here: str | None
    status_there: str | None
    began_at: datetime
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One report against the entries of its period, and of all that it names."""

    provider: Provider
    period: Period

    def breaks(self, ours: Iterable[BookEntry], theirs: Iterable[Settlement]) -> list[Break]:
        """Every difference, in no particular order; no two have one id."""
        entries = {entry.key: entry for entry in ours}
        groups = self._grouped(entries, theirs)
        found = [
            each
            for entry, lines in groups
            for each in (self._compared(entry, lines) if entry else self._unclaimed(lines))
        ]
        met = {entry.key for entry, _ in groups if entry}
        for entry in entries.values():
            if entry.key not in met:
                found += self._unseen(entry)
        return list({each.id: each for each in found}.values())

    def _grouped(
        self, entries: dict[tuple[Kind, UUID], BookEntry], theirs: Iterable[Settlement]
    ) -> list[tuple[BookEntry | None, list[Settlement]]]:
        """The lines by the entry they are about; a line that names none is looked for by name."""
        by_name = {
            (entry.kind, entry.reference.rpartition("/")[2]): entry
            for entry in entries.values()
            if entry.reference
        }
        known: defaultdict[tuple[Kind, UUID], list[Settlement]] = defaultdict(list)
        unknown: list[Settlement] = []
        # A line that is there twice, as where two reports overlap, is one movement.
        for line in dict.fromkeys(theirs):
            entry = entries.get((line.kind, line.our_id)) if line.our_id else None
            entry = entry or by_name.get((line.kind, line.reference))
            (known[entry.key] if entry else unknown).append(line)
        groups: list[tuple[BookEntry | None, list[Settlement]]] = [
            (entries[key], lines) for key, lines in known.items()
        ]
        return [*groups, (None, unknown)]

    def _unclaimed(self, lines: Iterable[Settlement]) -> Iterator[Break]:
        for line in lines:
            if line.status is SettlementStatus.SUCCEEDED:
                yield self._missing_here(line)

    def _unseen(self, entry: BookEntry) -> Iterator[Break]:
        """A break where the report must have it: it was asked for and done in the period."""
        settled_at = entry.settled_at
        if settled_at is not None and self.period.covers(entry.began_at, settled_at):
            yield self._missing_there(entry, settled_at)

    def _compared(self, entry: BookEntry, lines: Sequence[Settlement]) -> Iterator[Break]:
        moved = sorted(
            (line for line in lines if line.status is SettlementStatus.SUCCEEDED),
            key=lambda line: (not entry.is_named(line.reference), line.occurred_at),
        )
        if not moved:
            if entry.settled_at is not None:
                yield self._differs(BreakType.STATUS_DIFFERS, entry, lines[-1])
            return
        # Where we know which movement is ours, every other one is one too many.
        first_is_ours = entry.is_named(moved[0].reference) or not (
            entry.settled_at and entry.reference
        )
        if first_is_ours:
            yield from self._matched(entry, moved[0])
        else:
            yield from self._unseen(entry)
        is_charge = entry.kind is Kind.CHARGE
        surplus = BreakType.DUPLICATE_CHARGE if is_charge else BreakType.DUPLICATE_REFUND
        for line in moved[first_is_ours:]:
            yield self._differs(surplus, entry, line)

    def _matched(self, entry: BookEntry, line: Settlement) -> Iterator[Break]:
        if entry.settled_at is None:
            # What has only just moved we may not have been told yet.
            if not (entry.is_open and line.occurred_at >= self.period.end - MARGIN):
                yield self._differs(BreakType.STATUS_DIFFERS, entry, line)
        elif entry.amount.currency != line.amount.currency:
            yield self._differs(BreakType.CURRENCY_DIFFERS, entry, line)
        elif entry.amount != line.amount:
            yield self._differs(BreakType.AMOUNT_DIFFERS, entry, line)

    def _missing_here(self, line: Settlement) -> Break:
        is_refund = line.kind is Kind.REFUND
        return Break(
            id=self._id(BreakType.MISSING_HERE, line.kind, line.our_id, line.reference),
            tenant_id=None,
            provider=self.provider,
            type=BreakType.MISSING_HERE,
            kind=line.kind,
            payment_id=line.payment_id,
            refund_id=line.our_id if is_refund else None,
            reference=line.reference,
            here=None,
            there=line.amount,
            status_here=None,
            status_there=line.status.value,
            began_at=line.occurred_at,
            occurred_at=line.occurred_at,
        )

    def _missing_there(self, entry: BookEntry, settled_at: datetime) -> Break:
        return Break(
            id=self._id(BreakType.MISSING_THERE, entry.kind, entry.id, None),
            tenant_id=entry.tenant_id,
            provider=self.provider,
            type=BreakType.MISSING_THERE,
            kind=entry.kind,
            payment_id=entry.payment_id,
            refund_id=entry.id if entry.kind is Kind.REFUND else None,
            reference=entry.reference,
            here=entry.amount,
            there=None,
            status_here=entry.status,
            status_there=None,
            began_at=entry.began_at,
            occurred_at=settled_at,
        )

    def _differs(self, what: BreakType, entry: BookEntry, line: Settlement) -> Break:
        return Break(
            id=self._id(what, entry.kind, entry.id, line.reference),
            tenant_id=entry.tenant_id,
            provider=self.provider,
            type=what,
            kind=entry.kind,
            payment_id=entry.payment_id,
            refund_id=entry.id if entry.kind is Kind.REFUND else None,
            reference=line.reference,
            here=entry.amount,
            there=line.amount,
            status_here=entry.status,
            status_there=line.status.value,
            began_at=line.occurred_at,
            occurred_at=line.occurred_at,
        )

    def _id(self, what: BreakType, kind: Kind, our_id: UUID | None, reference: str | None) -> UUID:
        about = f"{what.value}/{kind.value}/{our_id or ''}/{reference or ''}"
        return reconciliation_break_id(self.provider, about)
