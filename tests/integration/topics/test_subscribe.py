"""What a downstream consumer gets from `topics.subscribe`, from Kafka and from Redis alike."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, cast
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaProducer

from tests.support.topics.destinations import KafkaDestination, RedisDestination
from tests.support.waiting import eventually, in_time
from topics.contracts.channels import EVENTS
from topics.subscribe import Foreign, Gap, Report, Start, subscribe_kafka, subscribe_redis
from topics.subscribe.reports import log_report

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import redis.asyncio
    from redis.typing import EncodableT, FieldT

    from tests.support.topics.destinations import Destination
    from tests.support.topics.outbox import Outbox
    from tests.support.topics.relays import Relays
    from topics.contracts.envelope import Message

    Fields = dict[FieldT, EncodableT]

PATIENCE_SECONDS = 20.0


def subscribe(
    destination: Destination,
    *,
    group: str | None = None,
    start: Start = "earliest",
    payment_id: UUID | None = None,
    report: Report = log_report,
) -> AsyncGenerator[Message, None]:
    """The subscription that belongs to a destination."""
    match destination:
        case KafkaDestination(bootstrap=bootstrap):
            return subscribe_kafka(
                bootstrap, [EVENTS], group=group, start=start, payment_id=payment_id, report=report
            )
        case RedisDestination(address=address):
            return subscribe_redis(
                address.url,
                [EVENTS],
                group=group,
                start=start,
                payment_id=payment_id,
                report=report,
            )
        case _:
            raise TypeError(destination)


async def take(messages: AsyncGenerator[Message, None], count: int) -> list[Message]:
    """So many messages, the last of them not finished."""
    taken: list[Message] = []
    async with in_time(PATIENCE_SECONDS), aclosing(messages):
        async for message in messages:
            taken.append(message)
            if len(taken) == count:
                return taken
    raise AssertionError("the subscription ended")


async def _published(relays: Relays, count: int) -> None:
    async def has_all() -> bool:
        return await relays.destination.count() >= count

    await eventually(has_all)


async def test_every_message_in_order_per_payment(relays: Relays, outbox: Outbox) -> None:
    """A subscription without a group gives everything from the beginning."""
    keys = [uuid4() for _ in range(5)]
    async with relays.running():
        await outbox.write(keys, rows_per_key=4)
        messages = await take(subscribe(relays.destination), 20)
    for key in keys:
        assert [m.sequence for m in messages if m.key == str(key)] == [1, 2, 3, 4]


async def test_one_payment_alone(relays: Relays, outbox: Outbox) -> None:
    """`payment_id` leaves out every other payment's messages."""
    keys = [uuid4() for _ in range(5)]
    async with relays.running():
        await outbox.write(keys, rows_per_key=2)
        messages = await take(subscribe(relays.destination, payment_id=keys[3]), 2)
    assert {message.key for message in messages} == {str(keys[3])}


async def test_from_an_id_on(relays: Relays, outbox: Outbox) -> None:
    """A subscription can go on after the last message somebody has seen."""
    async with relays.running():
        ids = await outbox.write([uuid4()], rows_per_key=10)
        await _published(relays, 10)
        messages = await take(subscribe(relays.destination, start=ids[5]), 4)
    assert [message.id for message in messages] == ids[6:]


async def test_from_now_on(relays: Relays, outbox: Outbox) -> None:
    """`latest` gives only what is published after the subscription began."""
    key = uuid4()
    async with relays.running():
        old = await outbox.write([key], rows_per_key=3)
        await _published(relays, 3)
        async with asyncio.TaskGroup() as tasks:
            taking = tasks.create_task(take(subscribe(relays.destination, start="latest"), 1))

            async def has_new() -> bool:
                await outbox.write([key])
                return taking.done()

            await eventually(has_new)
    assert taking.result()[0].id not in old


async def test_a_group_goes_on_after_what_it_finished(relays: Relays, outbox: Outbox) -> None:
    """What the body finished is not given again; what it left is."""
    async with relays.running():
        ids = await outbox.write([uuid4()], rows_per_key=10)
        first = await take(subscribe(relays.destination, group="mail"), 4)
        again = await take(subscribe(relays.destination, group="mail"), 7)
    assert [message.id for message in first] == ids[:4]
    # The fourth was given, but its body did not come to its end.
    assert [message.id for message in again] == ids[3:]


async def test_groups_do_not_see_each_other(relays: Relays, outbox: Outbox) -> None:
    """Every group gets every message."""
    async with relays.running():
        ids = await outbox.write([uuid4()], rows_per_key=3)
        for group in ("mail", "ledger"):
            messages = await take(subscribe(relays.destination, group=group), 3)
            assert [message.id for message in messages] == ids


async def test_a_group_cannot_start_from_an_id(destination: Destination) -> None:
    """It would contradict what the group has stored."""
    with pytest.raises(ValueError, match="group"):
        await take(subscribe(destination, group="mail", start=uuid4()), 1)


async def test_a_repeated_message_is_given_once(relays: Relays, outbox: Outbox) -> None:
    """A message that stands twice on a topic is the same message: its id says so."""
    async with relays.running():
        ids = await outbox.write([uuid4()], rows_per_key=2)
        await _published(relays, 2)
        await _repeat(relays.destination, (await relays.destination.messages())[0])
        ids += await outbox.write([uuid4()])
        messages = await take(subscribe(relays.destination), 3)
    assert sorted(message.id for message in messages) == sorted(ids)


async def _repeat(destination: Destination, message: Message) -> None:
    """Publish a message again, as a producer does that lost an acknowledgement."""
    if isinstance(destination, RedisDestination):
        async with destination.client() as client:
            ((_, fields),) = cast(
                "list[tuple[bytes, Fields]]", await client.xrange(EVENTS, count=1)
            )
            await client.xadd(EVENTS, fields)
        return
    assert isinstance(destination, KafkaDestination)
    async with AIOKafkaProducer(bootstrap_servers=destination.bootstrap) as producer:
        await producer.send_and_wait(
            EVENTS,
            message.value,
            key=message.key.encode(),
            headers=list(message.headers.items()),
        )


@pytest.mark.parametrize("group", [None, "mail"])
async def test_a_message_of_somebody_else_is_reported_and_passed_over(
    relays: Relays, outbox: Outbox, group: str | None
) -> None:
    """A consumer is told what is wrong with it, and is given all that comes after."""
    told: list[Foreign | Gap] = []
    key = uuid4()
    async with relays.running():
        first = await outbox.write([key])
        await _published(relays, 1)
        await _scribble(relays.destination, str(key))
        ids = first + await outbox.write([key])
        messages = await take(subscribe(relays.destination, group=group, report=told.append), 2)
    assert [message.id for message in messages] == ids
    (foreign,) = told
    assert isinstance(foreign, Foreign)
    assert foreign.topic == EVENTS
    assert "ce_specversion" in foreign.reason or "without a key" in foreign.reason


async def _scribble(destination: Destination, key: str) -> None:
    """Put something on the topic that is no message."""
    if isinstance(destination, RedisDestination):
        async with destination.client() as client:
            await client.xadd(EVENTS, {"hello": "world"})
        return
    assert isinstance(destination, KafkaDestination)
    async with AIOKafkaProducer(bootstrap_servers=destination.bootstrap) as producer:
        await producer.send_and_wait(EVENTS, b"hello", key=key.encode())


async def test_a_redis_group_survives_the_loss_of_its_streams(
    redis_client: redis.asyncio.Redis, redis_streams: RedisDestination
) -> None:
    """It waits for streams that are not there, and makes itself anew where it was lost."""
    async with asyncio.TaskGroup() as tasks:
        taking = tasks.create_task(take(subscribe(redis_streams, group="mail"), 2))
        await _append(redis_client)
        await eventually(lambda: _group_has_read(redis_client))
        await redis_client.flushall()
        await _append(redis_client)
    assert len({message.id for message in taking.result()}) == 2


async def _group_has_read(client: redis.asyncio.Redis) -> bool:
    groups = await client.xinfo_groups(EVENTS)
    return bool(groups and groups[0]["entries-read"])


async def _append(client: redis.asyncio.Redis) -> None:
    event_id = str(uuid4())
    await client.xadd(
        EVENTS,
        {
            "ce_id": event_id,
            "ce_type": "payment.created",
            "ce_specversion": "1.0",
            "ce_time": "2024-06-07T12:00:00Z",
            "ce_tenantid": "default",
            "key": event_id,
            "value": "{}",
        },
    )
