"""Messages as others' clients may send them: with a header whose name is no text."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.codec import gzip_encode
from aiokafka.errors import NoError, for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBase, DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# As long as it and no text; what stands for it until a batch is made of it.
NAME: Final = b"n\xff\xfem"
_STANDS_FOR_IT: Final = "n~~m"
READABLE: Final = "n??m"
_GZIP: Final = 1
_ALL_OF_THEM: Final = -1
_WITHIN_MS: Final = 5_000


def batch_of(
    key: bytes, value: bytes, headers: Sequence[Mapping[str, bytes]], *, is_compressed: bool = False
) -> bytes:
    """A batch as a client sends it, a record for each of `headers`, which each have NAME beside."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for offset, each in enumerate(headers):
        named = [*each.items(), (_STANDS_FOR_IT, b"odd")]
        builder.append(offset, 1_000 + offset, key, value, named)
    made = bytes(builder.build())
    header = made[: DefaultRecordBase.HEADER_STRUCT.size]
    body = made[len(header) :].replace(_STANDS_FOR_IT.encode(), NAME)
    fields = list(DefaultRecordBase.HEADER_STRUCT.unpack(header))
    if is_compressed:
        body, fields[5] = gzip_encode(body), _GZIP
    fields[1] = len(header) - DefaultRecordBase.AFTER_LEN_OFFSET + len(body)
    batch = bytearray(DefaultRecordBase.HEADER_STRUCT.pack(*fields) + body)
    checksum = calc_crc32c(batch[DefaultRecordBase.ATTRIBUTES_OFFSET :])
    struct.pack_into(">I", batch, DefaultRecordBase.CRC_OFFSET, checksum)
    return bytes(batch)


async def append(bootstrap_servers: str, topic: str, batch: bytes) -> None:
    """Return once the broker has it, in the topic's first partition."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers)
    await client.bootstrap()

    async def is_taken() -> bool:
        await client.force_metadata_update()
        leader = client.cluster.leader_for_partition(TopicPartition(topic, 0))
        asked = ProduceRequest(None, _ALL_OF_THEM, _WITHIN_MS, [(topic, [(0, batch)])])
        ((_, ((_, code, *_),)),) = (await client.send(leader, asked)).topics
        assert for_code(code) is NoError, for_code(code)
        return True

    try:
        await client.set_topics([topic])
        await eventually(is_taken)
    finally:
        await client.close()
