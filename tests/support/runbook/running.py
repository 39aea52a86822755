"""Runs a command of the documents against a platform, as whoever reads them would."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from click.testing import CliRunner

from cli.__main__ import main
from local.program import CODE
from tests.support.runbook.commands import is_named_only, words_of
from tests.support.runbook.filled import filling_of
from tests.support.waiting import in_time

if TYPE_CHECKING:
    from tests.support.alerts.place import Place

# These have a platform of their own, and tests of their own in tests/integration/cli/test_run.py.
_OF_A_RUN: Final = ("run", "status", "demo", "failover")
_IN_STATEMENTS: Final = {"(...)": "('payments.events')", "(PID)": "(0)"}
_SYSTEM: Final = "ALTER SYSTEM SET "
_CHANGES: Final = re.compile(r"pg_terminate_backend|pg_drop|pg_reload|^(ALTER|UPDATE|DELETE)")
# Until Ctrl-C.
_ENDLESS: Final = ("tail", "lag --watch", "webhooks listen")
_CHUNK: Final = 4_096


async def run(place: Place, command: str) -> None:
    """It ends well; what has no end is interrupted, and ends well then."""
    async with filling_of(command)(place) as filled:
        for placeholder, value in filled.items():
            command = command.replace(placeholder, value)
        words = words_of(command)
        if is_named_only(words) or words[0] in _OF_A_RUN:
            words = [*words, "--help"]
        if command.startswith(_ENDLESS):
            # Some say nothing until something happens.
            async with place.clients.at_work():
                await _interrupted(place, words)
        else:
            # In a thread: the command has an event loop of its own.
            runner = CliRunner(env=place.platform.environment())
            ended = await asyncio.to_thread(runner.invoke, main, words)
            assert ended.exit_code == 0, (words, ended.output, ended.exception)


async def say(place: Place, statement: str) -> None:
    """A query is answered; what changes something is prepared, and no more."""
    for placeholder, value in _IN_STATEMENTS.items():
        statement = statement.replace(placeholder, value)
    for each in filter(None, (part.strip() for part in statement.split(";"))):
        if each.startswith(_SYSTEM):
            # Only a superuser may: the server knows the setting.
            name = each.removeprefix(_SYSTEM).split()[0]
            assert await place.admin.fetchval("SELECT current_setting($1)", name)
        elif _CHANGES.search(each):
            await place.admin.prepare(each)
        else:
            await place.admin.fetch(each)


async def _interrupted(place: Place, words: list[str]) -> None:
    """In a terminal, where what is shown is shown at once."""
    ours, its = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", *words),
        cwd=CODE,
        env=place.platform.environment(),
        stdin=its,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    try:
        async with in_time(30):
            said = await asyncio.to_thread(os.read, ours, _CHUNK)
            process.send_signal(signal.SIGINT)
            said += await asyncio.to_thread(_rest, ours)
            assert await process.wait() == 0, said.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)


def _rest(terminal: int) -> bytes:
    """What is said until nobody has the terminal any more."""
    said = b""
    with suppress(OSError):
        while chunk := os.read(terminal, _CHUNK):
            said += chunk
    return said
