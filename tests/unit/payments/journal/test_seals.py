"""What a seal digests, to the byte, and that nothing else has the same bytes."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.journal.seals import (
    NO_DIGEST,
    JournalRow,
    canonical,
    digest_of,
    fingerprints_in,
    netstrings,
    row_digest,
    seal,
)
from tests.support.payments.journals import ROW, SEALED_AT, row

texts = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(["~", "3:abc,", "0:,"])
instants = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2200, 1, 1),  # noqa: DTZ001 - likewise
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))]),
)
values = st.none() | texts | st.integers(-(2**63), 2**63 - 1) | st.uuids() | instants
rows = st.builds(JournalRow, recorded_at=instants)
ONE_NETSTRING: Final = re.compile(rb"~|(\d+):")


@given(st.lists(values, max_size=6))
def test_what_was_written_can_be_read_back(
    written: list[str | int | UUID | datetime | None],
) -> None:
    """The bytes say where each value ends, so different rows have different bytes."""
    read = parsed(netstrings(*written))
    assert read == [None if value is None else text_of(value) for value in written]


@given(rows, rows)
def test_two_rows_have_the_same_bytes_only_if_they_are_the_same(
    one: JournalRow, other: JournalRow
) -> None:
    """Nothing is left out of the canonical form."""
    assert (canonical(one) == canonical(other)) == (one == other)


@pytest.mark.parametrize("name", [each.name for each in fields(JournalRow)])
def test_every_column_counts(name: str) -> None:
    """A change of any one of them is another row."""
    value = getattr(ROW, name)
    match value:
        case int():
            other: object = value + 1
        case UUID():
            other = UUID(int=value.int + 1)
        case datetime():
            other = value + timedelta(microseconds=1)
        case _:
            other = f"another {value}"
    changed = replace(ROW, **{name: other})  # type: ignore[arg-type]  # a table of single fields
    assert canonical(changed) != canonical(ROW)


def test_an_instant_is_the_same_in_every_zone() -> None:
    """A database may show a time in another zone than the one it was written in."""
    elsewhere = ROW.recorded_at.astimezone(timezone(timedelta(hours=5)))
    assert canonical(replace(ROW, recorded_at=elsewhere)) == canonical(ROW)


def test_the_format_is_what_auditors_were_told() -> None:
    """Digested by hand: a seal of today can be verified in ten years."""
    zeros = "00000000-0000-0000-0000-0000000000"
    text = (
        f"36:{zeros}01,7:default,6:posted,~36:{zeros}64,36:{zeros}c8,4:5000,1:0,3:USD,8:transfer,"
        f"~36:00000000-0000-0000-0000-00000000012c,~5:95000,~27:2026-01-01T00:00:00.000000Z,"
    )
    older = replace(ROW, debit_held_after=None)
    assert canonical(older) == text.encode()
    assert canonical(ROW) == f"{text}1:0,".encode()
    head = (
        f"19:payments.journal.v1,7:default,1:1,36:{zeros}01,36:{zeros}01,1:1,"
        f"27:2026-01-02T00:00:00.000000Z,64:{NO_DIGEST},"
    )
    row_sha256 = sha256(text.encode()).digest()
    first = seal([older], None, SEALED_AT)
    assert first.digest == sha256(head.encode() + row_sha256).hexdigest()
    assert first.fingerprints == row_sha256.hex()[:16]


def test_each_seal_continues_the_one_before() -> None:
    """Numbers count, digests link, and a seal names its ends."""
    first = seal([row(1), row(2)], None, SEALED_AT)
    second = seal([row(3)], first, SEALED_AT)
    assert (first.number, second.number) == (1, 2)
    assert (first.previous_digest, second.previous_digest) == (NO_DIGEST, first.digest)
    assert (first.first_id, first.last_id, first.row_count) == (UUID(int=1), UUID(int=2), 2)
    assert len(fingerprints_in(first)) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"tenant_id": "other"},
        {"number": 2},
        {"first_id": UUID(int=9)},
        {"last_id": UUID(int=9)},
        {"row_count": 3},
        {"sealed_at": SEALED_AT + timedelta(microseconds=1)},
        {"previous_digest": "1" * 64},
    ],
    ids=lambda change: next(iter(change)),
)
def test_everything_a_seal_says_is_digested(change: dict[str, object]) -> None:
    """None of it can be changed without another digest."""
    first = seal([row(1), row(2)], None, SEALED_AT)
    changed = replace(first, **change)  # type: ignore[arg-type]  # a table of single fields
    digests = [row_digest(each) for each in (row(1), row(2))]
    assert digest_of(first, digests) == first.digest
    assert digest_of(changed, digests) != first.digest


@pytest.mark.parametrize(
    "wrong", [[], [row(2), row(1)], [row(1), row(1)], [row(1), row(2, "other")]]
)
def test_only_rows_of_one_tenant_in_their_order_are_sealed(wrong: list[JournalRow]) -> None:
    """Whatever else is handed over is a mistake of the caller."""
    with pytest.raises(AssertionError):
        seal(wrong, None, SEALED_AT)


def parsed(data: bytes) -> list[str | None]:
    """The values, read as anybody would write it who knows netstrings."""
    found: list[str | None] = []
    while data:
        match = ONE_NETSTRING.match(data)
        assert match
        if match[1] is None:
            found.append(None)
            data = data[1:]
            continue
        end = match.end() + int(match[1])
        assert data[end : end + 1] == b","
        found.append(data[match.end() : end].decode())
        data = data[end + 1 :]
    return found


def text_of(value: str | int | UUID | datetime) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return str(value)
