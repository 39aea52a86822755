"""The tamper-evident journal: a tenant's ledger rows in their order, sealed in a chain of digests.

A seal stands for some rows and, through the digest of the seal before it, for all earlier ones:
change, remove, add or move a row, and neither its seal nor any later one fits. What is digested
is defined here to the byte, so that anybody can check it with a few lines in any language.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from hashlib import sha256
from operator import attrgetter
from typing import TYPE_CHECKING, Final
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FORMAT: Final = "payments.journal.v1"
# What a tenant's first seal has in the place of the digest before it.
NO_DIGEST: Final = "0" * 64
# Enough to tell the rows of one seal apart and say which of them changed. The proof is the digest.
_FINGERPRINT_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class JournalRow:
    """A ledger row as it is stored; the order of the fields is that of the canonical form.

    Texts, not enumerations: a journal must be able to show whatever a forger wrote.
    """

    id: UUID
    tenant_id: str
    state: str
    pending_id: UUID | None
    debit_account_id: UUID
    credit_account_id: UUID
    amount_minor: int
    releases_minor: int
    currency: str
    transaction_type: str
    description: str | None
    payment_id: UUID | None
    refund_id: UUID | None
    debit_balance_after: int | None
    credit_balance_after: int | None
    recorded_at: datetime
    # Not kept at first: a row without it has the bytes that its seal was made of then.
    debit_held_after: int | None = None


@dataclass(frozen=True, slots=True)
class Seal:
    """What stands for `row_count` rows and all before them; digests are lower-case hex.

    `fingerprints` are the first eight bytes of each row's own digest, one after the other.
    """

    tenant_id: str
    number: int
    first_id: UUID
    last_id: UUID
    row_count: int
    sealed_at: datetime
    previous_digest: str
    fingerprints: str
    digest: str


def seal(rows: Sequence[JournalRow], previous: Seal | None, sealed_at: datetime) -> Seal:
    """The seal of a tenant's next rows, which come in the order of their ids."""
    ids = [row.id for row in rows]
    assert ids == sorted(set(ids)), "rows are sealed in the order of their ids, each once"
    assert len({row.tenant_id for row in rows}) == 1, "a seal has rows, and of one tenant"
    assert previous is None or previous.last_id < ids[0], "what is sealed lies behind us"
    digests = [row_digest(row) for row in rows]
    undigested = Seal(
        tenant_id=rows[0].tenant_id,
        number=previous.number + 1 if previous else 1,
        first_id=ids[0],
        last_id=ids[-1],
        row_count=len(rows),
        sealed_at=sealed_at,
        previous_digest=previous.digest if previous else NO_DIGEST,
        fingerprints="".join(map(fingerprint, digests)),
        digest="",
    )
    return replace(undigested, digest=digest_of(undigested, digests))


def digest_of(seal: Seal, row_digests: Iterable[bytes]) -> str:
    """What a seal's digest has to be, by its other fields, over rows of those digests.

    SHA-256 of the format's name and the fields as netstrings, then of the rows' digests.
    """
    head = netstrings(
        FORMAT,
        seal.tenant_id,
        seal.number,
        seal.first_id,
        seal.last_id,
        seal.row_count,
        seal.sealed_at,
        seal.previous_digest,
    )
    return sha256(head + b"".join(row_digests)).hexdigest()


def row_digest(row: JournalRow) -> bytes:
    """SHA-256 of the row's canonical form."""
    return sha256(canonical(row)).digest()


def fingerprint(row_digest: bytes) -> str:
    """How a seal remembers one row."""
    return row_digest[:_FINGERPRINT_BYTES].hex()


def fingerprints_in(seal: Seal) -> list[str]:
    """One a row, in their order."""
    step = 2 * _FINGERPRINT_BYTES
    return [seal.fingerprints[at : at + step] for at in range(0, len(seal.fingerprints), step)]


_COLUMNS: Final = attrgetter(*(each.name for each in fields(JournalRow)))
_FIRST: Final = attrgetter(*(each.name for each in fields(JournalRow)[:-1]))


def canonical(row: JournalRow) -> bytes:
    """The row's bytes: its columns in order as netstrings. No two rows have the same.

    The last column is left out where it is null, and nothing stands for it.
    """
    return netstrings(*(_COLUMNS(row) if row.debit_held_after is not None else _FIRST(row)))


def netstrings(*values: UUID | datetime | str | int | None) -> bytes:
    """Each value as its length in bytes, a colon, the bytes, a comma; `~` for null.

    Numbers are decimal, ids as RFC 9562 writes them, texts UTF-8, times as RFC 3339 in UTC with
    six decimals and a Z. Source: https://cr.yp.to/proto/netstrings.txt
    """
    return b"".join(map(_netstring, values))


def _netstring(value: UUID | datetime | str | int | None) -> bytes:
    if value is None:
        return b"~"
    if isinstance(value, datetime):
        value = _rfc3339(value)
    data = str(value).encode()
    return b"%d:%s," % (len(data), data)


def _rfc3339(instant: datetime) -> str:
    # Postgres has an infinity, which is in no zone and cannot be brought into one.
    in_utc = instant.astimezone(UTC) if instant.utcoffset() else instant
    return in_utc.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
