"""Who issues tokens to those it knows, unsigned: the broker of the tests believes everybody."""

from __future__ import annotations

import base64
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

ID: Final = "us"
# What a form, a URL and a header each have words of their own for.
SECRET: Final = "s&ü:cret"

# As RFC 6749 has it: each encoded as in a form, then both as in a header.
_US: Final = "Basic " + base64.b64encode(b"us:s%26%C3%BC%3Acret").decode()


def unsigned(user: str, lifetime_s: float = 300) -> str:
    now = int(time.time())
    claims = {"sub": user, "iat": now, "exp": now + int(lifetime_s)}
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    encoded = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts]
    return ".".join((*encoded, ""))


@dataclass(slots=True)
class Issuer:
    """What it was asked, and for how long what it says is a token; seconds."""

    url: str = ""
    lifetime_s: float = 300
    asked: list[Mapping[str, str]] = field(default_factory=list)

    async def issue(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked.append({name: str(value) for name, value in form.items()})
        if request.headers["Authorization"] != _US:
            return web.json_response({"error": "invalid_client"}, status=401)
        issued = {"access_token": unsigned("relay"), "expires_in": self.lifetime_s}
        return web.json_response({**issued, "token_type": "Bearer"})


@asynccontextmanager
async def issuer() -> AsyncIterator[Issuer]:
    made, app = Issuer(), web.Application()
    app.router.add_post("/token", made.issue)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
        yield made
    finally:
        await runner.cleanup()
