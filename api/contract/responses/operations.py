"""How the service itself is doing: how far behind its stages are."""

# The annotations are what pydantic reads at run time.
from __future__ import annotations

from pydantic import GetJsonSchemaHandler, RootModel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from lag import StreamsReport


class StreamsResponse(RootModel[StreamsReport]):
    """Lag of every stage and group, replication slot and stream; null means not known."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The report's fields: a schema that only names another is no type to some generators."""
        report = handler.resolve_ref_schema(handler(core_schema))
        return {**report, "title": cls.__name__, "description": cls.__doc__}
