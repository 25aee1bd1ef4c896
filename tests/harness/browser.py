"""Debian's Chromium under test, and what a page in it did that it should not: errors, and requests to others."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, async_playwright, expect

EXECUTABLE = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SECONDS = 60  # for whatever is waited for: machines are slow at times
PICTURES = Path(__file__).parents[2] / "build" / "screenshots"
# What fades in or out has half its contrast on the way.
_SETTLED = """() => Promise.allSettled(
    document.getAnimations().filter((each) => each.effect.getComputedTiming().endTime < 10_000)
        .map((each) => each.finished))"""
_AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """With a profile of its own, which is thrown away."""
    expect.set_options(timeout=SECONDS * 1000)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=EXECUTABLE, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


class Watched:
    """A page and all that it asked for and complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def _heard(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def strangers(self, *known: str) -> list[str]:
        """What was asked of others than these origins."""
        return [url for url in self.requests if origin(url) not in known and not url.startswith(("data:", "blob:"))]

    async def picture(self, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=PICTURES / f"{name}.png")

    async def barriers(self) -> list[str]:
        """What axe-core finds wrong for people who see, hear or move otherwise."""
        context: Any = self.page
        await self.page.evaluate(_SETTLED)
        await self.page.evaluate(_AXE.read_text())
        found = await context.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        return [f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in found["violations"]]


class FedStream:
    """The stream of a public chat's page in the hands of a test; all else of the page is as it is."""

    SCRIPT = """
        const real = window.fetch;
        const state = (window.__fed = { controller: null, waiting: "" });
        const encoder = new TextEncoder();
        window.__feed = (text) => {
          if (state.controller) state.controller.enqueue(encoder.encode(text));
          else state.waiting += text;
        };
        window.fetch = (url, init) => {
          if (!String(url).includes("/stream")) return real(url, init);
          const body = new ReadableStream({
            start(controller) {
              state.controller = controller;
              if (state.waiting) controller.enqueue(encoder.encode(state.waiting));
            },
          });
          return Promise.resolve(new Response(body, { headers: { "Content-Type": "text/event-stream" } }));
        };
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._count = 0

    async def open(self) -> None:
        await self._page.add_init_script(self.SCRIPT)

    async def feed(self, *events: tuple[str, dict[str, Any]]) -> None:
        frames = []
        for name, data in events:
            self._count += 1
            frames.append(f"id: {self._count}\nevent: {name}\ndata: {json.dumps(data)}\n\n")
        await self._page.evaluate("(text) => window.__feed(text)", "".join(frames))

    async def answer(self, text: str, number: int = 1, **more: Any) -> None:
        """A whole answer of its own."""
        names = {"executionId": f"e{number}", "messageId": f"m{number}"}
        await self.feed(("token", {**names, "token": text}), *ending(number, text, **more))


def ending(number: int, text: str, **more: Any) -> list[tuple[str, dict[str, Any]]]:
    names = {"executionId": f"e{number}", "messageId": f"m{number}"}
    empty: dict[str, Any] = {"attachments": [], "toolCalls": [], "citations": []}
    said = {"id": f"m{number}", "role": "assistant", "content": text, "status": "completed", **empty, **more}
    return [
        ("message", {"executionId": names["executionId"], "timestamp": "2026-03-01T12:00:00Z", **said}),
        ("execution_completed", {**names, "status": "completed"}),
    ]


async def until(holds: Callable[[], bool], *, seconds: float = SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  the browser tells nobody when
            await asyncio.sleep(0.02)


def origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@asynccontextmanager
async def watched_page(browser: Browser, **context: Any) -> AsyncIterator[Watched]:
    """In a browser profile of its own."""
    profile = await browser.new_context(**context)
    profile.set_default_timeout(SECONDS * 1000)
    try:
        yield Watched(await profile.new_page())
    finally:
        await profile.close()
