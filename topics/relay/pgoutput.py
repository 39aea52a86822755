"""Decodes what a logical replication stream carries: `pgoutput`, protocol version 1, in text.

Only what the outbox needs becomes an event: where a transaction begins and ends, the rows
inserted into the outbox, and the server's keepalives. Everything else a publication may send
(updates, truncations, origins, types, other tables) is skipped. Source: PostgreSQL manual,
"Streaming Replication Protocol" and "Logical Replication Message Formats".
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import itemgetter
from typing import Final

from topics.contracts.envelope import OutboxRow

# The server counts microseconds since 2000-01-01, Unix seconds since 1970-01-01.
_EPOCH_OFFSET_SECONDS: Final = 946_684_800
_MICROSECONDS: Final = 1_000_000

_XLOG_DATA, _KEEPALIVE, _STATUS = b"wkr"
_BEGIN, _COMMIT, _RELATION, _INSERT = b"BCRI"
_NEW_ROW, _NULL, _TEXT = b"Nnt"

# Where a change begins: behind two places of the WAL and a time.
_CHANGE: Final = struct.calcsize(">xQQq")
_keepalive: Final = struct.Struct(">xQqB")
_begin: Final = struct.Struct(">xQq")
_commit: Final = struct.Struct(">xxQQ")
_relation: Final = struct.Struct(">xI")
_insert: Final = struct.Struct(">xIBH")
# Of a value: its kind, then how long it is.
_value: Final = struct.Struct(">BI")
_column_count: Final = struct.Struct(">xH")
# Of a column: flags, then its name up to a zero byte, then type and modifier.
_COLUMN_TYPE_BYTES: Final = 8
_status: Final = struct.Struct(">BQQQqB")


_REQUIRED: Final = frozenset(OutboxRow._fields).difference(OutboxRow._field_defaults)


class ProtocolError(ValueError):
    """The stream carries what this decoder cannot read; the message says what."""


@dataclass(frozen=True, slots=True)
class Begin:
    """A committed transaction follows. `commit_lsn` is where its commit record starts.

    It is None of rows that are read from the table, which does not know it.
    """

    commit_lsn: int | None
    committed_at: float


@dataclass(frozen=True, slots=True)
class Commit:
    """The transaction is complete; confirming `end_lsn` says that it need not be sent again."""

    end_lsn: int


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Nothing is left to send before `wal_end`."""

    wal_end: int
    reply_requested: bool


WalEvent = Begin | OutboxRow | Commit | Keepalive


class Decoder:
    """Decodes the messages of one connection: the server describes each table once."""

    def __init__(self, table: str) -> None:
        self._table = table.encode()
        self._rows: dict[int, Callable[[list[bytes | None]], OutboxRow]] = {}

    def decode(self, message: bytes) -> WalEvent | None:
        """The event in one CopyData message, if it carries one. Raises `ProtocolError`."""
        try:
            kind = message[0]
            if kind == _XLOG_DATA:
                if message[_CHANGE] == _INSERT:
                    return self._insert(message)
                return self._other(message[_CHANGE:])
            if kind == _KEEPALIVE:
                wal_end, _, reply_requested = _keepalive.unpack_from(message)
                return Keepalive(wal_end, bool(reply_requested))
        except (struct.error, IndexError) as error:
            raise ProtocolError(f"a message ends too soon: {message[:40]!r}") from error
        raise ProtocolError(f"an unknown message of the stream: {message[:40]!r}")

    def _other(self, change: bytes) -> WalEvent | None:
        kind = change[0]
        if kind == _BEGIN:
            commit_lsn, microseconds = _begin.unpack_from(change)
            return Begin(commit_lsn, _EPOCH_OFFSET_SECONDS + microseconds / _MICROSECONDS)
        if kind == _COMMIT:
            _, end_lsn = _commit.unpack_from(change)
            return Commit(end_lsn)
        if kind == _RELATION:
            self._learn(change)
        return None

    def _insert(self, message: bytes) -> OutboxRow | None:
        relation, marker, columns = _insert.unpack_from(message, _CHANGE)
        row_of = self._rows.get(relation)
        if row_of is None:
            return None
        if marker != _NEW_ROW:
            raise ProtocolError(f"an insert without a new row: {message[:40]!r}")
        return row_of(_values(message, columns))

    def _learn(self, change: bytes) -> None:
        """Remember where the outbox keeps its columns: a migration may have added some."""
        (relation,) = _relation.unpack_from(change)
        _, table, rest = change[_relation.size :].split(b"\0", 2)
        if table != self._table:
            return
        names = _column_names(rest)
        missing = _REQUIRED.difference(names)
        if missing:
            raise ProtocolError(f"the table has no column {', '.join(sorted(missing))}")
        there = [field for field in OutboxRow._fields if field in names]
        pick = itemgetter(*(names.index(field) for field in there))
        if tuple(names) == OutboxRow._fields:
            # A row's own constructor takes them apart and puts them together again.
            self._rows[relation] = partial(tuple.__new__, OutboxRow)
        else:
            # From before a column was added: the last may be absent.
            self._rows[relation] = lambda values: OutboxRow(*pick(values))


def _values(message: bytes, columns: int) -> list[bytes | None]:
    """One entry a column. Values that were not sent cannot be: the outbox is only inserted to.

    They are cut out of the message as it is: each is copied once.
    """
    end = len(message)
    if message[-1] == _NULL:
        # Then it has no length that could be read with its kind.
        message += bytes(_value.size)
    values: list[bytes | None] = []
    append, value_at, head_bytes = values.append, _value.unpack_from, _value.size
    position = _CHANGE + _insert.size
    for _ in range(columns):
        kind, length = value_at(message, position)
        if kind == _TEXT:
            start = position + head_bytes
            position = start + length
            append(message[start:position])
        elif kind == _NULL:
            append(None)
            position += 1
        else:
            raise ProtocolError(f"a value that is not text: {message[:40]!r}")
    if position != end:
        raise ProtocolError(f"a row of another length than it says: {message[:40]!r}")
    return values


def _column_names(rest: bytes) -> list[str]:
    (columns,) = _column_count.unpack_from(rest)
    position = _column_count.size
    names = []
    for _ in range(columns):
        end = rest.index(0, position + 1)
        names.append(rest[position + 1 : end].decode())
        position = end + 1 + _COLUMN_TYPE_BYTES
    return names


def status_update(*, received: int, confirmed: int, now: float, reply_requested: bool) -> bytes:
    """The standby's report: what it has received, and what need not be sent again."""
    microseconds = int((now - _EPOCH_OFFSET_SECONDS) * _MICROSECONDS)
    return _status.pack(_STATUS, received, confirmed, confirmed, microseconds, reply_requested)


@lru_cache(maxsize=256)  # the rows of a transaction share it
def lsn_text(lsn: int) -> str:
    """An LSN as Postgres writes it, `16/B374D848`."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_number(text: str) -> int:
    """An LSN as an integer, from what Postgres writes."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)
