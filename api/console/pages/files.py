"""The pages' own style sheet, script and icon, under addresses that change with what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Everyone
from api.console.page import page
from api.console.rendering import CONSOLE
from api.http.problems import NOT_FOUND, Problem
from store.write.group_commit import Answer

if TYPE_CHECKING:
    from api.console.visit import Visit

_KEEP: Final = {"Cache-Control": "public, max-age=31536000, immutable"}


async def get_console_file(visit: Visit) -> Answer:
    named = visit.request.match_info
    found = visit.request.app[CONSOLE].files.get(named["name"])
    if found is None or found.digest != named["digest"]:
        raise Problem(NOT_FOUND, "no file of the console has this address")
    headers = {"Content-Type": found.content_type, "ETag": f'"{found.digest}"', **_KEEP}
    return Answer(200, headers, found.body)


PAGES: Final = (
    page(
        "/console/static/{digest}/{name}",
        get_console_file,
        Everyone.EVERYONE,
        "A style sheet, script or icon of the pages.",
        quiet=True,
    ),
)
