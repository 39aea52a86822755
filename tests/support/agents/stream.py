"""The charge stage's topic and consumer group, as a producer, a reader and an operator see them."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.structs import TopicPartition

from lag.kafka_groups import ConsumerGroups, Stages
from process.addresses import KafkaAddress
from tests.support.waiting import eventually
from topics.header_names import reading_any_name
from topics.names import CHARGES, by_command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from topics.names import WorkStage

GROUP: Final = by_command()["charge"].group


@dataclass(frozen=True, slots=True)
class Record:
    """A message's bytes; `headers` are None where nobody put any."""

    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]


async def unread(bootstrap_servers: str, stage: WorkStage) -> int:
    """Messages that a stage has not acknowledged to the broker."""
    assert stage.topic is not None, "a stage on a topic"
    groups = ConsumerGroups(
        KafkaAddress(bootstrap_servers), Stages({stage.group: stage.topic.name})
    )
    try:
        (measured,) = await groups.measure(time.time())
    finally:
        await groups.close()
    assert measured.messages is not None, "the broker did not say"
    return measured.messages


class _AsFaust(RoundRobinPartitionAssignor):  # type: ignore[misc]  # aiokafka has no types
    """All for the only member: but the group takes nobody who divides by another name."""

    name = "faust"


@dataclass(frozen=True, slots=True)
class Charges:
    """The topic on the broker at `bootstrap_servers`."""

    bootstrap_servers: str

    async def append(self, records: Sequence[Record]) -> None:
        """Return once the broker has them all."""
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap_servers) as producer:
            for record in records:
                await producer.send_and_wait(
                    CHARGES.name, record.value, record.key, headers=list(record.headers.items())
                )

    async def all(self) -> list[Record]:
        """Everything on the topic that its consumers are given."""
        partitions = self._partitions()
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap_servers,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        async with reading_any_name(consumer) as reader:
            reader.assign(partitions)
            await reader.seek_to_beginning(*partitions)
            ends = await reader.end_offsets(partitions)
            found = []
            while any([await reader.position(each) < ends[each] for each in partitions]):
                for batch in (await reader.getmany(timeout_ms=500)).values():
                    found += [Record(each.key, each.value, dict(each.headers)) for each in batch]
        return found

    async def unread(self) -> int:
        """Messages that the stage has not acknowledged to the broker."""
        return await unread(self.bootstrap_servers, by_command()["charge"])

    async def is_read(self) -> bool:
        unread = await self.unread()
        assert unread == 0, f"{unread} messages are unread"
        return True

    async def rewind(self, member: str) -> None:
        """Put the group back to the start of the topic, in the place of its dead `member`."""
        async with self._operator(member) as operator:
            await operator.commit(await operator.beginning_offsets(operator.assignment()))
        assert await self.unread() > 0

    @asynccontextmanager
    async def rewinding(self, member: str) -> AsyncIterator[None]:
        """As `rewind`, and whoever did it has the partitions while the context is open."""
        async with self._operator(member) as operator:
            ends = {at: await operator.committed(at) for at in operator.assignment()}
            await operator.commit(await operator.beginning_offsets(operator.assignment()))
            yield
            await operator.commit({at: end for at, end in ends.items() if end is not None})

    @asynccontextmanager
    async def _operator(self, member: str) -> AsyncIterator[AIOKafkaConsumer]:
        """A member that reads nothing, and has all partitions."""
        async with AIOKafkaConsumer(
            CHARGES.name,
            bootstrap_servers=self.bootstrap_servers,
            group_id=GROUP,
            group_instance_id=f"charge-{member}",
            enable_auto_commit=False,
            partition_assignment_strategy=(_AsFaust,),
        ) as operator:
            await eventually(lambda: len(operator.assignment()) == CHARGES.partitions)
            yield operator

    def _partitions(self) -> list[TopicPartition]:
        return [TopicPartition(CHARGES.name, number) for number in range(CHARGES.partitions)]
