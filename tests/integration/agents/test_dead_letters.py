"""Letters of strangers on the topic: filed, whatever they say of whose they are."""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from agents.consumer.stage import Stage
from agents.dead_letters import DeadLetters
from payments.dead_letter import DeadLetter, DeadLetterReason
from tests.support.agents.deliveries import Topic, at_work, headers_of_work
from tests.support.factories import SOURCE
from tests.support.waiting import eventually
from topics.contracts.payloads import DeadLetterData, DeadLetterEventData

if TYPE_CHECKING:
    import asyncpg

    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics


def letter(stage: str = "charge") -> DeadLetter:
    """One that nobody here has heard of."""
    now = datetime.now(UTC)
    return DeadLetter(
        id=uuid.uuid4(),
        tenant_id="acme",
        stage=stage,
        reason=DeadLetterReason.HANDLER_ERROR,
        error="no",
        source=SOURCE,
        attempts=1,
        first_failed_at=now,
        last_failed_at=now,
    )


@pytest.mark.parametrize(
    ("said", "filed"),
    [("acme", "acme"), ("", "default"), ("a\0", "a\ufffd"), (secrets.token_hex(6_000), "default")],
    ids=["a tenant", "none", "nul", "too long"],
)
async def test_a_strangers_letter_is_filed(
    pool: asyncpg.Pool[asyncpg.Record],
    committer: GroupCommitter,
    metrics: Metrics,
    said: str,
    filed: str,
) -> None:
    """Itself, under a name that is one, and not a letter of ours about it."""
    stray, topic = letter(), Topic()
    data = DeadLetterEventData(dead_letter=DeadLetterData.of(stray))
    headers = headers_of_work("dead_letter.parked") | {"ce_tenantid": said.encode()}
    topic.deliver(data.model_dump_json().encode(), headers)
    async with at_work(Stage(DeadLetters(committer, metrics), committer, metrics), topic):
        await eventually(lambda: topic.acked == [0])
    (row,) = await pool.fetch("SELECT id, tenant_id FROM dead_letters")
    assert (row["id"], row["tenant_id"]) == (stray.id, filed)


async def test_strangers_stages_are_counted_as_one(
    committer: GroupCommitter, metrics: Metrics
) -> None:
    """Whatever they are called: a series for each would be memory for whoever makes up names."""
    topic = Topic()
    async with at_work(Stage(DeadLetters(committer, metrics), committer, metrics), topic):
        for stage in ("charge", "one", "two"):
            data = DeadLetterEventData(dead_letter=DeadLetterData.of(letter(stage)))
            topic.deliver(data.model_dump_json().encode(), headers_of_work("dead_letter.parked"))
        await eventually(lambda: len(topic.acked) == 3)
    counted = {
        sample.labels["stage"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "payments_stage_dead_letters_total" and sample.value
    }
    assert counted == {"charge": 1, "other": 2}
