"""Holds a journal against its seals: what was changed, taken out, put in or moved, by name.

The journal is read as it was written: rows in the order of their ids, and after the last row
of a seal the seal. Which of several tenants' rows come first does not matter. What is wrong
with one seal does not hide what is wrong with the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import SequenceMatcher
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID

from payments.journal.seals import (
    NO_DIGEST,
    JournalRow,
    Seal,
    digest_of,
    fingerprint,
    fingerprints_in,
    row_digest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

JournalItem: TypeAlias = JournalRow | Seal

_BEFORE_ALL: Final = UUID(int=0)


class Tampering(StrEnum):
    """What was done to a journal."""

    ROW_CHANGED = "row changed"
    ROW_DELETED = "row deleted"
    ROW_INSERTED = "row inserted"
    ROW_MOVED = "row moved"
    SEAL_CHANGED = "seal changed"
    SEAL_MISSING = "seal missing"
    SEAL_REPLACED = "seal replaced"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: what was done, and to which row or seal of which tenant."""

    tampering: Tampering
    tenant_id: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.tenant_id}: {self.subject}: {self.tampering}: {self.detail}"


@dataclass(slots=True)
class _Chain:
    """One tenant's journal so far: its rows since the last seal, and where the chain stands.

    `digest` is None where it cannot be told what the next seal should continue.
    """

    rows: list[JournalRow] = field(default_factory=list)
    number: int = 0
    digest: str | None = NO_DIGEST


class Audit:
    """Takes a journal item by item; `known` are digests of seals seen at another time.

    Whoever may write both tables can make a whole chain anew, and a chain alone cannot show
    that. A digest kept elsewhere does: that is what `known` is for, one seal a tenant.
    """

    def __init__(self, known: Mapping[str, Seal] | None = None) -> None:
        self._known = dict(known or {})
        self._chains: dict[str, _Chain] = {}
        self._sealed_up_to = _BEFORE_ALL
        self.rows = 0
        self.seals = 0
        self.unsealed = 0

    def take(self, item: JournalItem) -> Iterator[Problem]:
        """What the next item shows. To be read to its end before the next."""
        chain = self._chains.setdefault(item.tenant_id, _Chain())
        if isinstance(item, JournalRow):
            self.rows += 1
            chain.rows.append(item)
            return
        self.seals += 1
        self._sealed_up_to = max(self._sealed_up_to, item.last_id)
        yield from self._expected(item, chain)
        yield from _compared(item, chain)

    def end(self, sealed_up_to: UUID | None = None) -> Iterator[Problem]:
        """What only the end shows; all rows up to `sealed_up_to` must have been sealed."""
        limit = max(self._sealed_up_to, sealed_up_to or _BEFORE_ALL)
        for chain in self._chains.values():
            for row in chain.rows:
                if row.id <= limit:
                    why = "it is in no seal, and later rows are"
                    yield _about_row(Tampering.ROW_INSERTED, row, why)
                else:
                    self.unsealed += 1
        for tenant_id, seal in self._known.items():
            yield Problem(
                Tampering.SEAL_MISSING,
                tenant_id,
                f"seal {seal.number}",
                "it was there when its digest was noted elsewhere",
            )

    def _expected(self, seal: Seal, chain: _Chain) -> Iterator[Problem]:
        """Whether the seal is the one that has to come, and the one that was known before."""
        if seal.number > chain.number + 1:
            missing = f"seals {chain.number + 1} to {seal.number - 1}"
            subject = missing if seal.number > chain.number + 2 else f"seal {seal.number - 1}"
            detail = f"seal {seal.number} comes after seal {chain.number}"
            yield Problem(Tampering.SEAL_MISSING, seal.tenant_id, subject, detail)
            # Its rows cannot be told from this seal's but by where this one says it begins.
            chain.rows = [row for row in chain.rows if row.id >= seal.first_id]
            chain.digest = None
        elif seal.number <= chain.number:
            detail = f"it comes after seal {chain.number}"
            yield _about_seal(Tampering.SEAL_CHANGED, seal, detail)
        known = self._known.get(seal.tenant_id)
        if known and known.number == seal.number:
            del self._known[seal.tenant_id]
            if known.digest != seal.digest:
                detail = (
                    "its digest is not the one noted elsewhere: its rows or earlier ones differ"
                )
                yield _about_seal(Tampering.SEAL_REPLACED, seal, detail)


def _compared(seal: Seal, chain: _Chain) -> Iterator[Problem]:
    """Hold the seal against the rows before it, and against the seal before them."""
    rows, chain.rows = chain.rows, []
    digests = [row_digest(row) for row in rows]
    found = [fingerprint(each) for each in digests]
    is_intact = seal.digest == digest_of(seal, digests)
    if not is_intact:
        different = list(_differences(seal, rows, found))
        yield from different or [
            _about_seal(Tampering.SEAL_CHANGED, seal, "its rows are as they were, it is not")
        ]
    elif found != fingerprints_in(seal):
        yield _about_seal(
            Tampering.SEAL_CHANGED, seal, "its fingerprints are not those of its rows"
        )
    elif chain.digest not in {None, seal.previous_digest}:
        detail = f"it does not continue seal {seal.number - 1}: one of the two was made anew"
        yield _about_seal(Tampering.SEAL_REPLACED, seal, detail)
    chain.number = max(chain.number, seal.number)
    # What a broken seal says of itself is no ground to judge the next by.
    chain.digest = seal.digest if is_intact else None


def _differences(seal: Seal, rows: Sequence[JournalRow], found: Sequence[str]) -> Iterator[Problem]:
    """Which rows are not what the fingerprints remember."""
    sealed = fingerprints_in(seal)
    where = f"in seal {seal.number}"
    if sorted(sealed) == sorted(found):
        for place, row in enumerate(rows):
            if found[place] != sealed[place]:
                detail = (
                    f"it was row {sealed.index(found[place]) + 1} {where}, and is row {place + 1}"
                )
                yield _about_row(Tampering.ROW_MOVED, row, detail)
        return
    for _, i, i_end, j, j_end in _changes(sealed, found):
        paired = min(i_end - i, j_end - j)
        for row in rows[j : j + paired]:
            yield _about_row(Tampering.ROW_CHANGED, row, f"{where} it was different")
        for row in rows[j + paired : j_end]:
            yield _about_row(Tampering.ROW_INSERTED, row, f"{where} there was no such row")
        for place in range(i + paired, i_end):
            yield _deleted(seal, place, rows[j_end - 1] if j_end else None)


def _changes(
    sealed: Sequence[str], found: Sequence[str]
) -> Iterator[tuple[str, int, int, int, int]]:
    matcher = SequenceMatcher(None, sealed, found, autojunk=False)
    return (change for change in matcher.get_opcodes() if change[0] != "equal")


def _deleted(seal: Seal, place: int, before: JournalRow | None) -> Problem:
    """A row that is gone has no name but its place; the seal remembers the ids at its ends."""
    ends = {0: seal.first_id, seal.row_count - 1: seal.last_id}
    subject = (
        f"row {ends[place]}" if place in ends else f"a row after {before.id}" if before else "a row"
    )
    detail = f"it was row {place + 1} of {seal.row_count} in seal {seal.number}"
    return Problem(Tampering.ROW_DELETED, seal.tenant_id, subject, detail)


def _about_row(tampering: Tampering, row: JournalRow, detail: str) -> Problem:
    return Problem(tampering, row.tenant_id, f"row {row.id}", detail)


def _about_seal(tampering: Tampering, seal: Seal, detail: str) -> Problem:
    return Problem(tampering, seal.tenant_id, f"seal {seal.number}", detail)
