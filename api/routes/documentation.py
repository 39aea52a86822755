"""The API's own description: a way in, the document, a page to try it on, the problems' meaning."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from api.access.scopes import Everyone
from api.contract.documents import DOCUMENTS, PAGE_HEADERS
from api.contract.route import Route, Success
from api.http.problems import NOT_FOUND, Problem
from store.write.group_commit import Answer

if TYPE_CHECKING:
    from api.handling.call import Call


async def get_start(call: Call) -> Answer:
    return Answer(200, PAGE_HEADERS, call.request.app[DOCUMENTS].start)


async def get_openapi(call: Call) -> Answer:
    document = call.request.app[DOCUMENTS].openapi
    return Answer(200, {"Content-Type": "application/json"}, document)


async def get_documentation(call: Call) -> Answer:
    return Answer(200, PAGE_HEADERS, call.request.app[DOCUMENTS].page)


async def get_problems(call: Call) -> Answer:
    return Answer(200, PAGE_HEADERS, call.request.app[DOCUMENTS].problems)


async def get_asset(call: Call) -> Answer:
    name = call.request.match_info["name"]
    asset = call.request.app[DOCUMENTS].assets.get(name)
    if asset is None:
        raise Problem(NOT_FOUND, "no resource has this address; see /docs")
    body = await asyncio.to_thread(asset.path.read_bytes)
    return Answer(200, {"Content-Type": asset.content_type}, body)


ROUTES: Final = (
    Route(
        method="GET",
        path="/",
        handler=get_start,
        scope=Everyone.EVERYONE,
        summary="Where to go from here.",
        tag="Documentation",
        successes={200: Success("The page.", media_type="text/html")},
        documented=False,
        quiet=True,
    ),
    Route(
        method="GET",
        path="/openapi.json",
        handler=get_openapi,
        scope=Everyone.EVERYONE,
        summary="This document.",
        tag="Documentation",
        successes={200: Success("OpenAPI 3.1.")},
        quiet=True,
    ),
    Route(
        method="GET",
        path="/docs",
        handler=get_documentation,
        scope=Everyone.EVERYONE,
        summary="This document as a page to try the API on.",
        tag="Documentation",
        successes={200: Success("The page.", media_type="text/html")},
        quiet=True,
    ),
    Route(
        method="GET",
        path="/docs/problems",
        handler=get_problems,
        scope=Everyone.EVERYONE,
        summary="What each problem code means.",
        tag="Documentation",
        successes={200: Success("The page.", media_type="text/html")},
        quiet=True,
    ),
    Route(
        method="GET",
        path="/docs/assets/{name}",
        handler=get_asset,
        scope=Everyone.EVERYONE,
        summary="A part of the page.",
        tag="Documentation",
        successes={200: Success("A script or style sheet.", media_type="*/*")},
        documented=False,
        quiet=True,
    ),
)
