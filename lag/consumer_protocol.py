"""ConsumerGroupDescribe, by which a broker tells of groups of Kafka's newer protocol (KIP-848).

DescribeGroups calls such a group dead, and aiokafka does not know the newer request, but has all
that one is made of. Version 0, as of Kafka 3.7 and newer. Source: Kafka's
ConsumerGroupDescribeRequest.json and ConsumerGroupDescribeResponse.json.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

if TYPE_CHECKING:
    from io import BytesIO

_KEY: Final = 69
_UUID_BYTES: Final = 16


class _Uuid(AbstractType):  # type: ignore[misc]  # aiokafka is untyped
    """A topic's id, as it is."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(_UUID_BYTES)


_ASSIGNMENT: Final = Schema(
    (
        "topic_partitions",
        CompactArray(
            ("topic_id", _Uuid),
            ("topic_name", CompactString()),
            ("partitions", CompactArray(Int32)),
            ("tags", TaggedFields),
        ),
    ),
    ("tags", TaggedFields),
)


class ConsumerGroupDescribeResponse_v0(Response):  # type: ignore[misc] # noqa: N801 - as aiokafka's
    """Groups with their members, and what each member has."""

    API_KEY = _KEY
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            CompactArray(
                ("error_code", Int16),
                ("error_message", CompactString()),
                ("group_id", CompactString()),
                ("group_state", CompactString()),
                ("group_epoch", Int32),
                ("assignment_epoch", Int32),
                ("assignor_name", CompactString()),
                (
                    "members",
                    CompactArray(
                        ("member_id", CompactString()),
                        ("instance_id", CompactString()),
                        ("rack_id", CompactString()),
                        ("member_epoch", Int32),
                        ("client_id", CompactString()),
                        ("client_host", CompactString()),
                        ("subscribed_topic_names", CompactArray(CompactString())),
                        ("subscribed_topic_regex", CompactString()),
                        ("assignment", _ASSIGNMENT),
                        ("target_assignment", _ASSIGNMENT),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class ConsumerGroupDescribeRequest_v0(RequestStruct):  # type: ignore[misc] # noqa: N801 - likewise
    """Of groups by their names."""

    API_KEY = _KEY
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = ConsumerGroupDescribeResponse_v0
    SCHEMA = Schema(
        ("group_ids", CompactArray(CompactString())),
        ("include_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class ConsumerGroupDescribeRequest(Request[ConsumerGroupDescribeRequest_v0]):  # type: ignore[misc]
    """One group; raises aiokafka's IncompatibleBrokerVersion where a broker knows no such."""

    API_KEY = _KEY

    def __init__(self, group: str) -> None:
        self._group = group

    def build(
        self, request_struct_class: type[ConsumerGroupDescribeRequest_v0]
    ) -> ConsumerGroupDescribeRequest_v0:
        return request_struct_class([self._group], False, {})  # noqa: FBT003 - as in the schema
