"""The AsyncAPI 3 document of the topics, made from their declarations and contracts.

Nothing in it is written twice: channels, keys, partitions and retention are those of
`topics.names`, types and payloads those of `topics.contracts`. Only the envelope's headers are
described here, and a test holds them against the envelope.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from topics.contracts.catalogue import CHANNELS, PAYLOADS, Channel
from topics.contracts.provider_names import with_providers
from topics.contracts.schema_files import identity
from topics.names import TOPICS, Topic

# What JSON is made of.
Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None

VERSION: Final = "1.0.0"
_SCHEMAS: Final = "#/components/schemas/{model}"
_SCHEMA_FORMAT: Final = "application/schema+json;version=draft-2020-12"
# AsyncAPI's Kafka bindings, https://github.com/asyncapi/bindings/tree/master/kafka
_KAFKA_BINDING: Final = "0.5.0"
_DESCRIPTION: Final = """\
What the platform says on its topics: on Kafka, and the public topics also on Redis Streams.

The envelope is CloudEvents 1.0 in Kafka's binary mode; a Redis entry has the same headers as
fields, beside `key` and `value`. Delivery is at least once: `ce_id` is the same for the same
message, so remember those you have handled. Order holds per key.

Within a version of a payload, fields and values of an enumeration may be added: ignore fields
you do not know, and expect values you do not know. Anything else is a new version with a
schema of its own, named by the header `ce_dataschema`; a message without one is of version 1.
"""

_UUID: Final = {"type": "string", "format": "uuid"}
# Every header of a message, on every channel.
_ENVELOPE: Final[Mapping[str, Mapping[str, Json]]] = {
    "ce_specversion": {"const": "1.0", "description": "The version of CloudEvents."},
    "ce_id": {**_UUID, "description": "The message's id, time-ordered but for dead letters."},
    "ce_source": {"const": "/payments"},
    "ce_type": {"type": "string", "description": "What the message says; the message's name."},
    "ce_time": {
        "type": "string",
        "format": "date-time",
        "description": "When it happened, RFC 3339 in UTC.",
    },
    "ce_subject": {"type": "string", "description": "What it is about: the message's key."},
    "ce_partitionkey": {"type": "string", "description": "The message's key."},
    "ce_tenantid": {"type": "string", "description": "The tenant it belongs to."},
    "content-type": {"const": "application/json"},
    "id": {**_UUID, "description": "As ce_id, under the name that Debezium gives it."},
}
# Headers a message may have.
_OPTIONAL: Final[Mapping[str, Mapping[str, Json]]] = {
    "traceparent": {
        "type": "string",
        "description": "The trace it was said in (W3C Trace Context).",
    },
    "tracestate": {
        "type": "string",
        "description": "What tracing systems keep of that trace (W3C Trace Context).",
    },
    "lsn": {
        "type": "string",
        "pattern": "^[0-9A-F]+/[0-9A-F]+$",
        "description": "The position of its commit in the WAL; absent where it was replayed.",
    },
}
# Headers of some channels' messages: the channel says which.
_SPECIAL: Final[Mapping[str, Mapping[str, Json]]] = {
    "ce_sequence": {
        "type": "string",
        "pattern": "^[0-9]*[1-9][0-9]*$",
        "description": "Counts the payment's messages 1, 2, 3 ... without a gap, with zeros in "
        "front up to ten digits; older messages, and Debezium's, have none.",
    },
    "ce_sequencetype": {
        "const": "Integer",
        "description": "How ce_sequence is to be read; absent where that has no zeros in front.",
    },
    "ce_causationid": {**_UUID, "description": "The event that asked for the work, if one did."},
}
# Work that is due by the clock was caused by no event; every event has its number.
_ALWAYS: Final = frozenset({"ce_sequence", "ce_sequencetype"})


def document(providers: Sequence[str]) -> dict[str, Json]:
    """The whole document, where there are these providers."""
    topics = {topic.name: topic for topic in TOPICS}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Payments", "version": VERSION, "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {each.name: _channel(each, topics[each.name]) for each in CHANNELS},
        "operations": {
            name: operation
            for each in CHANNELS
            for name, operation in _operations(each, topics[each.name]).items()
        },
        "components": {
            "messages": {
                name: message
                for each in CHANNELS
                for name, message in _messages(each, topics[each.name]).items()
            },
            "schemas": {
                **{f"{each.name}.headers": _headers(each) for each in CHANNELS},
                **with_providers(_payload_schemas(), providers),
            },
        },
    }


def _servers() -> Json:
    return {
        "kafka": {
            "host": "{bootstrap}",
            "protocol": "kafka",
            "description": "All topics.",
            "variables": {"bootstrap": {"default": "localhost:9092"}},
        },
        "redis": {
            "host": "{address}",
            "protocol": "redis",
            "description": "The public topics, as streams of the same names.",
            "variables": {"address": {"default": "localhost:6379"}},
        },
    }


def _channel(channel: Channel, topic: Topic) -> Json:
    servers = ["kafka", "redis"] if topic.public else ["kafka"]
    return {
        "address": topic.name,
        "summary": channel.summary,
        "servers": [{"$ref": f"#/servers/{name}"} for name in servers],
        "tags": [{"name": "public" if topic.public else "internal"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in channel.types},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {"retention.ms": topic.retention // _MILLISECOND},
                "bindingVersion": _KAFKA_BINDING,
            }
        },
    }


def _operations(channel: Channel, topic: Topic) -> dict[str, Json]:
    """The platform sends everything; what is not public it also receives."""
    at = {"$ref": f"#/channels/{channel.name}"}
    sent: dict[str, Json] = {f"send.{channel.name}": {"action": "send", "channel": at}}
    if topic.public:
        return sent
    return {**sent, f"receive.{channel.name}": {"action": "receive", "channel": at}}


def _messages(channel: Channel, topic: Topic) -> dict[str, Json]:
    payload = channel.payload
    return {
        name: {
            "name": name,
            "summary": summary,
            "contentType": "application/json",
            "headers": {"$ref": _SCHEMAS.format(model=f"{channel.name}.headers")},
            "payload": {
                "schemaFormat": _SCHEMA_FORMAT,
                "schema": {"$ref": _SCHEMAS.format(model=payload.model.__name__)},
            },
            "bindings": {
                "kafka": {
                    "key": {"type": "string", "description": f"The {topic.key}."},
                    "bindingVersion": _KAFKA_BINDING,
                }
            },
            "x-dataschema": identity(payload),
        }
        for name, summary in channel.types.items()
    }


def _headers(channel: Channel) -> Json:
    special = {name: _SPECIAL[name] for name in channel.headers}
    types: Json = {**_ENVELOPE["ce_type"], "enum": list(channel.types)}
    return {
        "type": "object",
        "properties": {**_ENVELOPE, "ce_type": types, **special, **_OPTIONAL},
        "required": [*_ENVELOPE, *(name for name in special if name in _ALWAYS)],
    }


def _payload_schemas() -> Mapping[str, Json]:
    # As the files in `schemas/`: made for reading, since that is what this document is for.
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (each.model, "validation") for each in PAYLOADS
    ]
    _, whole = models_json_schema(models, ref_template=_SCHEMAS)
    definitions: Mapping[str, Json] = whole["$defs"]
    return definitions


_MILLISECOND: Final = timedelta(milliseconds=1)
