"""`payments webhooks`: what an operator sees of endpoints, sends again, and is sent."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from cli.__main__ import main
from tests.support.agents.webhooks import KEY, Office
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import asyncpg
    from click.testing import Result

    from process.addresses import DatabaseAddress
    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics


@pytest.fixture(autouse=True)
def environment(database: DatabaseAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command finds the test's database, and the key."""
    for name in ("host", "port", "user", "password", "database"):
        monkeypatch.setenv(f"PAYMENTS_DATABASE_{name.upper()}", str(getattr(database, name)))
    monkeypatch.setenv("PAYMENTS_WEBHOOK_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture
def office(
    pool: asyncpg.Pool[asyncpg.Record], committer: GroupCommitter, metrics: Metrics
) -> Office:
    """Where endpoints are."""
    return Office(pool, committer, metrics)


async def webhooks(*arguments: str) -> Result:
    """In a thread: the command has an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, main, ["webhooks", *arguments])


async def test_endpoints_and_tries_are_shown_and_replays_asked_for(office: Office) -> None:
    """Whatever tenant they are of."""
    endpoint = await office.endpoint("https://shop.example/hook", tenant_id="acme")
    await office.happens("payment.created", tenant_id="acme")
    (delivery,) = await office.deliveries(endpoint)
    listed = await webhooks("list")
    assert (str(endpoint.id) in listed.output, "acme" in listed.output) == (True, True)
    assert "pending" in (await webhooks("attempts", str(endpoint.id))).output
    assert (await webhooks("attempts", str(endpoint.id), str(delivery.id))).exit_code == 0
    assert (
        await webhooks("replay", str(endpoint.id), "--delivery", str(delivery.id))
    ).exit_code == 0
    assert await office.pool.fetchval("SELECT delivery_id FROM webhook_replays") == delivery.id
    assert await signed_for(office) == [("acme", "replay_webhook_delivery", "done")]
    absent = await webhooks("replay", str(delivery.id))
    assert (absent.exit_code, "there is no webhook endpoint" in absent.output) == (1, True)


async def signed_for(office: Office) -> list[tuple[str, str, str]]:
    """What the audit log has, and about whom."""
    rows = await office.pool.fetch(
        "SELECT about_tenant_id, action, outcome FROM audit_log ORDER BY id"
    )
    return [tuple(row) for row in rows]


@asynccontextmanager
async def listening(log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command as a process of its own, until Ctrl-C."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", "-m", "cli", "webhooks", "listen"),
            stdout=output,
            stderr=output,
            env=dict(os.environ),
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_listening_prints_what_comes_and_leaves_no_endpoint_behind(
    office: Office, tmp_path: Path
) -> None:
    """An event is verified and printed; nobody's word is not."""
    log = tmp_path / "listen.log"
    async with listening(log) as process:
        await eventually(lambda: b"Listening at" in log.read_bytes(), within=60)
        async with office.worker().sending():
            (event,) = await office.happens("payment.created")
            await eventually(lambda: str(event.id).encode() in log.read_bytes())
        process.send_signal(2)
        assert await asyncio.wait_for(process.wait(), 30 * PATIENCE) == 0
    assert await office.pool.fetchval("SELECT state FROM webhook_endpoints") == "deleted"
    assert await signed_for(office) == [
        ("default", "create_webhook_endpoint", "done"),
        ("default", "delete_webhook_endpoint", "done"),
    ]
