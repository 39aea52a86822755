"""The consumer made of curl, in docs/examples, does what it says."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from local.program import CODE
from tests.support.api.ingress import Ingress

if TYPE_CHECKING:
    from pathlib import Path


async def test_the_feed_of_curl_goes_on_where_it_was(guarded: Ingress, tmp_path: Path) -> None:
    """Each event once, in order; what a cursor's events became is said by its end."""
    key = await guarded.key("acme", "payments:read")
    client = await guarded.tenant("acme")
    account = await client.account()
    paid: list[str] = []
    for count in (2, 0, 1):
        new = [(await client.pay(account, "7.50")).text("id") for _ in range(count)]
        assert await _ran(guarded, key, tmp_path) == (
            0,
            [f"payment.created 1 {each} 7.50" for each in new],
        )
        paid += new
    (tmp_path / "cursor").write_text("x" * 22)
    code, (said,) = await _ran(guarded, key, tmp_path)
    assert (code, "invalid_request" in said) == (1, True)


async def _ran(ingress: Ingress, key: str, folder: Path) -> tuple[int | None, list[str]]:
    """Its exit code and its lines."""
    process = await asyncio.create_subprocess_exec(
        *(str(CODE / "docs/examples/feed.sh"), "once"),
        cwd=folder,
        env=os.environ | {"API": ingress.client.address, "KEY": key, "no_proxy": "127.0.0.1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(30):
        said, _ = await process.communicate()
    return process.returncode, [line for line in said.decode().splitlines() if "curl:" not in line]
