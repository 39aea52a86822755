"""What operators ask of a running relay: pause, resume, rebuild, replay, retry, skip.

Each is a row of `relay_commands`, written by `payments relay`, done once and in order by whoever
has the sink, and kept with its actor, its reason and what became of it. While the relay is paused
nothing is done but to resume it: whatever else is asked for publishes, and waits for that.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from topics.relay.failures import RebuildAsked
from topics.relay.pause import Pause, told
from topics.relay.publisher import Publisher
from topics.relay.recovery import next_page, position_of
from topics.relay.sinks.sink import Session
from topics.relay.slot import Claim, Command, Key, Postgres
from topics.relay.watermark import Transaction

# Of each second; the rest is for what else is to be looked at.
_REPLAYS_FOR_SECONDS: Final = 0.5
_LOOK_AGAIN_SECONDS: Final = 0.01
_NOT_THE_FIRST: Final = "no message of that id is the first of its key that is set aside"


@dataclass(slots=True)
class _Replay:
    """One that is under way: what lies behind `behind` and up to `until` is still to be sent."""

    command: Command
    until: int
    behind: int = 0
    sent: int = 0
    rows_max: int = field(default_factory=lambda: next_page([]))
    page: Transaction | None = None


@dataclass(kw_only=True)
class Commands:
    """Those of one stream, but for its pause."""

    postgres: Postgres
    claim: Claim
    topics: frozenset[str]
    session: Session
    publisher: Publisher
    pause: Pause
    _replay: _Replay | None = field(default=None, init=False)

    async def obey(self) -> None:
        """Do what was asked meanwhile. Raises `RebuildAsked`, which begins the stream again."""
        for command in await self.postgres.commands(self.claim.sink):
            if await self.pause.is_asked(command) or not self.pause.running.is_set():
                continue
            if command.topic not in {None, *self.topics}:
                outcome = f"{self.claim.sink} does not carry {command.topic}"
                await told(self.postgres, command, outcome)
                continue
            if command.command == "rebuild":
                await self.postgres.strike_topic(self.claim.sink, command.topic)
                await self.postgres.command_done(command, "began to compare")
                raise RebuildAsked(f"{command.topic or 'everything'} is compared with the table")
            if command.command == "replay":
                self._replay = self._replay or _Replay(
                    command, await self.postgres.drawn_position()
                )
            else:
                await told(self.postgres, command, await self._done(command))
        if self._replay is None or not self.pause.running.is_set():
            return
        if await self._is_sent(self._replay):
            outcome = f"sent {self._replay.sent} messages again"
            await told(self.postgres, self._replay.command, outcome)
            self._replay = None

    async def _done(self, command: Command) -> str:
        match command.command:
            case "retry":
                return await self._release(command, is_skipped=False)
            case "skip":
                return await self._release(command, is_skipped=True)
            case unknown:
                return f"this release does not know {unknown}"

    async def _is_sent(self, replay: _Replay) -> bool:
        """Send more rows of the table once more, as they were, in the order of their positions.

        For a moment only: what the sink refuses of them is set aside by whoever looks next.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + _REPLAYS_FOR_SECONDS
        while loop.time() < until:
            if replay.page is not None and replay.page.pending:
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
                continue
            page = await self.postgres.replay_page(
                replay.command, self.topics, replay.behind, replay.until, replay.rows_max
            )
            if not page:
                return True
            replay.page = self.publisher.send_again(self.session, page)
            replay.sent += len(page)
            replay.behind, replay.rows_max = position_of(page[-1]), next_page(page)
        return False

    async def _release(self, command: Command, *, is_skipped: bool) -> str:
        found = await self.postgres.set_aside_message(self.claim.sink, command.message_id or "")
        if found is None:
            return _NOT_THE_FIRST
        if is_skipped:
            await self.postgres.forget_set_aside(self.claim.sink, [found.id])
        self.pause.aside.release(Key.of(found))
        return "skipped, and what waited behind it is sent" if is_skipped else "sent again"
