"""`python -m api` as an operator sees it: started, shared, drained, refused."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import orjson
import pytest

from local.program import free_port, running, start, stop, until_ready
from tests.support.api.launch import ROOT, Launch, client_of, is_ready
from tests.support.waiting import in_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from local.program import Running
    from tests.support.api.ingress import Client, Reply


async def _pay_until_refused(client: Client, account: str, sent: asyncio.Semaphore) -> list[Reply]:
    """Pay one after the other until nobody listens any more; what was answered."""
    replies = []
    while True:
        sent.release()
        try:
            replies.append(await client.pay(account, "0.50"))
        except (aiohttp.ClientError, ConnectionError):
            return replies


async def test_whoever_was_let_in_is_answered_before_the_process_ends(
    launch: Launch, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """SIGTERM under load: every payment that was recorded was acknowledged; the exit code is 0."""
    port = free_port()
    program = launch.program(port)
    process = await start(program)
    await until_ready(program, process, within_seconds=30)
    async with client_of(port) as client:
        account = await client.account()
        sent = asyncio.Semaphore(0)
        async with asyncio.TaskGroup() as tasks:
            paying = [
                tasks.create_task(_pay_until_refused(client, account, sent)) for _ in range(16)
            ]
            for _ in range(200):
                await sent.acquire()
            assert await stop(program, process, within_seconds=20)
    assert process.returncode == 0
    acknowledged = {
        reply.text("id") for task in paying for reply in task.result() if reply.status == 202
    }
    recorded = await pool.fetch("SELECT id FROM payments")
    assert acknowledged == {str(row["id"]) for row in recorded}
    assert len(acknowledged) > 100
    said = program.log.read_text()
    assert '"message":"ready"' in said
    assert '"message":"stopped"' in said
    assert "Traceback" not in said


async def test_who_waits_for_a_payment_does_not_hold_up_the_end(launch: Launch) -> None:
    """A `Prefer: wait` is answered with what was accepted as soon as the process is told to end."""
    port = free_port()
    program = launch.program(port)
    process = await start(program)
    await until_ready(program, process, within_seconds=30)
    async with client_of(port) as client, in_time(15):
        body = {
            "payment_type": "external_payment",
            "source_account_id": await client.account(),
            "amount": 1,
            "currency": "USD",
            "provider": "stripe",
        }
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(client.post("/api/v1/payments", body, Prefer="wait=30"))
            await _until_accepted(client)
            process.send_signal(signal.SIGINT)
        assert (waiting.result().status, waiting.result().text("status")) == (202, "pending")
        assert await process.wait() == 0


async def test_an_answer_nobody_was_given_is_given_after_a_crash(launch: Launch) -> None:
    """Killed while a client waits: asked again, it is what was accepted, now and ever after."""
    port, key = free_port(), str(uuid.uuid4())
    program = launch.program(port)
    process = await start(program)
    await until_ready(program, process, within_seconds=30)
    async with client_of(port) as client:
        body = {
            "payment_type": "external_payment",
            "source_account_id": await client.account(),
            "amount": 1,
            "currency": "USD",
            "provider": "stripe",
        }
        waiting = asyncio.create_task(
            client.post("/api/v1/payments", body, key=key, Prefer="wait=30")
        )
        await _until_accepted(client)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        with pytest.raises(aiohttp.ClientError):
            await waiting
    async with running(launch.program(port)), client_of(port) as client:
        replies = [
            await client.post("/api/v1/payments", body, key=key, Prefer=f"wait={seconds}")
            for seconds in (0, 1, 0)
        ]
    assert {(reply.status, reply.text("status")) for reply in replies} == {(202, "pending")}
    assert len({reply.body for reply in replies}) == 1


async def _until_accepted(client: Client) -> None:
    while not (await client.get("/api/v1/payments")).json["data"]:
        pass


async def test_two_processes_share_a_port_and_one_key_is_one_payment(launch: Launch) -> None:
    """The kernel spreads connections over both; what they share is the database."""
    port = free_port()
    async with running(launch.program(port)), _running_beside(launch, port) as second:
        async with client_of(port) as client:
            account, key = await client.account(), str(uuid.uuid4())
        replies = await asyncio.gather(*(_pay_alone(port, account, key) for _ in range(20)))
        assert {reply.status for reply in replies} == {202}
        assert len({reply.body for reply in replies}) == 1
        assert second.returncode is None


async def test_a_log_line_names_request_trace_and_payment(launch: Launch) -> None:
    """One JSON line a request, with the ids its answer had; and the lag is measured."""
    port = free_port()
    program = launch.program(port)
    async with running(program), client_of(port) as client:
        reply = await client.pay(await client.account())
        streams = await client.get("/api/v1/streams")
    lines = [orjson.loads(line) for line in program.log.read_bytes().splitlines()]
    (line,) = [line for line in lines if line.get("payment_id") == reply.text("id")]
    assert (line["level"], line["message"], line["process"]) == ("info", "request", "api")
    assert (line["route"], line["status"]) == ("/api/v1/payments", 202)
    assert line["request_id"] == reply.headers["X-Request-ID"]
    assert line["trace_id"] == reply.headers["traceparent"].split("-")[1]
    assert streams.status == 200
    assert {"groups", "slots", "redis_groups", "waiting", "unavailable"} <= set(streams.json)


@asynccontextmanager
async def _running_beside(launch: Launch, port: int) -> AsyncIterator[Running]:
    program = launch.program(port)
    metrics_port = free_port()
    settings = {"PAYMENTS_OBSERVABILITY_METRICS_PORT": str(metrics_port)}
    beside = launch.program(port, **settings)
    process = await start(beside)
    try:
        while not await is_ready(metrics_port):
            assert process.returncode is None
            await asyncio.sleep(0.05)
        yield process
    finally:
        await stop(program, process, within_seconds=20)


async def _pay_alone(port: int, account: str, key: str) -> Reply:
    """On a connection of its own, so that the kernel chooses a process."""
    async with client_of(port) as client:
        return await client.pay(account, key=key)


def test_open_mode_is_refused_where_others_reach_it() -> None:
    """One sentence and exit code 2: everybody would be let in."""
    environment = os.environ | {"PAYMENTS_AUTH_MODE": "open", "PAYMENTS_SERVER_HOST": "0.0.0.0"}  # noqa: S104 - to see it refused
    ended = subprocess.run(
        (sys.executable, "-m", "api"),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    assert "0.0.0.0 is not a loopback address" in ended.stderr
