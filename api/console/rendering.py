"""The console's templates and files, read once: every value is escaped, none may be missing.

Pages load nothing but this server's own files, have no script or style within them, and are
nobody's to frame.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from aiohttp import web
from jinja2 import Environment, FunctionLoader, StrictUndefined

from api.console import words

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from importlib.resources.abc import Traversable

HTML_HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_DIGEST_LENGTH: Final = 12


@dataclass(frozen=True, slots=True)
class File:
    """A file of the pages; `digest` is part of its address, so that browsers may keep it."""

    body: bytes
    content_type: str
    digest: str


class Console:
    """What all pages are made of; `doings` names what may have been done."""

    def __init__(self, doings: Collection[str] = ()) -> None:
        room = files("api.console")
        self.files: Mapping[str, File] = {
            each.name: _file(each) for each in room.joinpath("static").iterdir()
        }
        templates = {each.name: each for each in room.joinpath("templates").iterdir()}
        self._environment = Environment(
            autoescape=True,
            undefined=StrictUndefined,
            loader=FunctionLoader(lambda name: templates[name].read_text("utf-8")),
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(words.FILTERS)
        self._environment.globals["address_of"] = self.address_of
        self._environment.globals["doings"] = doings

    def page(self, template: str, **context: object) -> bytes:
        """A page. Raises jinja2's UndefinedError for what the context lacks."""
        return self._environment.get_template(template).render(**context).encode()

    def address_of(self, name: str) -> str:
        """Where a file is served, as it is now."""
        return f"/console/static/{self.files[name].digest}/{name}"


CONSOLE: Final = web.AppKey("console", Console)


def _file(source: Traversable) -> File:
    body = source.read_bytes()
    digest = hashlib.sha256(body).hexdigest()[:_DIGEST_LENGTH]
    return File(body, _TYPES[source.name.rsplit(".", 1)[-1]], digest)
