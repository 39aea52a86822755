"""Where a message of an id stands on Kafka, so that a subscription can go on behind it.

Ids are drawn before their transaction commits, and a topic is in the order of commits: what
commits later may have a smaller id. So a place is an offset, found by looking from a little before
the id's time on.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition

from topics.subscribe.selection import WAIT_MS

# Between the drawing of an id and the commit of what has it, and between clocks, lies less.
_ID_TIME_MARGIN_MS: Final = 60_000
_UUID7_TIME_SHIFT: Final = 80
_HEADER: Final = "ce_id"


@dataclass(frozen=True, slots=True)
class Places:
    """A consumer's partitions, by offsets."""

    consumer: AIOKafkaConsumer

    async def around(self, message_id: UUID) -> dict[TopicPartition, int]:
        """Of each partition the first offset of a time shortly before the id's; else its end."""
        partitions = list(self.consumer.assignment())
        since_ms = max(0, (message_id.int >> _UUID7_TIME_SHIFT) - _ID_TIME_MARGIN_MS)
        # The ends first: what is published meanwhile lies after them.
        ends = await self.consumer.end_offsets(partitions)
        found = await self.consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
        return {at: ends[at] if found[at] is None else found[at].offset for at in partitions}

    async def of(
        self, message_id: UUID, begins: dict[TopicPartition, int]
    ) -> tuple[TopicPartition, int] | None:
        """The partition and offset of the message; None if it stands nowhere up to the ends."""
        wanted = str(message_id).encode()
        ends = await self.consumer.end_offsets(list(begins))
        while any([await self.consumer.position(at) < ends[at] for at in begins]):
            for at, records in (await self.consumer.getmany(timeout_ms=WAIT_MS)).items():
                for record in records:
                    if (_HEADER, wanted) in record.headers:
                        return at, record.offset
        return None


async def go_behind(places: Places, message_id: UUID) -> bool:
    """Place the consumer behind the message; whether it was found.

    Where it was not, the consumer stands on every partition at what is a little older than it.
    """
    begins = await places.around(message_id)
    for at, offset in begins.items():
        places.consumer.seek(at, offset)
    found = await places.of(message_id, begins)
    if found is not None:
        at, offset = found
        begins[at] = offset + 1
    for at, offset in begins.items():
        places.consumer.seek(at, offset)
    return found is not None
