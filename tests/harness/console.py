"""The console as somebody who signs in to it sees it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Page, expect

from harness.browser import Watched, watched_page
from harness.callers import Caller
from harness.identities import PASSWORD


def address(caller: Caller, path: str = "") -> str:
    return f"{str(caller.client.base_url).removesuffix('/api/')}/console/{path}"


async def sign_in(page: Page, username: str, *, password: str = PASSWORD) -> None:
    await page.get_by_label("User name").fill(username)
    await page.get_by_label("Password", exact=True).fill(password)
    await page.get_by_role("button", name="Sign in").click()


@asynccontextmanager
async def signed_in(browser: Browser, caller: Caller, path: str = "", **context: Any) -> AsyncIterator[Watched]:
    """A page of the console, in a browser profile of its own."""
    async with watched_page(browser, viewport={"width": 1200, "height": 800}, **context) as seen:
        await seen.page.goto(address(caller, path))
        await sign_in(seen.page, caller.username)
        await expect(seen.page.get_by_role("button", name="Sign out")).to_be_visible()
        yield seen
