"""Which partition a key belongs to: murmur2, as Kafka's own clients place keys.

Whoever else produces to our topics, and whoever looks for a key in them, computes the same.
Source: `org.apache.kafka.common.utils.Utils.murmur2`; a test compares it with aiokafka's.
"""

import struct
from functools import lru_cache
from typing import Final

_SEED: Final = 0x9747B28C
_MULTIPLIER: Final = 0x5BD1E995
_SHIFT: Final = 24
_MASK: Final = 0xFFFFFFFF
_POSITIVE: Final = 0x7FFFFFFF
_WORD_BYTES: Final = 4


# A payment's events follow each other closely: three of four keys are found here.
@lru_cache(maxsize=16_384)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key in a topic with so many partitions."""
    return (_murmur2(key) & _POSITIVE) % partitions


def _murmur2(key: bytes) -> int:
    words, rest = divmod(len(key), _WORD_BYTES)
    digest = (_SEED ^ len(key)) & _MASK
    for word in struct.unpack_from(f"<{words}I", key):
        mixed = word * _MULTIPLIER & _MASK
        mixed = (mixed ^ mixed >> _SHIFT) * _MULTIPLIER & _MASK
        digest = digest * _MULTIPLIER & _MASK ^ mixed
    if rest:
        digest ^= int.from_bytes(key[-rest:], "little")
        digest = digest * _MULTIPLIER & _MASK
    digest = (digest ^ digest >> 13) * _MULTIPLIER & _MASK
    return digest ^ digest >> 15
