"""Topics that hold what the outbox holds are sound; each way in which they do not is found."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from store.housekeeping import keep_house
from store.pool import long_reading
from tests.support.verify.tape import Tape, outbox_rows, published, read_back
from tests.support.verify.world import POISON, World, live
from topics.contracts.envelope import headers_of
from topics.names import EVENTS, TOPICS
from verify.database import read_baseline
from verify.messages import compare

if TYPE_CHECKING:
    import asyncpg

    from process.addresses import DatabaseAddress
    from store.write.group_commit import GroupCommitter
    from topics.contracts.envelope import OutboxRow
    from verify.topics import Published

NAMES = [topic.name for topic in TOPICS]


class Stage:
    """A sound database with what a relay made of it, to be tampered with."""

    def __init__(self, world: World, database: DatabaseAddress, rows: list[OutboxRow]) -> None:
        self.world = world
        self.rows = rows
        self.messages = [published(row) for row in rows]
        # What the world's letter is about.
        self.messages.append(read_back("payments.charges", b"key", POISON, []))
        self._database = database

    def place_of(self, kind: str) -> int:
        """Where the first message of a type is."""
        return next(place for place, row in enumerate(self.rows) if row.type.decode() == kind)

    async def violated(self, *, behind: str | None = None) -> dict[str, list[str]]:
        async with long_reading(self._database, application_name="payments-verify") as connection:
            snapshot = await read_baseline(connection, outbox_retention_s=86_400)
            comparison, coverage = await compare(Tape(self.messages), NAMES, snapshot)
            results = await comparison.results(connection, coverage, behind=behind)
        assert all(each.checked == len(self.messages) for each in results)
        return {
            each.invariant: [f"{one.subject} {one.problem}" for one in each.violations]
            for each in results
            if each.violations
        }


@pytest.fixture
async def stage(
    committer: GroupCommitter, database: DatabaseAddress, pool: asyncpg.Pool[asyncpg.Record]
) -> Stage:
    world = await live(committer)
    return Stage(world, database, await outbox_rows(pool))


async def test_what_was_published_once_or_twice_is_sound(stage: Stage) -> None:
    """Delivery is at least once: the same bytes under the same id may come again."""
    assert await stage.violated() == {}
    stage.messages += stage.messages[:-1]
    assert await stage.violated() == {}


async def test_a_message_that_is_missing_is_found(stage: Stage) -> None:
    """By its id, and by the gap it leaves in the sequence."""
    del stage.messages[stage.place_of("payment.completed")]
    found = await stage.violated()
    assert found.keys() == {"I7", "I8"}
    assert "is not on payments.events" in found["I7"][0]


async def test_a_relay_that_is_behind_is_no_loss_yet(stage: Stage) -> None:
    """What is missing is not held against the topic while its relay says so."""
    stage.messages = [stage.messages[-1]]
    assert await stage.violated(behind="has 7 bytes to confirm") == {}


async def test_other_bytes_under_a_known_id_are_found(stage: Stage) -> None:
    """A duplicate must be one bit for bit."""
    place = stage.place_of("payment.completed")
    changed = replace(stage.messages[place], value=stage.messages[place].value + b" ")
    stage.messages.insert(place + 1, changed)
    assert (await stage.violated()).keys() == {"I7"}


async def test_messages_out_of_order_are_found(stage: Stage) -> None:
    """A payment's completion before its creation is no order at all."""
    first, second = stage.place_of("payment.created"), stage.place_of("payment.completed")
    stage.messages[first], stage.messages[second] = stage.messages[second], stage.messages[first]
    assert (await stage.violated()).keys() == {"I8"}


async def test_an_event_nobody_recorded_is_found(stage: Stage) -> None:
    """A message on a public topic that is in no outbox row was made up."""
    row = stage.rows[stage.place_of("payment.completed")]
    forged = row._replace(id=str(uuid4()).encode())
    stage.messages.append(published(forged))
    assert (await stage.violated()).keys() == {"I7"}


async def test_bytes_without_an_envelope_on_a_public_topic_are_found(stage: Stage) -> None:
    """Nobody but the relay writes there."""
    stage.messages.append(read_back("payments.events", b"k", b"{}", []))
    assert (await stage.violated()).keys() == {"I7"}


async def test_what_came_after_the_snapshot_is_tolerated(
    stage: Stage, pool: asyncpg.Pool[asyncpg.Record], database: DatabaseAddress
) -> None:
    """A system at work goes on while it is verified."""
    async with long_reading(database, application_name="payments-verify") as connection:
        snapshot = await read_baseline(connection, outbox_retention_s=86_400)
        await stage.world.account()
        stage.messages = [*map(published, await outbox_rows(pool)), stage.messages[-1]]
        comparison, coverage = await compare(Tape(stage.messages), NAMES, snapshot)
        results = await comparison.results(connection, coverage, behind=None)
    assert all(each.holds for each in results)


async def test_topics_may_outlive_an_outbox_that_has_nothing_left(
    stage: Stage, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Nobody has paid for nine days: what is older than the outbox keeps has nobody to vouch."""
    now, quiet = datetime.now(UTC), timedelta(days=9)
    long_ago = f"{now - quiet:%Y-%m-%d %H:%M:%S}+00".encode()
    stage.messages = [
        published(row._replace(occurred_at=long_ago, recorded_at=long_ago))
        for row in stage.rows
        if row.aggregatetype == EVENTS.name.encode()
    ]
    await keep_house(pool, now + quiet, 86_400)
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 0
    assert await stage.violated() == {}
    stage.messages.append(published(stage.rows[stage.place_of("payment.completed")]))
    assert (await stage.violated()).keys() == {"I7"}


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"\x00", []),
        (b"{}", None),
        (b'{"payment_id": "00000000-0000-0000-0000-000000000000", "attempt": 1}', None),
    ],
)
async def test_a_foreign_message_no_stage_can_process_must_be_a_letter(
    stage: Stage, value: bytes, headers: list[tuple[str, bytes]] | None
) -> None:
    """Undecodable, of another shape, or about nothing: as many letters as messages."""
    poison = (
        _foreign(stage, value)
        if headers is None
        else read_back("payments.charges", b"", value, headers)
    )
    stage.messages.append(poison)
    found = await stage.violated()
    assert found.keys() == {"I10"}
    assert "sent 1 times and parked 0 times" in found["I10"][0]


async def test_a_poison_message_needs_exactly_one_letter(
    stage: Stage, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Twice sent and twice parked is right; parked once more is not."""
    stage.messages.append(stage.messages[-1])
    await stage.world.park(POISON)
    stage.messages.append(published((await outbox_rows(pool))[-1]))
    assert await stage.violated() == {}
    await stage.world.park(POISON)
    stage.messages.append(published((await outbox_rows(pool))[-1]))
    assert (await stage.violated()).keys() == {"I10"}


async def test_a_letter_sent_again_may_be_parked_again(
    stage: Stage, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Redriven in vain: two letters of one message are right then."""
    await pool.execute(
        "UPDATE dead_letters SET state = 'redriven', resolved_at = now(), resolved_by = 'ada'"
    )
    await stage.world.park(POISON)
    stage.messages.append(published((await outbox_rows(pool))[-1]))
    assert await stage.violated() == {}


async def test_a_foreign_message_about_a_payment_there_is_needs_no_letter(stage: Stage) -> None:
    """Somebody else's copy of old work: the claim refuses it."""
    value = stage.messages[stage.place_of("charge.requested")].value
    stage.messages.append(_foreign(stage, value))
    assert await stage.violated() == {}


@pytest.mark.parametrize(
    "secret",
    [
        b"pk_live12ab_0123456789abcdef",
        b"sk_test_4eC39HqLyjWDarjtT1zdp7dc",
        b"pi_3Kx_secret_9KdHqLyjWDarjt",
        b"Authorization: Bearer eyJhbGciOiJIUzI1NiJ9",
    ],
)
async def test_a_secret_on_a_topic_is_found(stage: Stage, secret: bytes) -> None:
    """Keys of ours and of the providers, client secrets and credentials."""
    stage.messages.append(_foreign(stage, b'{"x": "%s"}' % secret))
    assert "I14" in await stage.violated()


async def test_harmless_words_are_no_secret(stage: Stage) -> None:
    """A customer may write of a secret santa."""
    stage.messages.append(_foreign(stage, b'{"description": "secret santa, basic plan, pk_1"}'))
    assert "I14" not in await stage.violated()


def _foreign(stage: Stage, value: bytes) -> Published:
    """A work message with a good envelope that is in no outbox row."""
    row = stage.rows[stage.place_of("charge.requested")]
    row = row._replace(id=str(uuid4()).encode(), payload=value)
    return read_back("payments.charges", row.aggregateid, value, headers_of(row, None))
