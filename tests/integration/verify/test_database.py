"""A sound database satisfies every invariant; each kind of corruption is found by its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from store.pool import long_reading
from tests.support.verify.world import live
from verify.database import read_baseline

if TYPE_CHECKING:
    from process.addresses import DatabaseAddress
    from store.write.group_commit import GroupCommitter
    from verify.database import Baseline

_HEADING = re.compile(r"^-- corruption: (.+) violates (.+)$", re.MULTILINE)
_CORRUPTIONS = Path(__file__).parents[2] / "support" / "verify" / "corruptions.sql"
_, *_PARTS = _HEADING.split(_CORRUPTIONS.read_text())
CORRUPTIONS = dict(zip(_PARTS[::3], zip(_PARTS[1::3], _PARTS[2::3], strict=True), strict=True))


async def snapshot(address: DatabaseAddress) -> Baseline:
    async with long_reading(address, application_name="payments-verify") as connection:
        return await read_baseline(connection, outbox_retention_s=86_400)


def violated(found: Baseline) -> dict[str, list[str]]:
    problems: dict[str, list[str]] = {}
    for result in found.results:
        for each in result.violations:
            problems.setdefault(result.invariant, []).append(f"{each.subject} {each.problem}")
    return problems


async def test_a_sound_database_satisfies_every_invariant(
    committer: GroupCommitter, database: DatabaseAddress
) -> None:
    """Payments in every state, refunds and letters made by commands violate nothing."""
    world = await live(committer)
    await world.hold_up()
    await world.resolve()
    found = await snapshot(database)
    assert violated(found) == {}
    assert all(each.checked for each in found.results)
    assert found.outbox
    assert found.charges


async def test_an_empty_database_is_sound(database: DatabaseAddress) -> None:
    """Nothing is wrong with nothing."""
    assert violated(await snapshot(database)) == {}


async def test_each_corruption_is_found_by_the_invariants_it_violates(
    committer: GroupCommitter, database: DatabaseAddress
) -> None:
    """By those and by no others; each is done to the sound database and taken back."""
    await (await live(committer)).hold_up()
    found = {}
    async with long_reading(database, application_name="payments-verify") as connection:
        for name, (_, statements) in CORRUPTIONS.items():
            undone = connection.transaction(isolation="repeatable_read")
            await undone.start()
            await connection.execute(statements)
            found[name] = violated(
                await read_baseline(connection, outbox_retention_s=86_400)
            ).keys()
            await undone.rollback()
    assert found == {name: set(touched.split()) for name, (touched, _) in CORRUPTIONS.items()}


def test_every_invariant_of_the_database_can_be_violated() -> None:
    """No check is there that never says no."""
    caught = {each for touched, _ in CORRUPTIONS.values() for each in touched.split()}
    assert caught == {"I1", "I2", "I3", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12"}
