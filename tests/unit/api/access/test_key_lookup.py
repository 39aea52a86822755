"""Keys are looked up in batches, one question at a time, whoever asks and whoever goes away."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from api.access.key_lookup import KeyLookup
from store.read.api_keys import ApiKey
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence


def stored(key_id: str) -> ApiKey:
    return ApiKey(
        id=key_id,
        tenant_id="acme",
        name="shop",
        secret_sha256=b"",
        scopes=frozenset(),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@dataclass
class Table:
    """Answers when it is let to, and remembers what it was asked."""

    keys: dict[str, ApiKey] = field(default_factory=dict)
    asked: list[Sequence[str]] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None

    async def read(self, key_ids: Sequence[str]) -> Mapping[str, ApiKey]:
        self.asked.append(key_ids)
        await self.may_answer.wait()
        if self.error:
            raise self.error
        return {each: self.keys[each] for each in key_ids if each in self.keys}


@pytest.fixture
def table() -> Table:
    return Table({"known": stored("known")})


@pytest.fixture
async def lookup(table: Table) -> AsyncIterator[KeyLookup]:
    async with KeyLookup(table.read).running() as running:
        yield running


async def begun(lookup: KeyLookup, *key_ids: str) -> list[asyncio.Task[ApiKey | None]]:
    """So many askers, each of them on its way."""
    tasks = [asyncio.ensure_future(lookup.find(each)) for each in key_ids]
    await asyncio.sleep(0)
    return tasks


async def out(lookup: KeyLookup, table: Table, *key_ids: str) -> list[asyncio.Task[ApiKey | None]]:
    """So many askers, whose question is not answered yet."""
    tasks = await begun(lookup, *key_ids)
    await eventually(lambda: bool(table.asked))
    return tasks


async def test_a_thousand_strangers_are_two_questions(lookup: KeyLookup, table: Table) -> None:
    """The first one's, and one for all who came while that was out; each gets its own answer."""
    asking = await out(lookup, table, "first")
    asking += await begun(lookup, *(f"stranger-{each}" for each in range(1000)), "known")
    table.may_answer.set()
    found = await asyncio.gather(*asking)
    assert [len(each) for each in table.asked] == [1, 1001]
    assert found == [None] * 1001 + [table.keys["known"]]


async def test_who_asks_for_what_is_asked_for_has_that_answer(
    lookup: KeyLookup, table: Table
) -> None:
    """A hundred requests with one key are one question, though it is out already."""
    asking = await out(lookup, table, *["known"] * 50)
    asking += await begun(lookup, *["known"] * 50)
    table.may_answer.set()
    assert await asyncio.gather(*asking) == [table.keys["known"]] * 100
    assert table.asked == [["known"]]


async def test_who_goes_away_takes_no_answer_with_it(lookup: KeyLookup, table: Table) -> None:
    """Others, who have asked for the same, get it."""
    first, second = await out(lookup, table, "known", "known")
    first.cancel()
    await asyncio.sleep(0)
    table.may_answer.set()
    assert await second == table.keys["known"]


async def test_a_failure_is_everybodys_who_asked_and_nobodys_afterwards(
    lookup: KeyLookup, table: Table
) -> None:
    """Not one after the other of a thousand waits for a database that is away."""
    table.error = OSError("away")
    asking = await out(lookup, table, "known")
    asking += await begun(lookup, *["known"] * 1000)
    table.may_answer.set()
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(each, OSError) for each in outcomes)
    assert len(table.asked) == 1
    table.error = None
    assert await lookup.find("known") == table.keys["known"]
