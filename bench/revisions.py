"""Other revisions of this repository, each in a worktree and an environment of its own.

They may be old: nothing is taken for granted but that `python -m cli run` starts a platform, that
its HTTP API is the documented one, and which settings name its folder and its ports.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp

from local.program import CODE, Program, free_port, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_REQUIREMENTS: Final = "requirements.txt"
_READY_WITHIN_S: Final = 180.0
_STOP_WITHIN_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class Revision:
    """A tree of sources, and the interpreter that has what they need."""

    name: str
    tree: Path
    python: str


@dataclass(frozen=True, slots=True)
class Platform:
    """One that runs: where its ingress is, whose children its processes are, and its ports."""

    url: str
    pid: int
    database_port: int
    home: Path


OURS: Final = Revision("here", CODE, sys.executable)


@asynccontextmanager
async def checked_out(revision: str, folder: Path) -> AsyncIterator[Revision]:
    """A worktree in the folder, and an environment from its own hashed requirements.

    Our own environment, if those are the same. Raises RuntimeError for what git or pip refuse.
    """
    tree = folder / "tree"
    await _run("git", "worktree", "add", "--detach", str(tree), revision, cwd=CODE)
    try:
        yield Revision(revision, tree, await _environment(tree, folder / "environment"))
    finally:
        await _run("git", "worktree", "remove", "--force", str(tree), cwd=CODE)


async def _environment(tree: Path, folder: Path) -> str:
    needed = tree / _REQUIREMENTS
    if needed.read_bytes() == (CODE / _REQUIREMENTS).read_bytes():
        return sys.executable
    await _run(sys.executable, "-m", "venv", str(folder), cwd=tree)
    python = str(folder / "bin" / "python")
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps")
    await _run(*pip, "--require-hashes", "-r", str(needed), cwd=tree)
    await _run(*pip, "--no-build-isolation", "--editable", str(tree), cwd=tree)
    return python


async def _run(*command: str, cwd: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    printed, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}:\n{printed.decode()[-2000:]}")


@asynccontextmanager
async def started(revision: Revision, home: Path) -> AsyncIterator[Platform]:
    """A whole platform of this revision, in this folder, on free ports. Raises StartError."""
    home.mkdir(exist_ok=True)  # noqa: ASYNC240 - one folder, before anything runs
    ports = {name: free_port() for name in ("SERVER", "DATABASE", "REDIS", "SIMULATOR")}
    url = f"http://127.0.0.1:{ports['SERVER']}"
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("PAYMENTS_")}
    own = {f"PAYMENTS_{name}_PORT": str(port) for name, port in ports.items()}
    program = Program(
        name=f"payments run of {revision.name}",
        command=(revision.python, "-m", "cli", "run"),
        directory=revision.tree,
        log=home / "output",
        address=url,
        is_ready=lambda: _completes(url),
        environment={**theirs, **own, "PAYMENTS_HOME": str(home), "PAYMENTS_ENV_FILE": ""},
    )
    limits = {"ready_within_seconds": _READY_WITHIN_S, "stop_within_seconds": _STOP_WITHIN_S}
    async with running(program, **limits) as process:
        yield Platform(url, process.pid, ports["DATABASE"], home)


async def _completes(url: str) -> bool:
    """Whether a payment is taken to its end: then everything is up that has to be."""
    try:
        async with aiohttp.ClientSession(url) as http, http.get("/health/ready") as answer:
            if not answer.ok:
                return False
        (account,) = await accounts(url, 1)
        body = {
            "payment_type": "external_payment",
            "source_account_id": account,
            "amount": "1.00",
            "currency": "USD",
            "provider": "stripe",
        }
        headers = {"Idempotency-Key": account, "Prefer": "wait=5"}
        async with (
            aiohttp.ClientSession(url) as http,
            http.post("/api/v1/payments", json=body, headers=headers) as answer,
        ):
            return bool((await answer.json()).get("status") == "completed")
    except aiohttp.ClientError:
        return False


async def accounts(url: str, count: int) -> list[str]:
    """Ids of new accounts that no benchmark can empty."""
    body = {"user_id": "bench", "initial_balance": "9000000000.00", "currency": "USD"}
    opened = []
    async with aiohttp.ClientSession(url, raise_for_status=True) as http:
        for _ in range(count):
            async with http.post("/api/v1/accounts", json=body) as answer:
                opened.append(str((await answer.json())["id"]))
    return opened


async def at_rest(url: str, within_s: float) -> None:
    """Return when no payment waits for a provider, as the API has it. Raises TimeoutError."""
    async with asyncio.timeout(within_s), aiohttp.ClientSession(url, raise_for_status=True) as http:
        for status in ("pending", "processing"):
            while await _any(http, status):  # noqa: ASYNC110 - other processes do it
                await asyncio.sleep(0.2)


async def _any(http: aiohttp.ClientSession, status: str) -> bool:
    async with http.get("/api/v1/payments", params={"status": status, "limit": 1}) as answer:
        page = await answer.json()
    return bool(page["data"] or page["next_cursor"])
