"""The AsyncAPI document says what the topics, the contracts and the envelope say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from uuid import UUID

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no types

from cli.__main__ import main
from payments.events import PRIVATE, AccountEventType, EventType, WorkType
from providers.registry import NAMES
from topics.asyncapi import Json, document
from topics.contracts.catalogue import CHANNELS, Channel
from topics.contracts.envelope import OutboxRow, headers_of
from topics.names import TOPICS

each_channel = pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)

ID: Final = str(UUID(int=7)).encode()
ROW: Final = OutboxRow(
    id=ID,
    aggregatetype=b"",
    aggregateid=b"the key",
    type=b"",
    payload=b"{}",
    tenant_id=b"default",
    sequence=b"1",
    causationid=ID,
    traceparent=b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    tracestate=b"congo=t61rcWkgMzE",
    occurred_at=b"2026-01-01 00:00:00.5+00",
    recorded_at=b"2026-01-01 00:00:00.5+00",
)


def test_the_command_prints_the_document() -> None:
    """`payments asyncapi` is the document as JSON, and nothing else."""
    answer = CliRunner().invoke(main, ["asyncapi"])
    assert json.loads(answer.stdout) == document(NAMES)


def test_every_reference_leads_somewhere() -> None:
    """A reader's tool can follow them all."""
    whole = document(NAMES)
    references = list(references_in(whole))
    assert references
    for reference in references:
        assert isinstance(at(whole, *reference.removeprefix("#/").split("/")), Mapping)


def test_every_topic_is_described_with_its_figures() -> None:
    """Each declared topic once: its partitions, its retention, and where it can be read."""
    described = mapping(document(NAMES)["channels"])
    assert list(described) == [topic.name for topic in TOPICS]
    for topic in TOPICS:
        channel = mapping(described[topic.name])
        kafka = mapping(at(channel, "bindings", "kafka"))
        assert kafka["partitions"] == topic.partitions
        seconds = topic.retention.total_seconds()
        assert kafka["topicConfiguration"] == {"retention.ms": seconds * 1000}
        on_redis = {"$ref": "#/servers/redis"} in sequence(channel["servers"])
        assert on_redis == topic.public


def test_every_type_of_message_is_in_the_catalogue() -> None:
    """A new event that nobody described fails here, and so does a private one that somebody did."""
    described = {name for channel in CHANNELS for name in channel.types}
    assert described == {
        *(each.value for each in EventType if each not in PRIVATE),
        *(each.value for each in AccountEventType),
        *(each.value for each in WorkType),
        *("dead_letter.parked", "dead_letter.redriven", "dead_letter.discarded"),
    }
    assert described == set(mapping(at(document(NAMES), "components", "messages")))


@each_channel
def test_the_described_headers_are_the_envelopes(channel: Channel) -> None:
    """All of them, none else, and the required ones are those that are never absent."""
    schema = at(document(NAMES), "components", "schemas", f"{channel.name}.headers")
    full, least = headers_with(channel, everything=True), headers_with(channel, everything=False)
    assert full.keys() == mapping(mapping(schema)["properties"]).keys()
    assert least.keys() == set(sequence(mapping(schema)["required"]))
    for headers in (full, least):
        Draft202012Validator(schema).validate(headers)


def headers_with(channel: Channel, *, everything: bool) -> dict[str, str]:
    """A message's headers, with or without those that may be absent."""
    row = ROW._replace(aggregatetype=channel.name.encode(), type=next(iter(channel.types)).encode())
    if "ce_sequence" not in channel.headers:
        row = row._replace(sequence=None)
    if not everything or "ce_causationid" not in channel.headers:
        row = row._replace(causationid=None)
    if not everything:
        row = row._replace(traceparent=None, tracestate=None)
    lsn = b"16/B374D848" if everything else None
    return {name: value.decode() for name, value in headers_of(row, lsn)}


def references_in(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        return
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name == "$ref":
                assert isinstance(inner, str)
                yield inner
            else:
                yield from references_in(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from references_in(inner)


def at(value: Json, *path: str) -> Json:
    for name in path:
        value = mapping(value)[name]
    return value


def mapping(value: Json) -> Mapping[str, Json]:
    assert isinstance(value, Mapping)
    return value


def sequence(value: Json) -> Sequence[Json]:
    assert isinstance(value, Sequence)
    return value
