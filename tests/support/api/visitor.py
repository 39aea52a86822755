"""A browser without a screen: keeps its cookie, reads a page's forms and sends them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final

import aiohttp

if TYPE_CHECKING:
    from tests.support.api.ingress import Ingress

_HELD: Final = frozenset({"input", "textarea", "select"})


@dataclass
class Form:
    """A form of a page, and what stands in it."""

    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    """The forms, texts and addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag == "form":
            self.forms.append(Form(said.get("method") or "get", said.get("action") or ""))
        if tag in _HELD and self.forms and (name := said.get("name")):
            self.forms[-1].fields[name] = said.get("value") or ""
        if tag == "a" and (address := said.get("href")):
            self.links.append(address)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@dataclass(frozen=True)
class Seen:
    """A page as it was answered."""

    status: int
    headers: Mapping[str, str]
    html: str

    @property
    def _parsed(self) -> _Forms:
        parsed = _Forms()
        parsed.feed(self.html)
        return parsed

    @property
    def text(self) -> str:
        """What a reader sees, without its spaces."""
        return " ".join(" ".join(self._parsed.texts).split())

    @property
    def links(self) -> list[str]:
        return self._parsed.links

    @property
    def form(self) -> Form:
        """The form in the page's own part, that is sent."""
        return [each for each in self._parsed.forms if each.method == "post"][-1]


@dataclass
class Visitor:
    """One browser at one ingress."""

    http: aiohttp.ClientSession
    address: str

    async def look(self, path: str, **headers: str) -> Seen:
        """A page, without following where it leads."""
        return await self._asked("GET", path, None, headers)

    async def follow(self, seen: Seen) -> Seen:
        """Where an answer leads."""
        return await self.look(seen.headers["Location"])

    async def send(self, path: str, fields: Mapping[str, str], **headers: str) -> Seen:
        """A form, as it is given."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return await self._asked("POST", path, fields, named)

    async def fill(self, path: str, **fields: str) -> Seen:
        """The form at an address, filled in and sent."""
        seen = await self.look(path)
        assert seen.status == 200, seen.text
        return await self.send(seen.form.action or path, {**seen.form.fields, **fields})

    async def sign_in(self, key: str) -> Seen:
        return await self.fill("/console/sign-in", api_key=key)

    async def _asked(
        self, method: str, path: str, fields: Mapping[str, str] | None, headers: Mapping[str, str]
    ) -> Seen:
        async with self.http.request(
            method, self.address + path, data=fields, headers=headers, allow_redirects=False
        ) as answer:
            return Seen(answer.status, answer.headers.copy(), await answer.text())


@asynccontextmanager
async def visiting(ingress: Ingress) -> AsyncIterator[Visitor]:
    """A browser that has been nowhere yet."""
    jar = aiohttp.CookieJar(unsafe=True)  # it is an address that the ingress has, and no name
    async with aiohttp.ClientSession(cookie_jar=jar) as http:
        yield Visitor(http, ingress.client.address)
