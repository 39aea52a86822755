"""How far behind each stage is, as the lag exporter measured it last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.contract.responses.answers import JSON
from api.contract.responses.operations import StreamsResponse
from api.contract.route import Route, Success
from api.handling.reads import RETRY_SOON
from api.http.problems import UNAVAILABLE, Problem
from store.write.group_commit import Answer

if TYPE_CHECKING:
    from api.handling.call import Call


async def get_streams(call: Call) -> Answer:
    if call.deps.streams is None:
        raise Problem(UNAVAILABLE, "this process does not measure lag", headers=RETRY_SOON)
    return Answer(200, JSON, call.deps.streams().to_json())


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/streams",
        handler=get_streams,
        scope=Scope.OPS,
        summary="Lag of every stage, slot and group, in messages and in seconds.",
        tag="Operations",
        successes={200: Success("What was measured last.", StreamsResponse)},
    ),
)
