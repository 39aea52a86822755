"""A tiny run of each benchmark, so that none of them rots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench import (
    accepted,
    against,
    at_rest,
    backlog,
    completed,
    console,
    drain,
    feed,
    growth,
    ingress,
    isolation,
    latency,
    memory,
    neighbours,
    relay,
    stage,
    webhooks,
)
from bench.asked import asked
from bench.figures import Figure, percentile
from bench.target import Target

if TYPE_CHECKING:
    from tests.support.acceptance.running import Installation

_SECONDS = 0.5


@pytest.fixture
def target(installation: Installation) -> Target:
    return Target(installation.record)


def figures(found: list[Figure]) -> dict[str, float]:
    assert all(str(each) for each in found)
    return {each.name: each.value for each in found}


async def test_latency_is_measured_at_the_consumer(target: Target) -> None:
    """Every payment sent at its time is waited for."""
    found = figures(await latency.measure(target, _SECONDS))
    for rate in ("at 200/s", "at 500/s"):
        assert found[f"accepted and not completed, {rate}"] == 0
        completed_ms = found[f"POST to completed, {rate}, p50"]
        assert 0 < found[f"POST answered, {rate}, p50"] < completed_ms
        assert completed_ms <= found[f"POST to completed, {rate}, p99"]


async def test_completions_are_counted_with_what_they_cost(target: Target) -> None:
    """Until the last of them, in wall-clock time, and by process in CPU time."""
    found = figures(await completed.measure(target, _SECONDS))
    assert found["payments completed"] > 0
    assert found["CPU of a payment, all processes"] > 0


async def test_a_backlog_is_waited_for_until_its_end(target: Target) -> None:
    """Of payments that lacked somebody until all were accepted: there is no storm of messages."""
    found = figures(await backlog.measure(target, _SECONDS))
    for who in ("the relay to Kafka", "Redis", "the schedule", "the provider"):
        assert found[f"payments ended then, without {who}"] > 0
        assert found[f"messages a payment, without {who}, ratio"] <= 2


async def test_bytes_are_counted_by_table(target: Target) -> None:
    """Rows and indexes of what is kept for ever, partitions with what they are of."""
    found = figures(await at_rest.measure(target, _SECONDS))
    total = found.pop("bytes a payment keeps")
    assert total == pytest.approx(sum(found.values()))
    assert found["bytes a payment keeps in payment_events"] > 0
    assert "bytes a payment keeps in outbox" not in found


async def test_acceptance_is_compared_with_pgbench(target: Target) -> None:
    """With everything running and without: both numbers, and their ratio."""
    found = await accepted.measure(target, _SECONDS)
    (possible,) = [each.value for each in found if each.name == "pgbench, the same writes"]
    rates = [each.value for each in found if each.name == "payments accepted"]
    ratios = [each.value for each in found if each.name == "accepted / pgbench"]
    assert ratios == pytest.approx([rate / possible for rate in rates])
    assert len(rates) == 2
    assert all(each.value == 0 for each in found if each.name == "not accepted")


async def test_an_ingress_is_asked_for_more_than_it_can_do(target: Target) -> None:
    """Of many accounts, of one, a second time; and what is too much is refused, not lost."""
    found = figures(await ingress.measure(target, _SECONDS, count=20))
    assert found["one account / many"] > 0
    assert found["answers given again / accepted"] > 0
    assert {"goodput at 2 x", "goodput at 5 x"} <= found.keys()


async def test_the_charge_stage_is_compared_with_a_bare_faust_agent(target: Target) -> None:
    """A backlog worked off, twice, and the same messages through an agent without work."""
    found = figures(await stage.measure(target, _SECONDS))
    bare, at_once = found["a bare Faust agent"], found["charge stage"]
    assert found["charge stage / bare Faust agent"] == pytest.approx(at_once / bare)
    assert found["charge stage, slow provider"] > 0


@pytest.mark.long
async def test_one_provider_is_measured_beside_another_that_hangs(target: Target) -> None:
    """Its payments all complete, and the other's are at rest again afterwards."""
    found = figures(await isolation.measure(target, _SECONDS))
    assert found["completed late or never"] == 0
    assert found["POST to completed, p50, other hangs"] > 0


@pytest.mark.long
async def test_an_innocent_tenant_is_measured_beside_guilty_ones(target: Target) -> None:
    """With an ingress that tells them apart; each of the guilty does what it is there for."""
    found = figures(await neighbours.measure(target, _SECONDS))
    ratios = [name for name in found if name.startswith("ratio beside")]
    assert len(ratios) == 4
    assert all(found[name] > 0 for name in ratios)


async def test_a_webhook_is_measured_beside_dead_endpoints(target: Target) -> None:
    """Every event of every payment is told of, both times."""
    found = figures(await webhooks.measure(target, _SECONDS))
    assert found["event to webhook, p99, alone"] > 0
    assert found["ratio beside 50 dead"] > 0


async def test_listeners_of_the_feed_are_measured_at_rest_and_when_something_happens(
    target: Target,
) -> None:
    """All of them hear of the payment, the first one first."""
    found = figures(await feed.measure(target, _SECONDS))
    first, last = (found[f"POST answered to event heard, {which}"] for which in ("first", "last"))
    assert first <= last
    assert found["CPU of the ingress with idle listeners"] >= 0


async def test_memory_is_that_of_our_own_processes(target: Target) -> None:
    """Neither Postgres, nor Valkey, nor the broker."""
    found = figures(await memory.measure(target, _SECONDS))
    assert found["memory of all our processes"] > found["memory of ingress"] > 0
    assert "memory of postgres" not in found


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, 0), ([7.0], 0.99, 7), ([1.0, 2.0, 3.0, 4.0], 0.5, 2), ([1.0, 2.0], 0.99, 2)],
)
def test_a_percentile_is_one_of_the_values(
    values: list[float], share: float, expected: float
) -> None:
    """The smallest that so many do not exceed."""
    assert percentile(values, share) == expected


async def test_nothing_grows_with_the_table(target: Target) -> None:
    """Each statement at two sizes, with its plan; ten times the payments, and the same work."""
    found = await growth.measure(target, _SECONDS, rows=20_000)
    sought = asked(20_000)
    assert sum(each.name.endswith("rows touched") for each in found) == len(sought)
    assert all("Index" in each.note for each in found if each.unit == "ms")
    assert not [each for each in found if "Seq Scan" in each.note]
    touched = {each.name: int(each.note.split()[0]) for each in found if each.unit == "ms"}
    for what, each in sought.items():
        # Of so few rows all that is settled may be read at once.
        if what != "settled between":
            assert touched[f"{what}, 20,000"] <= each.touched_max, what


async def test_every_page_of_the_console_is_asked_for(target: Target) -> None:
    """With some thousands of payments behind it, each answers as it should."""
    found = await console.measure(target, _SECONDS, rows=2_000)
    assert {each.name for each in found} == {f"{page}, p95" for page in console.pages(2_000)}
    assert all(each.value > 0 for each in found)


@pytest.mark.long
async def test_this_tree_is_compared_with_a_revision() -> None:
    """With the last one committed, over HTTP alone: each is started, paid through, and measured."""
    found = await against.compared("HEAD", against.Plan(rounds=1, seconds=_SECONDS, rate=50.0))
    assert [turn.revision for turn in found.turns] == ["here", "here", "HEAD", "HEAD"]
    for turn in found.turns:
        assert turn.accepted > 0
        assert turn.cpu_us.keys() >= {"api", "postgres", "valkey-server", "java", "agents charge"}
    assert len(found.pgbench_per_second) == 1
    assert "POST answered, p99, ms" in against.report(found)


async def test_the_relay_is_measured_by_itself(target: Target) -> None:
    """Each row that was committed is waited for."""
    found = figures(await relay.measure(target, _SECONDS))
    for what in ("an event", "work"):
        p50 = found[f"{what}, commit to consumer, p50"]
        assert 0 <= p50 <= found[f"{what}, commit to consumer, p99"]
    assert found["memory of a relay, at most"] > 0


@pytest.mark.long
async def test_a_backlog_is_drained_here_by_a_revision_and_by_debezium() -> None:
    found = await drain.compared("HEAD", rows=2000, rounds=1)
    assert [each.name for each in found] == ["here", "HEAD", "Debezium"]
    assert all(
        each.rows_per_second > 0 and each.cpu_us_per_row > 0 and each.memory_mib > 0
        for each in found
    )
    assert "here / HEAD" in drain.report(found)
