"""`payments tail`: follow a topic, a readable line a message, from Kafka or from Redis Streams.

It reads without a group, so it changes nothing and takes nothing from anybody. Only messages from
now on are shown unless the beginning is asked for. `--json` prints CloudEvents in their JSON form.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Final
from uuid import UUID

import click
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from cli.shown import plain
from process.settings import read_settings
from telemetry import logging as telemetry_logging
from topics.contracts.envelope import Message
from topics.names import EVENTS, PUBLIC_TOPICS, TOPICS
from topics.subscribe import Foreign, Gap, subscribe_kafka, subscribe_redis

_CLOUDEVENTS: Final = "ce_"
# What tells most about a payload, in this order, wherever it stands in it.
_TELLING: Final = (
    "amount",
    "balance",
    "available",
    "currency",
    "status",
    "operation",
    "reason",
    "last_error_code",
)


@click.command("tail")
@click.argument("topic", type=click.Choice([topic.name for topic in TOPICS]), default=EVENTS.name)
@click.option("--redis", "from_redis", is_flag=True, help="Read the mirror on Redis Streams.")
@click.option("--payment", "payment_id", type=click.UUID, help="Only this payment's messages.")
@click.option("--from-beginning", is_flag=True, help="Begin with the oldest message there is.")
@click.option("--json", "as_json", is_flag=True, help="Print each message as a CloudEvent.")
def tail(
    *, topic: str, from_redis: bool, payment_id: UUID | None, from_beginning: bool, as_json: bool
) -> None:
    """Follow TOPIC (payments.events unless said) until Ctrl-C."""
    if from_redis and topic not in {public.name for public in PUBLIC_TOPICS}:
        raise click.ClickException(f"{topic} is not mirrored on Redis Streams: it is not public.")
    # One sentence says that a server is away; its driver would say so once a second.
    telemetry_logging.configure("critical", "cli")
    settings = read_settings()
    start: Final = "earliest" if from_beginning else "latest"
    messages = (
        subscribe_redis(
            settings.redis.address(), [topic], start=start, payment_id=payment_id, report=_tell
        )
        if from_redis
        else subscribe_kafka(
            settings.kafka.address(), [topic], start=start, payment_id=payment_id, report=_tell
        )
    )
    with suppress(KeyboardInterrupt):
        try:
            asyncio.run(_print(messages, as_json=as_json))
        except (KafkaError, RedisError, OSError) as error:
            raise click.ClickException(f"Cannot read {topic}: {error}") from error


async def _print(messages: AsyncGenerator[Message, None], *, as_json: bool) -> None:
    async with aclosing(messages):
        async for message in messages:
            click.echo(cloud_event(message) if as_json else line(message))


def _tell(report: Foreign | Gap) -> None:
    """Apart from the messages, so that what reads them is not disturbed."""
    match report:
        case Foreign(_, place, reason):
            click.echo(f"passed over {place}: {reason}", err=True)
        case Gap(_, place, lost):
            many = "an unknown number of" if lost is None else f"{lost:,}"
            click.echo(f"{many} messages before {place} are gone", err=True)


def line(message: Message) -> str:
    """A message in one line: when, what, of which key, and what tells most about it."""
    sequence = "" if message.sequence is None else f"#{message.sequence}"
    time = message.occurred_at.strftime("%H:%M:%S.%f")[:-3]
    telling = " ".join(f"{name}={value}" for name, value in _telling(_payload(message)).items())
    return plain(f"{time}  {message.type:<24} {message.key}  {sequence:<4} {telling}".rstrip())


def cloud_event(message: Message) -> str:
    """A message in CloudEvents' JSON format, with its payload as `data`."""
    attributes = {
        name.removeprefix(_CLOUDEVENTS): value.decode()
        for name, value in sorted(message.headers.items())
        if name.startswith(_CLOUDEVENTS)
    }
    traced = {"traceparent": message.traceparent, "tracestate": message.tracestate}
    attributes |= {name: said for name, said in traced.items() if said is not None}
    return json.dumps({**attributes, "topic": message.topic, "data": _payload(message)})


def _payload(message: Message) -> object:
    try:
        payload: object = json.loads(message.value)
    except ValueError:
        return message.value.decode(errors="replace")
    return payload


def _telling(payload: object) -> Mapping[str, object]:
    """The telling fields of a payload and of the objects in it; the innermost speaks last."""
    if not isinstance(payload, dict):
        return {}
    found = {name: payload[name] for name in _TELLING if payload.get(name) is not None}
    for value in payload.values():
        found |= _telling(value)
    return {name: found[name] for name in _TELLING if name in found}
