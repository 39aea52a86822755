"""Tells whoever asks how this worker finds its providers: it writes so, again and again.

A worker that says nothing any more is dead, and what it said last is forgotten. Nothing waits
for the writing: while Postgres is away the states are what they are, and are told afterwards.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from store.pool import AWAY
from store.write.provider_states import withdraw_provider_states, write_provider_states

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Coroutine

    import asyncpg

    from payments.provider_state import ProviderCondition
    from providers.health import Health

log = structlog.get_logger()

# A change is told within a second; what does not change every five, twelve times before it is
# forgotten.
_LOOK_EVERY_S: Final = 1.0
_LOOKS_PER_BEAT: Final = 5
_WITHIN_S: Final = 2.0


@dataclass(slots=True)
class ProviderStates:
    """What the `worker` of a `stage` says of its providers, through `pool`."""

    pool: asyncpg.Pool[asyncpg.Record]
    stage: str
    worker: str
    healths: Collection[Health]
    _told: list[ProviderCondition] = field(default_factory=list)
    _is_away: bool = False

    @asynccontextmanager
    async def told(self) -> AsyncIterator[None]:
        """Tell while the context is open, and take it back when it is left."""
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(self._tell(), name="provider-states")
            try:
                yield
            finally:
                telling.cancel()
        await self._done(withdraw_provider_states(self.pool, self.stage, self.worker))

    async def _tell(self) -> None:
        looks = 0
        while True:
            now = [each.condition() for each in self.healths]
            if now != self._told or looks >= _LOOKS_PER_BEAT:
                if await self._done(write_provider_states(self.pool, self.stage, self.worker, now)):
                    self._told = now
                looks = 0
            looks += 1
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _done(self, writing: Coroutine[object, object, None]) -> bool:
        try:
            async with asyncio.timeout(_WITHIN_S):
                await writing
        except AWAY as error:
            if not self._is_away:
                log.warning("how providers are is told to nobody", error=repr(error))
            self._is_away = True
            return False
        self._is_away = False
        return True
