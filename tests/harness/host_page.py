"""Somebody else's page, with a widget on it. It is at another site than the gateway: `localhost`, not 127.0.0.1."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from playwright.async_api import Page, expect

from harness.browser import until
from harness.pages import ChatPage


@asynccontextmanager
async def host_page(html: str, *, policy: str | None = None, port: int = 0) -> AsyncIterator[str]:
    """Its address, which ends without a slash."""

    async def answer(_request: web.Request) -> web.Response:
        headers = {} if policy is None else {"Content-Security-Policy": policy}
        return web.Response(text=html, content_type="text/html", headers=headers)

    site = web.Application()
    site.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(site)
    await runner.setup()
    with socket.create_server(("127.0.0.1", port)) as listening:
        await web.SockSite(runner, listening).start()
        try:
            yield f"http://localhost:{listening.getsockname()[1]}"
        finally:
            await runner.cleanup()


async def press(page: Page) -> None:
    """On the bubble, as a hand does: its shadow root is closed to scripts, and to tests."""
    box = await page.locator("frontdesk-widget").bounding_box()
    assert box is not None
    await page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


async def framed(page: Page) -> ChatPage:
    """The chat in the widget's frame."""
    await until(lambda: len(page.frames) > 1)
    chat = ChatPage(page.frames[1])
    await expect(chat.field).to_be_visible()
    return chat
