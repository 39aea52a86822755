"""Our processes on a Kafka that asks for TLS, a user and permission: the ACLs of OPERATIONS.md.

They come in, do their work with what the table allows and nothing more, and say in a sentence why
they cannot where a broker refuses them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest

from lag.exporter import LagExporter
from lag.targets import LagTargets
from payments.progress import Policy
from process.servers import KafkaSettings
from store.pool import connect
from store.write.context import live
from store.write.group_commit import GroupCommitter
from tests.support.agents.shop import HASTY, Shop
from tests.support.fixtures.processes import Platform
from tests.support.fixtures.secured_kafka import USERS, Permission
from tests.support.project.tree import ROOT
from tests.support.simulator.admin import Admin
from tests.support.waiting import eventually
from topics.subscribe import subscribe_kafka

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from process.addresses import DatabaseAddress, KafkaAddress, RedisAddress
    from telemetry.metrics import Metrics
    from tests.support.fixtures.processes import OurProcess
    from tests.support.fixtures.secured_kafka import SecuredKafka
    from tests.support.fixtures.simulator import SimulatorProcess

_ROW: Final = re.compile(r"\| (\S+) \| (topic|group|transactional id) \| `(\S+)` \| ([\w, ]+) \|")


def documented() -> list[Permission]:
    """What the table allows."""
    rows = _ROW.findall((ROOT / "docs/OPERATIONS.md").read_text())
    return [
        Permission(user, resource, name, operation)
        for user, resource, name, operations in rows
        for operation in operations.split(", ")
    ]


@pytest.fixture
async def broker(secured_kafka: SecuredKafka) -> AsyncIterator[SecuredKafka]:
    """Everybody may what the table says."""
    await secured_kafka.allow(each for each in documented() if each.user in USERS)
    yield secured_kafka
    for user in USERS:
        await secured_kafka.forbid(user)


@pytest.fixture
def platform(
    secured_kafka: SecuredKafka,
    database: DatabaseAddress,
    redis_address: RedisAddress,
    simulator: SimulatorProcess,
    tmp_path: Path,
) -> Iterator[Platform]:
    platform = Platform(
        database=database,
        kafka=secured_kafka.inside.bootstrap_servers,
        redis=redis_address,
        simulator_url=simulator.url,
        directory=tmp_path,
        settings=HASTY,
    )
    yield platform
    platform.end()


def relay(platform: Platform, settings: dict[str, str]) -> OurProcess:
    """With a slot of its own: the server's others may have the usual one."""
    slot = f"test_{uuid4().hex}"
    return platform.process("relay", "topics.relay", "--sink", "kafka", "--slot", slot, **settings)


def address(settings: dict[str, str]) -> KafkaAddress:
    return KafkaSettings.model_validate(settings).address()


async def test_a_payment_goes_its_way_with_the_documented_permissions(
    broker: SecuredKafka, platform: Platform, metrics: Metrics, simulator: SimulatorProcess
) -> None:
    """From the relay to the charge stage to the public topic, and its lag is seen on the way."""
    processes = (
        relay(platform, broker.settings("relay")),
        platform.charge("one", **broker.settings("charge", "MUTUAL")),
    )
    for process in processes:
        process.launch()
    for process in processes:
        await process.until_ready()
    async with (
        await connect(platform.database, application_name="shop", size=4) as pool,
        GroupCommitter(pool, live(Policy()), metrics) as committer,
    ):
        shop = Shop(pool, committer, Admin(simulator.url))
        payment = await shop.bought(await shop.customer())
        await shop.becomes(payment, "completed")
    where = address(broker.settings("lag"))
    async for message in subscribe_kafka(where, ["payments.events"], payment_id=payment.id):
        if message.type == "payment.completed":
            break
    exporter = LagExporter(targets(platform, where), metrics)
    try:

        async def is_seen() -> bool:
            report = await exporter.refresh()
            assert not report.unavailable
            charge = [each for each in report.groups if each.group == "payments.charge"]
            return [(each.members, each.messages) for each in charge] == [(1, 0)]

        await eventually(is_seen)
    finally:
        await exporter.close()


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("charge", {"SASL_USER": "nobody"}, "we may not read the group payments.charge"),
        ("relay", {"SASL_PASSWORD": "wrong"}, "invalid credentials"),
        pytest.param(
            *("relay", {"SASL_USER": "nobody"}, "we may not read the topic payments.events"),
            marks=pytest.mark.long,
        ),
        pytest.param(
            *("charge", {"SSL_CA_FILE": ""}, "unable to get local issuer certificate"),
            marks=pytest.mark.long,
        ),
    ],
)
async def test_who_is_refused_ends_with_a_sentence(
    broker: SecuredKafka, platform: Platform, name: str, settings: dict[str, str], said: str
) -> None:
    """Once, at once, and not with a list of calls."""
    if "SASL_USER" in settings:
        settings = {**settings, "SASL_PASSWORD": broker.passwords["nobody"]}
    ours = broker.settings(name, **settings)
    process = relay(platform, ours) if name == "relay" else platform.charge("one", **ours)
    process.launch()
    assert await process.ended() == 2
    assert [
        line for line in process.said.splitlines() if "Kafka refuses us: " in line and said in line
    ]
    assert "Traceback" not in process.said


async def test_a_permission_taken_back_is_shown_until_it_is_given_again(
    broker: SecuredKafka, platform: Platform, metrics: Metrics
) -> None:
    """Not to be let see a group is not to see that nothing waits for it."""
    exporter = LagExporter(targets(platform, address(broker.settings("lag"))), metrics)
    try:
        assert not (await exporter.refresh()).unavailable
        await broker.forbid("lag")

        async def is_unavailable() -> bool:
            (kafka,) = (await exporter.refresh()).unavailable
            return kafka.source == "kafka" and "we may not" in kafka.reason

        await eventually(is_unavailable)
        await broker.allow(each for each in documented() if each.user == "lag")

        async def is_back() -> bool:
            return not (await exporter.refresh()).unavailable

        await eventually(is_back)
    finally:
        await exporter.close()


@pytest.mark.long
async def test_a_relay_that_may_not_write_any_more_goes_on_trying(
    broker: SecuredKafka, platform: Platform, metrics: Metrics
) -> None:
    """It counts that, says why, and publishes what waited once it may again."""
    process = relay(platform, broker.settings("relay"))
    await process.start()
    await broker.forbid("relay")
    async with (
        await connect(platform.database, application_name="shop", size=4) as pool,
        GroupCommitter(pool, live(Policy()), metrics) as committer,
    ):
        account = await Shop(pool, committer, Admin("")).customer()
    await eventually(lambda: "AuthorizationFailed" in process.said, within=60)
    assert await process.metric("payments_relay_restarts_total", reason="sink")
    await broker.allow(each for each in documented() if each.user == "relay")
    where = address(broker.settings("lag"))
    async for message in subscribe_kafka(where, ["payments.accounts"]):
        if message.key == str(account.id):
            break


def targets(platform: Platform, where: KafkaAddress) -> LagTargets:
    return LagTargets(kafka=where, redis=platform.redis, database=platform.database)
