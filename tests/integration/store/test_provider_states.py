"""How the workers find their providers, in one table that any of them may die beside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from payments.payment import Provider
from payments.provider_state import ProviderCondition, ProviderState
from store.housekeeping import keep_house
from store.queries import query
from store.read.provider_states import provider_condition
from store.write.provider_states import withdraw_provider_states, write_provider_states

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]

STRIPE: Final = Provider("stripe")
SINCE: Final = datetime(2026, 1, 1, tzinfo=UTC)


def is_so(state: ProviderState, since: datetime = SINCE) -> ProviderCondition:
    return ProviderCondition(STRIPE, state, f"because it is {state.value}", since)


async def condition(pool: Pool, stage: str = "charge") -> ProviderCondition | None:
    async with pool.acquire() as connection:
        return await provider_condition(connection, STRIPE, stage)


@pytest.mark.parametrize("worse", range(1, len(ProviderState)))
async def test_of_two_workers_the_worse_word_is_told(pool: Pool, worse: int) -> None:
    """In the order of the states themselves, whoever spoke first."""
    bad, worst = [*ProviderState][worse - 1 : worse + 1]
    await write_provider_states(pool, "charge", "one", [is_so(worst)])
    await write_provider_states(pool, "charge", "two", [is_so(bad)])
    assert await condition(pool) == is_so(worst)
    (row,) = await pool.fetch(query("worst_provider_states"))
    assert (row["state"], row["stage"], row["since"]) == (worst.value, "charge", SINCE)


async def test_a_worker_says_it_anew(pool: Pool) -> None:
    """One row a worker, stage and provider, with what it said last; stages are told apart."""
    await write_provider_states(pool, "charge", "one", [is_so(ProviderState.UNREACHABLE)])
    await write_provider_states(pool, "charge", "one", [is_so(ProviderState.WELL)])
    assert await condition(pool) == is_so(ProviderState.WELL)
    assert await condition(pool, "refund") is None
    assert await pool.fetchval("SELECT count(*) FROM provider_states") == 1


async def test_of_equal_words_the_older_is_told(pool: Pool) -> None:
    """Since when it has been so is since the first of them."""
    later = is_so(ProviderState.LIMITED, SINCE + timedelta(hours=1))
    await write_provider_states(pool, "charge", "one", [later])
    await write_provider_states(pool, "charge", "two", [is_so(ProviderState.LIMITED)])
    assert await condition(pool) == is_so(ProviderState.LIMITED)


async def test_who_is_silent_for_a_minute_is_dead_and_forgotten(pool: Pool) -> None:
    """Not asked any more at once, gone with the next house-keeping; the living stay."""
    await write_provider_states(pool, "charge", "dead", [is_so(ProviderState.UNREACHABLE)])
    await pool.execute("UPDATE provider_states SET updated_at = now() - interval '61 seconds'")
    await write_provider_states(pool, "charge", "alive", [is_so(ProviderState.WELL)])
    assert await condition(pool) == is_so(ProviderState.WELL)
    await keep_house(pool, datetime.now(UTC), timedelta(days=7).total_seconds())
    assert [row["worker"] for row in await pool.fetch("SELECT worker FROM provider_states")] == [
        "alive"
    ]


async def test_who_stops_takes_its_word_back(pool: Pool) -> None:
    """Its own of that stage, and nobody else's."""
    for stage, worker in (("charge", "one"), ("charge", "two"), ("refund", "one")):
        await write_provider_states(pool, stage, worker, [is_so(ProviderState.WELL)])
    await withdraw_provider_states(pool, "charge", "one")
    rows = await pool.fetch("SELECT stage, worker FROM provider_states ORDER BY stage")
    assert [tuple(row) for row in rows] == [("charge", "two"), ("refund", "one")]
