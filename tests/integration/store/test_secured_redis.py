"""A Redis that asks for TLS and a user, or that sentinels know the place of: we come in.

The wheel's Valkey has no TLS: a front of the test's own speaks it.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import AuthenticationError, NoPermissionError

from local.embedded import valkey
from local.program import free_port, running
from process.addresses import RedisAddress, Sentinels, Tls
from store.redis import AWAY, REFUSED, blocking_client, client, connection, refuse_wrong_credentials
from tests.support.certificates import Authority
from tests.support.tls_front import context_of, tls_front
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from redis.asyncio import Redis

_PATIENCE_S = 5.0


async def acl(opened: Redis, *words: str) -> None:
    await opened.execute_command("ACL", *words)  # type: ignore[no-untyped-call]  # left bare


@pytest.fixture
async def address(redis_address: RedisAddress, redis_client: Redis) -> AsyncIterator[RedisAddress]:
    """A server that lets nobody in but a user, and that user to our keys."""
    rules = ("on", ">hunter2", "~payments:*", "+@all", "-config")
    await acl(redis_client, "SETUSER", "payments", *rules)
    await acl(redis_client, "SETUSER", "default", "resetpass", ">other")
    yield replace(redis_address, user="payments", password="hunter2")
    await acl(redis_client, "SETUSER", "default", "nopass")
    await acl(redis_client, "DELUSER", "payments")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("papers"))


async def refused(where: RedisAddress) -> None:
    """As a process asks when it begins."""
    async with client(where, timeout_s=_PATIENCE_S) as opened:
        await refuse_wrong_credentials(opened)


async def test_every_client_comes_in_as_its_user(address: RedisAddress) -> None:
    """One that is asked quickly, one that waits on a stream, and the relay's connection."""
    async with client(address, timeout_s=_PATIENCE_S) as quick, blocking_client(address) as waiting:
        await quick.set("payments:key", "value")
        assert await waiting.get("payments:key") == b"value"
    single = connection(address, client_name="tests")
    await single.connect()  # type: ignore[no-untyped-call]  # left bare
    await single.send_command("ACL", "WHOAMI")
    assert await single.read_response() == b"payments"
    await single.disconnect()


@pytest.mark.parametrize(
    ("user", "password"), [("", "hunter2"), ("payments", "wrong"), ("nobody", "hunter2"), ("", "")]
)
async def test_who_is_not_known_is_refused(address: RedisAddress, user: str, password: str) -> None:
    with pytest.raises(AuthenticationError) as told:
        await refused(replace(address, user=user, password=password))
    assert isinstance(told.value, REFUSED)


async def test_what_a_user_may_not_do_is_told(address: RedisAddress) -> None:
    async with client(address, timeout_s=_PATIENCE_S) as opened:
        with pytest.raises(NoPermissionError):
            await opened.get("others:key")


async def test_a_password_that_changes_later_is_a_server_that_is_away(
    address: RedisAddress, redis_client: Redis
) -> None:
    """Redis saves work: without it we go on, and with it again once the password is right."""
    await acl(redis_client, "SETUSER", "payments", "resetpass", ">rolled")
    async with client(address, timeout_s=_PATIENCE_S) as opened:
        with pytest.raises(AWAY):
            await opened.ping()
        await acl(redis_client, "SETUSER", "payments", ">hunter2")
        assert await opened.ping()


async def test_tls_and_a_client_certificate(address: RedisAddress, authority: Authority) -> None:
    """Shown to a server whose certificate has its name, by an authority of ours."""
    ours = authority.issue("payments")
    context = context_of(authority.issue("server", "localhost"), authority.authority)
    async with tls_front((address.host, address.port), context) as port:
        tls = Tls(authority.authority, ours.certificate, ours.key)
        where = replace(address, host="localhost", port=port, tls=tls)
        assert where.url == f"rediss://localhost:{port}"
        await refused(where)
        async with client(where, timeout_s=_PATIENCE_S) as opened:
            assert await opened.ping()
        async with client(replace(where, tls=Tls(authority.authority))) as nobody:
            with pytest.raises(AWAY):
                await nobody.ping()


@pytest.mark.parametrize("name", ["unknown", "elsewhere.example", "expired"])
async def test_a_certificate_that_proves_nothing_is_refused(
    address: RedisAddress, authority: Authority, tmp_path: Path, name: str
) -> None:
    """Waiting would not mend it, and to go on would tell a stranger the password."""
    host = name if name == "elsewhere.example" else "localhost"
    paper = authority.issue("shown", host, is_expired=name == "expired")
    believed = Authority(tmp_path) if name == "unknown" else authority
    async with tls_front((address.host, address.port), context_of(paper)) as port:
        tls = Tls(believed.authority)
        with pytest.raises(REFUSED, match="CERTIFICATE_VERIFY_FAILED"):
            await refused(replace(address, host="localhost", port=port, tls=tls))


async def test_tls_where_there_is_none_is_told_from_nobody(
    address: RedisAddress, authority: Authority
) -> None:
    """And the reverse; who takes connections and ends them is away, whatever we speak."""
    with pytest.raises(REFUSED, match="does not speak TLS"):
        await refused(replace(address, tls=Tls(authority.authority)))
    behind = (address.host, address.port)
    async with tls_front(behind, context_of(authority.issue("server", "localhost"))) as port:
        with pytest.raises(REFUSED, match="told to do without"):
            await refused(replace(address, host="localhost", port=port))

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as nobody:
        port = nobody.sockets[0].getsockname()[1]
        for tls in (None, Tls(authority.authority)):
            await refused(replace(address, port=port, tls=tls))


@asynccontextmanager
async def server(directory: Path, *options: str) -> AsyncIterator[int]:
    """A Valkey of the test's own, with these options."""
    port = free_port()
    directory.mkdir()
    program = await valkey.prepare(directory, port, log=directory / "log", durable=False)
    program = replace(program, command=(*program.command, *options))
    async with running(program):
        yield port


async def test_sentinels_say_where_the_master_is_now(tmp_path: Path) -> None:
    """After a failover the same client writes to another server, and nobody was told."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(server(tmp_path / "first"))
        replicating = ("--replicaof", f"127.0.0.1 {first}")
        second = await stack.enter_async_context(server(tmp_path / "second", *replicating))
        third = free_port()
        configuration = tmp_path / "sentinel.conf"
        configuration.write_text(
            f"port {third}\nbind 127.0.0.1\ndir {tmp_path}\n"
            f"sentinel monitor books 127.0.0.1 {first} 1\n"
            "sentinel down-after-milliseconds books 60000\n"
        )
        program = await valkey.prepare(tmp_path, third, log=tmp_path / "log", durable=False)
        command = (program.command[0], str(configuration), "--sentinel")
        await stack.enter_async_context(running(replace(program, command=command)))
        known = Sentinels((("127.0.0.1", 1), ("127.0.0.1", third)), "books")
        where = RedisAddress("nowhere.example", 1, sentinels=known)
        opened = await stack.enter_async_context(client(where, timeout_s=_PATIENCE_S))
        asked = RedisAddress("127.0.0.1", third)
        sentinel = await stack.enter_async_context(client(asked, timeout_s=_PATIENCE_S))
        await opened.set("key", "before")
        assert await _port(opened) == first
        single = connection(where, client_name="tests")
        await single.connect()  # type: ignore[no-untyped-call]  # left bare
        assert single.port == first
        await single.disconnect()
        await eventually(lambda: _fail_over(sentinel))

        async def is_written_to_the_other() -> bool:
            try:
                await opened.set("key", "after")
            except AWAY:
                return False
            return await _port(opened) == second

        await eventually(is_written_to_the_other, within=30)
        unknown = replace(where, sentinels=replace(known, master="ledgers"))
        async with client(unknown, timeout_s=_PATIENCE_S) as lost:
            with pytest.raises(AWAY, match="knows no master ledgers"):
                await lost.ping()


async def _fail_over(sentinel: Redis) -> bool:
    """Once it knows of a replica that is good for it."""
    try:
        await sentinel.sentinel_failover("books")
    except AWAY:
        return False
    return True


async def _port(opened: Redis) -> int:
    return int((await opened.info("server"))["tcp_port"])
