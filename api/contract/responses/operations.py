"""How the service itself is doing: its health, and how far behind its stages are."""

# The annotations are what pydantic reads at run time.
from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, GetJsonSchemaHandler, RootModel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

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

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The report's fields: a schema that only names another is no type to some generators."""
        report = handler.resolve_ref_schema(handler(core_schema))
        return {**report, "title": cls.__name__, "description": cls.__doc__}
