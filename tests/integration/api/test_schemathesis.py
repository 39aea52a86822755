"""The OpenAPI document, which Schemathesis tries to prove wrong on a running ingress.

Every check there is, with a real key, on a database that has payments in every state and
stages that go on settling new ones; `schemathesis_hooks.py` argues what is let pass.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from api.access.rate_limits import Limit
from local.program import CODE
from store.pool import long_reading
from tests.support.api.ingress import Ingress, Options, running
from tests.support.api.stage import settling
from tests.support.factories import TENANT
from tests.support.verify.world import live
from verify.database import read_baseline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from process.addresses import DatabaseAddress, RedisAddress

_HOOKS: Final = Path(__file__).parents[2] / "support" / "api" / "schemathesis_hooks.py"
# Of 88: enough to know that stories get beyond their first account.
_LINKS_COVERED_MIN: Final = 5
# Every answer says what is left of a limit, and nobody comes near it.
_LIMITS: Final = {name: Limit(1e6, 10**6) for name in ("read", "write", "account")}


@pytest.fixture
async def inhabited(
    pool: asyncpg.Pool[asyncpg.Record], redis_address: RedisAddress
) -> AsyncIterator[Ingress]:
    """An ingress with keys and limits, whose tenant has payments in every state."""
    async with running(pool, redis_address, Options(keys=True, limits=_LIMITS)) as ingress:
        await live(ingress.committer)
        async with settling(ingress.committer, pool):
            yield ingress


async def _tried(ingress: Ingress, directory: Path, *arguments: str) -> str:
    """What `schemathesis run` says, which found nothing."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--no-color", "run"),
        f"{ingress.client.address}/openapi.json",
        *("--header", f"Authorization: Bearer {await ingress.key(TENANT)}"),
        *("--checks", "all", "--continue-on-failure", *arguments),
        cwd=directory,
        env=os.environ | {"SCHEMATHESIS_HOOKS": str(_HOOKS), "PYTHONPATH": str(CODE)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, said
    return said


def _covered_links(said: str) -> int:
    found = re.search(r"API Links: +(\d+) covered", said)
    assert found, said
    return int(found[1])


def _server_errors(ingress: Ingress) -> float:
    return sum(
        sample.value
        for family in ingress.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "payments_http_requests_total" and sample.labels["status"] == "5xx"
    )


async def _unsound(database: DatabaseAddress) -> list[str]:
    """What `payments verify` would say."""
    async with long_reading(database, application_name="payments-verify") as connection:
        found = await read_baseline(connection, outbox_retention_s=86_400)
    return [
        f"{result.invariant}: {each.subject} {each.problem}"
        for result in found.results
        for each in result.violations
    ]


async def test_the_document_is_true(
    inhabited: Ingress, database: DatabaseAddress, tmp_path: Path
) -> None:
    """Some 1,500 requests: none is answered otherwise than documented, none with a 5xx.

    The seed is fixed, so that what fails for one fails for all.
    """
    phases = ("--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "1")
    await _tried(inhabited, tmp_path, *phases)
    assert _server_errors(inhabited) == 0
    assert await _unsound(database) == []


async def test_its_links_lead_from_an_account_to_its_payments(
    inhabited: Ingress, database: DatabaseAddress, tmp_path: Path
) -> None:
    """Stories along the links, each request made of the answers before it, are as documented."""
    phases = ("--phases", "stateful", "--max-examples", "100", "--seed", "1")
    said = await _tried(inhabited, tmp_path, *phases)
    assert _covered_links(said) >= _LINKS_COVERED_MIN, said
    assert _server_errors(inhabited) == 0
    assert await _unsound(database) == []


@pytest.mark.long
async def test_the_document_is_true_at_length(
    inhabited: Ingress, database: DatabaseAddress, tmp_path: Path
) -> None:
    """The same for five minutes, with other requests every time; a failure names its seed."""
    said = await _tried(inhabited, tmp_path, "--max-time", "300")
    assert _covered_links(said) >= _LINKS_COVERED_MIN, said
    assert _server_errors(inhabited) == 0
    assert await _unsound(database) == []
