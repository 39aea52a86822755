"""Names of headers that are not UTF-8, made readable before aiokafka reads them.

A broker takes whatever bytes a producer names a header with. aiokafka raises at them: its consumer
never gets past such a message, and loses what it had read of other partitions. So what a broker
sends is read once before, a microsecond a message, and stays as it is if it can be; else each byte
of such a name that is no ASCII becomes a question mark. All else of a message stays in any case
(docs/decisions/0050-headers-of-any-name-are-made-readable.md).
"""

import struct
from collections.abc import Iterator
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import DefaultRecordBase
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c, decode_varint

_HEADER: Final = DefaultRecordBase.HEADER_STRUCT
# What comes before the length of a batch, and that itself, are not counted in it.
_UNCOUNTED: Final = DefaultRecordBase.AFTER_LEN_OFFSET
_SIZE_AT: Final = struct.calcsize(">q")
# Of the older formats none has headers.
_MAGIC_AT: Final = struct.calcsize(">qii")
_MAGIC: Final = 2
_NUMBERS_BEFORE_KEY: Final = 3  # attributes, and how much later and behind the first it is
_DECODERS: Final = {1: gzip_decode, 2: snappy_decode, 3: lz4_decode, 4: zstd_decode}


def reading_any_name(consumer: AIOKafkaConsumer) -> AIOKafkaConsumer:
    """The consumer, whatever its messages' headers are called; before it starts."""
    client = consumer._client  # noqa: SLF001 - there is no other way to see what a broker sends
    send = client.send

    async def sent(node_id: object, request: object, **options: object) -> object:
        response = await send(node_id, request, **options)
        if isinstance(request, FetchRequest):
            response.topics = [
                (topic, [(*told, readable(records)) for *told, records in partitions])
                for topic, partitions in response.topics
            ]
        return response

    client.send = sent
    return consumer


def readable(records: bytes) -> bytes:
    """A partition's records as a broker sends them, with names of headers that are UTF-8."""
    reader = MemoryRecords(records or b"")
    try:
        while reader.has_next():
            for _ in reader.next_batch():
                continue
    except UnicodeDecodeError:
        return b"".join(map(_renamed, _batches(records)))
    except KafkaError:
        # Whoever is to have them is told so.
        return records
    return records


def _batches(records: bytes) -> Iterator[bytes]:
    """One after the other; a broker may cut off the last."""
    at = 0
    while at < len(records):
        size = int.from_bytes(records[at + _SIZE_AT : at + _UNCOUNTED], "big")
        yield records[at : at + _UNCOUNTED + size]
        at += _UNCOUNTED + size


def _renamed(batch: bytes) -> bytes:
    """The batch, uncompressed, with names that can be read."""
    size = int.from_bytes(batch[_SIZE_AT:_UNCOUNTED], "big")
    if len(batch) < max(_HEADER.size, _UNCOUNTED + size) or batch[_MAGIC_AT] != _MAGIC:
        return batch
    first_offset, _, epoch, magic, _, attributes, *others, count = _HEADER.unpack_from(batch)
    codec = attributes & DefaultRecordBase.CODEC_MASK
    body = bytearray(_DECODERS[codec](batch[_HEADER.size :]) if codec else batch[_HEADER.size :])
    at = 0
    for _ in range(count):
        at = _rename(body, at)
    size = _HEADER.size - _UNCOUNTED + len(body)
    fields = (first_offset, size, epoch, magic, 0, attributes - codec, *others, count)
    renamed = bytearray(_HEADER.pack(*fields) + body)
    checksum = calc_crc32c(renamed[DefaultRecordBase.ATTRIBUTES_OFFSET :])
    struct.pack_into(">I", renamed, DefaultRecordBase.CRC_OFFSET, checksum)
    return bytes(renamed)


def _rename(body: bytearray, at: int) -> int:
    """Make the names of the record's headers readable; where the next record begins."""
    size, at = decode_varint(body, at)
    end: int = at + size
    for _ in range(_NUMBERS_BEFORE_KEY):
        _, at = decode_varint(body, at)
    for _ in ("key", "value"):
        at = _after(body, at)
    headers, at = decode_varint(body, at)
    for _ in range(headers):
        size, at = decode_varint(body, at)
        body[at : at + size] = _name(bytes(body[at : at + size]))
        at = _after(body, at + size)
    return end


def _after(body: bytearray, at: int) -> int:
    """Where the bytes that stand there, or nothing, end."""
    size, begin = decode_varint(body, at)
    return int(begin + max(size, 0))


def _name(said: bytes) -> bytes:
    """As long as it was."""
    try:
        said.decode()
    except UnicodeDecodeError:
        return said.decode("ascii", "replace").replace("\ufffd", "?").encode()
    return said
