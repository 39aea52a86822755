"""How the service itself is doing: its health, and how far behind its stages are."""

# The annotations are what pydantic reads at run time.
from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, RootModel

from api.contract.responses.answers import FROZEN
from lag import StreamsReport


class CheckStatus(StrEnum):
    """How something the ingress needs is doing."""

    OK = "ok"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


class CheckResponse(BaseModel):
    """One thing the ingress needs. `degraded` means: done without."""

    model_config = FROZEN

    status: CheckStatus
    seconds: float
    detail: str | None = None


class HealthResponse(BaseModel):
    """Whether the ingress can do its work, and how it knows."""

    model_config = FROZEN

    status: CheckStatus
    checks: dict[str, CheckResponse] = {}


class StreamsResponse(RootModel[StreamsReport]):
    """Lag of every stage and group, replication slot and stream; null means not known."""
