"""What a member does with the message in its hands when partitions are taken away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from topics.subscribe import kafka

if TYPE_CHECKING:
    from collections.abc import Mapping

AT = TopicPartition("payments.events", 0)
RECORD = ConsumerRecord("payments.events", 0, 7, 0, 0, None, None, None, 0, 0, ())


class Commits:
    """The commits of a consumer, which does nothing else here."""

    def __init__(self) -> None:
        self.made: list[Mapping[TopicPartition, int]] = []

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.made.append(offsets)


async def asked(offsets: kafka.GroupOffsets) -> asyncio.Future[None]:
    """The group has asked for its partitions, and everybody had their turn."""
    asking = asyncio.ensure_future(offsets.on_partitions_revoked([AT]))
    for _ in range(10):
        await asyncio.sleep(0)
    return asking


async def test_the_body_that_runs_is_waited_for_and_committed() -> None:
    """So that nobody else is given its message."""
    commits = Commits()
    offsets = kafka.GroupOffsets(commits, "mail")
    with offsets.body(AT, RECORD):
        asking = await asked(offsets)
        assert not asking.done()
    await asking
    assert commits.made == [{AT: 8}]


async def test_a_body_that_outlasts_the_wait_commits_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its message is another's by then, who may have got further."""
    monkeypatch.setattr(kafka, "_HANDOVER_SECONDS_MAX", 0.0)
    commits = Commits()
    offsets = kafka.GroupOffsets(commits, "mail")
    with offsets.body(AT, RECORD):
        await (await asked(offsets))
    await offsets.commit()
    assert commits.made == []
