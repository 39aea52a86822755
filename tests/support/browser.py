"""A real browser over pages: the machine's Chromium, and axe-core to judge what it shows.

A page is looked at as a whole: what its console says, what it asks others for, whether it can be
used with a keyboard and a screen reader, and whether it fits a phone.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.async_api import async_playwright

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, ViewportSize

# A busy machine takes its time to begin a browser, and nothing here is about how long.
_PATIENCE_MS: Final = 60_000
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
DESK: Final[ViewportSize] = {"width": 1280, "height": 860}
# What a build keeps; in no repository.
PICTURES: Final = Path(os.environ.get("PAYMENTS_PICTURES", "build/pictures"))
_STILL: Final = (
    "Promise.allSettled(document.getAnimations().map(each => each.finished)).then(() => null)"
)
_AXE: Final = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations
    .filter((each) => ["serious", "critical"].includes(each.impact))
    .map((each) => `${each.id}: ${each.nodes.map((node) => node.html).slice(0, 3).join(" | ")}`);
}"""
_WIDER: Final = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def chromium() -> str | None:
    """Where the machine's Chromium is, if it has one."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@dataclass
class Watched:
    """A page, and all that it should not have said or asked for."""

    page: Page
    address: str
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", self._request)

    async def open(self, path: str) -> None:
        await self.page.goto(self.address + path)

    async def judge(self, name: str) -> None:
        """Fail for what is wrong with the page as it is now; keep a picture of it."""
        await self.page.set_viewport_size(PHONE)
        wider = await self.page.evaluate(_WIDER)
        await self.picture(f"{name}-phone")
        assert wider <= 0, f"{name} is {wider} pixels wider than a phone"
        await self.page.set_viewport_size(DESK)
        await self.picture(name)
        await self.page.evaluate(_axe_source())
        assert await self.page.evaluate(_AXE) == [], name
        await self.page.emulate_media(color_scheme="dark")
        # On their way from light to dark colours have no contrast.
        await self.page.evaluate(_STILL)
        await self.picture(f"{name}-dark")
        assert await self.page.evaluate(_AXE) == [], f"{name}, dark"
        await self.page.emulate_media(color_scheme="light")
        assert self.said == [], name
        assert self.asked == [], name

    async def picture(self, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.said.append(message.text)

    def _request(self, request: Request) -> None:
        if not request.url.startswith(self.address):
            self.asked.append(request.url)


@asynccontextmanager
async def browsing(address: str) -> AsyncIterator[Watched]:
    """A page of a new browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        context: BrowserContext = await browser.new_context(viewport=DESK)
        context.set_default_timeout(_PATIENCE_MS)
        watched = Watched(await context.new_page(), address)
        watched.listen()
        try:
            yield watched
        finally:
            await browser.close()


def _axe_source() -> str:
    return files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")
