"""A Postgres that lets nobody in without TLS: both drivers come in, or refuse it, alike.

The wheel's Postgres has no TLS: a front of the test's own speaks it, as Postgres does.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from process.addresses import DatabaseAddress, SslMode, Tls
from store.pool import AWAY, REFUSED, close, connect, connect_single, long_reading
from tests.support.certificates import Authority
from tests.support.tls_front import context_of, tls_front

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.certificates import Paper


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Paper:
    return authority.issue("server", "localhost")


@asynccontextmanager
async def secured(
    database: DatabaseAddress, paper: Paper, clients: Path | None = None
) -> AsyncIterator[DatabaseAddress]:
    """The database behind TLS."""
    behind = (database.host, database.port)
    async with tls_front(behind, context_of(paper, clients), asked_first=True) as port:
        yield replace(database, host="localhost", port=port)


async def enter(address: DatabaseAddress) -> None:
    """As the relay does, and as everybody else."""
    async with await psycopg.AsyncConnection.connect(address.conninfo("tests")) as libpq:
        await libpq.execute("SELECT 1")
    pool = await connect(address, application_name="tests", size=1)
    try:
        assert await pool.fetchval("SELECT 1") == 1
    finally:
        await close(pool)
    async with long_reading(address, application_name="tests") as reading:
        assert await reading.fetchval("SELECT 1") == 1


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
async def test_a_server_with_tls_is_entered_by_every_mode_that_has_it(
    database: DatabaseAddress, authority: Authority, server: Paper, mode: SslMode
) -> None:
    tls = Tls(authority.authority) if mode.startswith("verify") else Tls()
    async with secured(database, server) as address:
        await enter(replace(address, sslmode=mode, tls=tls))


async def test_a_client_certificate_is_shown_where_it_is_asked_for(
    database: DatabaseAddress, authority: Authority, server: Paper
) -> None:
    """And without one nobody comes in: what Postgres itself would say, the front does not."""
    paper = authority.issue("payments")
    paper.key.chmod(0o600)  # libpq takes no other
    ours = Tls(authority.authority, paper.certificate, paper.key)
    async with secured(database, server, authority.authority) as address:
        await enter(replace(address, sslmode="verify-full", tls=ours))
        nobody = replace(address, sslmode="verify-full", tls=Tls(authority.authority))
        with pytest.raises(AWAY):
            await connect_single(nobody, application_name="tests")


@dataclass(frozen=True)
class Doubt:
    """A certificate's name, and how it is looked at."""

    name: str
    mode: SslMode
    said: str
    is_trusted: bool = True


@pytest.mark.parametrize(
    "doubt",
    [
        Doubt("localhost", "verify-full", "unable to get local issuer", is_trusted=False),
        Doubt("localhost", "verify-ca", "unable to get local issuer", is_trusted=False),
        Doubt("localhost", "require", "unable to get local issuer", is_trusted=False),
        Doubt("elsewhere.example", "verify-full", "not valid for 'localhost'"),
        Doubt("expired", "verify-ca", "certificate has expired"),
    ],
    ids=lambda doubt: f"{doubt.name}-{doubt.mode}",
)
async def test_a_certificate_that_proves_nothing_is_refused_by_both_drivers(
    database: DatabaseAddress, authority: Authority, tmp_path: Path, doubt: Doubt
) -> None:
    """`require` with an authority is as strict as verify-ca, as libpq has it."""
    believed = authority if doubt.is_trusted else Authority(tmp_path)
    paper = authority.issue("shown", doubt.name, is_expired=doubt.name == "expired")
    async with secured(database, paper) as address:
        doubtful = replace(address, sslmode=doubt.mode, tls=Tls(believed.authority))
        with pytest.raises(REFUSED, match=doubt.said):
            await connect_single(doubtful, application_name="tests")
        with pytest.raises(psycopg.OperationalError, match="certificate"):
            await psycopg.AsyncConnection.connect(doubtful.conninfo("tests"))


async def test_a_server_without_tls_is_refused_where_tls_is_required(
    database: DatabaseAddress,
) -> None:
    """It is no server that is away."""
    required = replace(database, sslmode="require")
    with pytest.raises(REFUSED, match="does not speak TLS"):
        await connect_single(required, application_name="tests")
    with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
        await psycopg.AsyncConnection.connect(required.conninfo("tests"))


async def test_a_server_that_wants_tls_is_refused_where_it_is_disabled(
    database: DatabaseAddress, server: Paper
) -> None:
    """It hangs up on whoever does not ask for it, as one does that is away."""
    async with secured(database, server) as address:
        with pytest.raises(REFUSED, match="wants TLS"):
            await connect_single(replace(address, sslmode="disable"), application_name="tests")


async def test_neither_driver_is_led_by_the_environment(
    database: DatabaseAddress, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever somebody set for psql, or has at home."""
    misleading = {
        "PGHOSTADDR": "192.0.2.1",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/no/such/file",
        "PGPASSWORD": "wrong",
        "PGPASSFILE": str(tmp_path / "pgpass"),
        "PGTARGETSESSIONATTRS": "standby",
        "PGSSLNEGOTIATION": "direct",
        "PGGSSENCMODE": "require",
    }
    for name, value in misleading.items():
        monkeypatch.setenv(name, value)
    await enter(replace(database, sslmode="disable"))
