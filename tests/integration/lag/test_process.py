"""`python -m lag` speaks when all else is dead, and says what it does not know."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from local.program import free_port
from process.addresses import DatabaseAddress, RedisAddress
from tests.support.fixtures.processes import Platform
from tests.support.topics.broker_clients import create_topic, produce
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fixtures.processes import OurProcess

_OF_LAG: Final = ("payments_stage_lag_messages", "payments_stage_group_state", "payments_slot_")


@pytest.fixture
def platform(
    database: DatabaseAddress, redis_address: RedisAddress, fresh_kafka: str, tmp_path: Path
) -> Iterator[Platform]:
    """Servers, and nothing of ours on them."""
    opened = Platform(
        database=database,
        kafka=fresh_kafka,
        redis=redis_address,
        simulator_url="",
        directory=tmp_path,
    )
    yield opened
    opened.end()


async def samples(process: OurProcess) -> dict[str, float]:
    """What its page says of lag, by name and labels in the order of their names."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(await process.page())
        for sample in family.samples
        if sample.name.startswith(("payments_lag_", "payments_stage_", "payments_slot_"))
    }


async def test_it_measures_what_waits_for_processes_that_are_not_there(platform: Platform) -> None:
    """No ingress, no relay and no stage runs: each stage is stopped, each slot is missing."""
    await create_topic(platform.kafka, "payments.charges", 1)
    await produce(platform.kafka, "payments.charges", 3)
    process = platform.process("lag", "lag")
    await process.start()
    found = await samples(process)
    assert found["payments_stage_lag_messages payments.charge 0 payments.charges"] == 3
    assert found["payments_stage_group_state payments.charge stopped payments.charges"] == 1
    assert found["payments_slot_wal_status payments_kafka missing"] == 1
    assert await process.drain() == 0


async def test_what_is_away_has_no_figure(platform: Platform) -> None:
    """It is ready all the same, says of each source that it did not answer, and shows no zero."""
    nowhere = free_port()
    away = replace(
        platform,
        kafka=f"127.0.0.1:{nowhere}",
        redis=RedisAddress("127.0.0.1", nowhere),
        database=replace(platform.database, port=nowhere),
    )
    process = away.process("lag", "lag")
    await process.start()
    found = await samples(process)
    assert found == {
        f"payments_lag_source_up {source}": 0.0
        for source in ("kafka", "slots", "redis", "waiting", "providers")
    }
    assert await process.drain() == 0


async def test_without_a_port_it_says_what_it_lacks(platform: Platform) -> None:
    """It would measure for nobody."""
    process = platform.process("lag", "lag", PAYMENTS_OBSERVABILITY_METRICS_PORT="0")
    process.launch()
    assert await process.ended() == 2
    assert "PAYMENTS_OBSERVABILITY_METRICS_PORT" in process.said
    assert "Traceback" not in process.said


async def test_the_ingress_serves_no_gauges_of_lag(platform: Platform) -> None:
    """They would go on for as long as any ingress, and end with the last."""
    settings = {"PAYMENTS_AUTH_MODE": "open", "PAYMENTS_SERVER_PORT": str(free_port())}
    process = platform.process("ingress", "api", **settings)
    await process.start()

    async def is_scraped() -> bool:
        return "payments_build_info" in await process.page()

    await eventually(is_scraped)
    assert not [name for name in await samples(process) if name.startswith(_OF_LAG)]
