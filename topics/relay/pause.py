"""Whether an operator has the relay publish nothing: written down, and so over restarts, too.

It holds for all that a stream publishes: what the WAL brings, what fills a gap, what was set
aside and is released. While it is paused its place is kept, and whoever resumes it is heard.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog
from prometheus_client import Gauge

from topics.relay.set_aside import SetAside
from topics.relay.slot import Claim, Command, Postgres

log = structlog.get_logger()

_LOOK_AGAIN_SECONDS: Final = 1.0


@dataclass(kw_only=True)
class Pause:
    """That of one stream: `running` is set unless it is paused, as `gauge` shows."""

    postgres: Postgres
    claim: Claim
    aside: SetAside
    gauge: Gauge
    running: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        """As the last command left it."""
        self._let(is_running=not self.claim.is_paused)

    async def look(self) -> None:
        """Do what was asked before anything is published."""
        for command in await self.postgres.commands(self.claim.sink):
            await self.is_asked(command)

    async def passed(self) -> None:
        """Return once something may be published."""
        await self.look()
        while not self.running.is_set():
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            await self.postgres.note_seen(self.claim)
            await self.look()

    async def is_asked(self, command: Command) -> bool:
        """Whether it is to pause or to resume; then it is done."""
        match command.command:
            case "pause" | "resume" as wanted:
                is_paused = wanted == "pause"
                await self.postgres.pause(self.claim.sink, is_paused=is_paused)
                self._let(is_running=not is_paused)
                outcome = "publishes nothing" if is_paused else "publishes"
                await told(self.postgres, command, outcome)
                return True
            case _:
                return False

    def _let(self, *, is_running: bool) -> None:
        self.gauge.set(not is_running)
        self.aside.is_sending = is_running
        if is_running:
            self.running.set()
        else:
            self.running.clear()


async def told(postgres: Postgres, command: Command, outcome: str) -> None:
    """Write down what became of it."""
    log.info("did as an operator asked", command=command.command, outcome=outcome)
    await postgres.command_done(command, outcome)
