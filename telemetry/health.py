"""How a process says how it is: one answer on whichever port it is asked, with what it found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final, TypeAlias

from pydantic import BaseModel, ConfigDict

_FROZEN: Final = ConfigDict(frozen=True)


class CheckStatus(StrEnum):
    """How something a process needs is doing."""

    OK = "ok"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


class CheckResponse(BaseModel):
    """One thing a process needs. `degraded` means: done without."""

    model_config = _FROZEN

    status: CheckStatus
    seconds: float
    detail: str | None = None


class HealthResponse(BaseModel):
    """Whether a process can do its work, and how it knows.

    Unavailable without any checks: it has not begun yet, has paused itself, or is to stop.
    """

    model_config = _FROZEN

    status: CheckStatus
    checks: dict[str, CheckResponse] = {}

    @property
    def http_status(self) -> int:
        """503 keeps requests away."""
        return 503 if self.status is CheckStatus.UNAVAILABLE else 200


OK: Final = HealthResponse(status=CheckStatus.OK)
UNAVAILABLE: Final = HealthResponse(status=CheckStatus.UNAVAILABLE)

# Answers within a second, whatever hangs.
AskHealth: TypeAlias = Callable[[], Awaitable[HealthResponse]]


def told(is_ready: Callable[[], bool]) -> AskHealth:
    """For a process to which nobody leads requests: that it has begun is what it says."""

    async def ask() -> HealthResponse:
        return OK if is_ready() else UNAVAILABLE

    return ask
