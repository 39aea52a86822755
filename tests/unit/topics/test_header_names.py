"""Names of headers that are not UTF-8: their messages can be read, and are the same otherwise."""

from __future__ import annotations

import pytest
from aiokafka.record.memory_records import MemoryRecords

from tests.support.topics.raw_names import READABLE, batch_of
from topics.header_names import readable

_SAID = [{"ce_id": b"1"}, {"ce_id": b"2", "größe": b"\xff"}]


def read(records: bytes) -> list[tuple[int, bytes, bytes, dict[str, bytes]]]:
    """As aiokafka reads what a broker sends."""
    found, reader = [], MemoryRecords(records)
    while reader.has_next():
        batch = reader.next_batch()
        assert batch.validate_crc()
        found += [(each.offset, each.key, each.value, dict(each.headers)) for each in batch]
    return found


@pytest.mark.parametrize("is_compressed", [False, True], ids=["plain", "compressed"])
def test_a_name_that_is_no_text_can_be_read(*, is_compressed: bool) -> None:
    """What is a text stays, whatever it is in; and so does all else of the message."""
    records = batch_of(b"key", b"\xff value", _SAID, is_compressed=is_compressed)
    with pytest.raises(UnicodeDecodeError):
        read(records)
    assert read(readable(records)) == [
        (offset, b"key", b"\xff value", said | {READABLE: b"odd"})
        for offset, said in enumerate(_SAID)
    ]


def test_what_can_be_read_stays_as_it_is() -> None:
    """All batches of a broker's answer, the last of which it may have cut off."""
    odd = batch_of(b"key", b"value", _SAID)
    fine = readable(odd)
    assert readable(fine) is fine
    assert readable(b"") == b""
    assert readable(fine + odd + odd[:40]) == fine + fine + odd[:40]
