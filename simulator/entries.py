"""One line of the journal: a request, what was decided, and the records it left behind.

An entry holds everything needed to rebuild the state it caused: replaying all entries in
order through a vendor's `apply` gives the same intents, orders, refunds and idempotency keys
as were held when the last of them was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, TypeVar

import orjson

JsonValue: TypeAlias = (
    "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"  # recursive
)
JsonObject: TypeAlias = dict[str, JsonValue]


class StoredObject(Protocol):
    """What a vendor has on record: a frozen dataclass whose `kind` names its decoder."""

    @property
    def kind(self) -> str: ...


RecordT = TypeVar("RecordT", bound=StoredObject)
Decoders: TypeAlias = Mapping[str, Callable[[JsonObject], StoredObject]]


@dataclass(frozen=True, slots=True)
class DisputeFact:
    """Where a dispute stands, in ISO minor units: what of it was taken from the merchant."""

    reference: str
    amount_minor: int
    state: Literal["open", "won", "lost"]
    withdrawn_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A request and its consequences; `at` in Unix seconds, `amount_minor` in ISO minor units.

    `writes[0]` is the record the answer is about, `effect` is set only when money was
    reserved, moved or released, and `keeps_key` says that the key replays this answer.
    `released_minor` is what a capture gave back of its hold, `refund_id` the client's own, and
    `scripted` the body of an error where a fault had one.
    """

    seq: int
    at: float
    vendor: str
    operation: str
    method: str
    path: str
    request_id: str
    status: int
    outcome: str
    key: str | None = None
    fingerprint: str | None = None
    keeps_key: bool = False
    replayed: bool = False
    fault: str | None = None
    payment_id: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    effect: str | None = None
    reference: str | None = None
    refund_id: str | None = None
    released_minor: int = 0
    dispute: DisputeFact | None = None
    events: tuple[str, ...] = ()
    writes: tuple[StoredObject, ...] = ()
    error: StoredObject | None = None
    scripted: JsonValue = None


def encode(entry: Entry) -> bytes:
    """The entry as one line of JSON, newline included."""
    return orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)


def decode(line: bytes, vendors: Mapping[str, Decoders]) -> Entry:
    """The entry a line holds, read as its vendor reads; raises ValueError when it is not one."""
    fields = orjson.loads(line)
    if not isinstance(fields, dict) or not fields.keys() >= _REQUIRED:
        raise ValueError("not a journal entry")
    try:
        decoders = vendors[fields["vendor"]]
        fields["writes"] = tuple(record(one, decoders) for one in fields["writes"])
        fields["events"] = tuple(fields["events"])
        if fields["error"] is not None:
            fields["error"] = record(fields["error"], decoders)
        if fields.get("dispute") is not None:
            fields["dispute"] = DisputeFact(**fields["dispute"])
        return Entry(**fields)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a journal entry of this version: {error!r}") from error


def reader(kind: type[RecordT], decoders: Decoders) -> Callable[[bytes], RecordT]:
    """Reads the JSON of records of one kind."""

    def read(written: bytes) -> RecordT:
        found = record(orjson.loads(written), decoders)
        assert isinstance(found, kind)
        return found

    return read


_REQUIRED: Final = {"seq", "at", "vendor", "operation", "writes", "events", "error"}


def record(fields: JsonObject, decoders: Decoders) -> StoredObject:
    """The record that its JSON holds. Raises KeyError and TypeError when it holds none."""
    kind = fields["kind"]
    if not isinstance(kind, str):
        raise TypeError("a record's kind is a string")
    return decoders[kind](fields)
