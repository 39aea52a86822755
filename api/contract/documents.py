"""What describes the API to people: made once from the routes, served as it is, without a CDN."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web
from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]  # it ships no types

from api.contract.openapi import document
from api.http.problems import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from api.contract.route import AnyRoute

# Only what this server serves; the page's own styles are inline, and its icons are data.
PAGE_HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
    ),
}
_BUNDLED: Final = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
_OURS: Final = {"start.js": "text/javascript; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page; read when it is asked for, since most processes never are."""

    path: Path
    content_type: str


@dataclass(frozen=True, slots=True)
class Documents:
    """The way in, the OpenAPI document, the page to try it on, and what the problems mean."""

    start: bytes
    openapi: bytes
    page: bytes
    problems: bytes
    assets: Mapping[str, Asset]


DOCUMENTS: Final = web.AppKey("documents", Documents)


def documents_of(routes: Iterable[AnyRoute], providers: Sequence[str]) -> Documents:
    """The documents of these routes, for these providers."""
    ours = Path(str(files("api") / "pages"))
    bundled = {
        name: Asset(Path(str(swagger_ui_path)) / name, kind) for name, kind in _BUNDLED.items()
    }
    return Documents(
        start=(ours / "start.html").read_bytes(),
        openapi=orjson.dumps(document(routes, providers)),
        page=(ours / "index.html").read_bytes(),
        problems=_problems_page((ours / "problems.html").read_text("utf-8")),
        assets=bundled | {name: Asset(ours / name, kind) for name, kind in _OURS.items()},
    )


def _problems_page(template: str) -> bytes:
    rows = "\n".join(
        f'<tr id="{escape(kind.code)}"><td><code>{escape(kind.code)}</code></td>'
        f"<td>{kind.status}</td><td>{escape(kind.title)}</td>"
        f"<td>{'yes' if kind.retryable else 'no'}</td></tr>"
        for kind in KINDS
    )
    return template.replace("<!-- problems -->", rows).encode()
