"""`python -m agents webhooks` as an operator and a kernel see it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import ssl
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp
import orjson
import pytest

from local.program import (
    CODE,
    Program,
    free_port,
    kill_group,
    running,
    start,
    stop,
    until_ready,
)
from payments.account import Account
from payments.commands import ClaimPayment
from payments.decision import Claimed
from payments.payment import Payment
from simulator.stripe.webhooks import signature
from store.write.group_commit import Submission
from tests.support.agents.notifications import SECRET, intent_event
from tests.support.certificates import Authority
from tests.support.factories import open_account, pay
from tests.support.waiting import eventually, in_time

if TYPE_CHECKING:
    from pathlib import Path

    import asyncpg

    from process.addresses import DatabaseAddress
    from store.write.group_commit import GroupCommitter

WAITS = re.compile(r"^payments_group_commit_set_aside [1-9]", re.MULTILINE)


@pytest.fixture
def program(database: DatabaseAddress, tmp_path: Path) -> Program:
    """The receiver on a free port, for Stripe alone."""
    port, metrics_port = free_port(), free_port()
    health = f"http://127.0.0.1:{metrics_port}/health/ready"
    settings = {
        "DATABASE_HOST": database.host,
        "DATABASE_PORT": str(database.port),
        "DATABASE_USER": database.user,
        "DATABASE_PASSWORD": database.password,
        "DATABASE_DATABASE": database.database,
        "DATABASE_POOL_SIZE": "2",
        "OBSERVABILITY_METRICS_PORT": str(metrics_port),
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "WEBHOOKS_PORT": str(port),
    }

    async def is_ready() -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(health) as answer:
                return answer.ok
        except aiohttp.ClientError:
            return False

    return Program(
        name="webhooks",
        command=(sys.executable, "-m", "agents", "webhooks"),
        directory=CODE,
        log=tmp_path / "log",
        address=f"http://127.0.0.1:{port}",
        is_ready=is_ready,
        environment={**os.environ, **{f"PAYMENTS_{name}": text for name, text in settings.items()}},
    )


async def claimed_payment(committer: GroupCommitter) -> Claimed:
    """A payment whose worker has gone to ask."""
    account = (await committer.submit(Submission(open_account()))).result
    assert isinstance(account, Account)
    payment = (await committer.submit(Submission(pay(account.id)))).result
    assert isinstance(payment, Payment)
    claimed = (await committer.submit(Submission(ClaimPayment(payment.id, 1, "w")))).result
    assert isinstance(claimed, Claimed)
    return claimed


async def page(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.text()


async def deliver(
    address: str, event: object, context: ssl.SSLContext | None = None
) -> tuple[int, str]:
    body = orjson.dumps(event)
    headers = {"Stripe-Signature": signature(body, SECRET, time.time())}
    connector = aiohttp.TCPConnector(ssl=context or True)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post(f"{address}/webhooks/stripe", data=body, headers=headers) as answer,
    ):
        return answer.status, (await answer.json())["outcome"]


async def test_killed_while_it_records_it_has_taken_nothing(
    program: Program, committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """The vendor gets no answer and delivers again: its successor takes the event, once."""
    claimed = await claimed_payment(committer)
    event = intent_event("payment_intent.succeeded", claimed)
    process = await start(program)
    try:
        await until_ready(program, process, within_seconds=30)
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "SELECT FROM payments WHERE id = $1 FOR UPDATE", claimed.payment.id
            )
            delivery = asyncio.ensure_future(deliver(program.address, event))

            async def is_recording() -> bool:
                port = program.environment["PAYMENTS_OBSERVABILITY_METRICS_PORT"]
                return bool(WAITS.search(await page(f"http://127.0.0.1:{port}/metrics")))

            await eventually(is_recording)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            with pytest.raises(aiohttp.ClientError):
                await delivery
        process = await start(program)
        await until_ready(program, process, within_seconds=30)
        assert await deliver(program.address, event) == (200, "asked")
        assert await deliver(program.address, event) == (200, "duplicate")
        assert await pool.fetchval("SELECT count(*) FROM provider_events") == 1
        assert await stop(program, process, within_seconds=20)
        assert process.returncode == 0
    finally:
        await stop(program, process, within_seconds=20)


async def test_providers_deliver_over_tls(
    program: Program, committer: GroupCommitter, tmp_path: Path
) -> None:
    """Where nothing before it has a certificate."""
    authority = Authority(tmp_path / "papers")
    paper = authority.issue("server", "localhost")
    certificate = {
        "PAYMENTS_WEBHOOKS_SSL_CERTIFICATE_FILE": str(paper.certificate),
        "PAYMENTS_WEBHOOKS_SSL_KEY_FILE": str(paper.key),
    }
    secured = replace(program, environment={**program.environment, **certificate})
    event = intent_event("payment_intent.succeeded", await claimed_payment(committer))
    async with running(secured):
        address = secured.address.replace("http://127.0.0.1", "https://localhost")
        context = ssl.create_default_context(cafile=authority.authority)
        assert await deliver(address, event, context) == (200, "asked")
        with pytest.raises(aiohttp.ClientError):
            await deliver(secured.address, event)


async def test_a_certificate_that_is_none_ends_the_process(program: Program) -> None:
    """One sentence and exit code 2."""
    none = {"PAYMENTS_WEBHOOKS_SSL_CERTIFICATE_FILE": "/etc/hosts"}
    process = await start(replace(program, environment={**program.environment, **none}))
    async with in_time(60):
        assert await process.wait() == 2
    assert "what PAYMENTS_WEBHOOKS_SSL_* name cannot be used" in program.log.read_text()


_REQUEST = b"GET /webhooks/nobody HTTP/1.1\r\nHost: x\r\n\r\n"


async def connected(program: Program) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(program.address.rpartition(":")[2]))


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The answer to a request, up to where the next one may begin."""
    writer.write(_REQUEST)
    async with in_time(10):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 404 ")
        await reader.readexactly(len(b"404: Not Found"))
    return head


async def test_told_to_stop_it_closes_each_connection_with_an_answer(program: Program) -> None:
    """And lets in who comes until it is noticed that it is not ready any more."""
    noticed = {"PAYMENTS_SERVER_SHUTDOWN_DELAY": "60s", "PAYMENTS_SERVER_SHUTDOWN_TIMEOUT": "200s"}
    program = replace(program, environment={**program.environment, **noticed})
    process = await start(program)
    try:
        await until_ready(program, process, within_seconds=30)
        kept = await connected(program)
        assert b"Connection: close" not in await asked(*kept)
        process.send_signal(signal.SIGTERM)

        async def is_not_ready() -> bool:
            return not await program.is_ready()

        await eventually(is_not_ready)
        for reader, writer in (kept, await connected(program)):
            assert b"Connection: close" in await asked(reader, writer)
            async with in_time(10):
                assert await reader.read() == b""
            writer.close()
    finally:
        # It would wait to be noticed for longer than the test does.
        kill_group(process.pid)
        await process.wait()


async def test_whoever_sends_half_a_request_or_nothing_is_cut_off(program: Program) -> None:
    """By the ingress's settings."""
    hasty = {"PAYMENTS_SERVER_READ_TIMEOUT": "300ms", "PAYMENTS_SERVER_IDLE_TIMEOUT": "300ms"}
    async with running(replace(program, environment={**program.environment, **hasty})):
        idle = await connected(program)
        await asked(*idle)
        slow, silent = await connected(program), await connected(program)
        slow[1].write(_REQUEST[:-2])
        for reader, writer in (idle, slow, silent):
            async with in_time(10):
                assert await reader.read() == b""
            writer.close()


async def test_a_flood_of_connections_leaves_files_for_others(program: Program) -> None:
    """Those beyond as many as there may be are cut off; who is busy does not notice."""
    few = ("prlimit", "--nofile=256:256")
    port = program.environment["PAYMENTS_OBSERVABILITY_METRICS_PORT"]
    cut_off = re.compile(
        r'^payments_http_requests_rejected_total\{reason="connections"\} ([1-9])', re.MULTILINE
    )
    async with running(replace(program, command=(*few, *program.command))):
        busy = [await connected(program) for _ in range(100)]
        for _, writer in busy:
            writer.write(_REQUEST[:-2])

        async def is_counted() -> bool:
            return bool(cut_off.search(await page(f"http://127.0.0.1:{port}/metrics")))

        await eventually(is_counted)
        reader, writer = busy[0]
        writer.write(_REQUEST[-2:])
        async with in_time(10):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404 ")
        for _, writer in busy:
            writer.close()
