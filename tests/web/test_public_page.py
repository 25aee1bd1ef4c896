from playwright.async_api import Browser, expect

from harness.browser import watched_page
from harness.visitors import Chat, build

ECHO = {"model": "scripted?echo=1"}


def address(chat: Chat, kind: str = "c") -> str:
    return f"{str(chat.owner.client.base_url).removesuffix('/api/')}/{kind}/{chat.interface['slug']}"


async def test_a_visitor_chats(browser: Browser, chat: Chat) -> None:
    bookshop = await build(
        chat.owner,
        agent={"model": "scripted?tokens=40&pause_ms=30"},
        title="Ask the bookshop",
        description="We answer at any hour.",
        welcomeMessage="**What** are you looking for?",
        suggestedPrompts=[{"text": "Have you got maps?"}],
    )
    async with watched_page(browser, viewport={"width": 1000, "height": 760}) as seen:
        page = seen.page
        answer = page.get_by_role("article", name="Assistant")
        await page.goto(address(bookshop))
        await expect(page.get_by_role("heading", name="Ask the bookshop")).to_be_visible()
        await seen.picture("page-welcome")
        await page.get_by_role("button", name="Have you got maps?").click()
        await expect(answer.get_by_text("t3 ")).to_be_visible()
        await seen.picture("page-streaming")
        await expect(answer.get_by_text("t39")).to_be_visible()
        await expect(page.get_by_role("button", name="Send")).to_be_visible()
        await seen.picture("page-answered")
        assert await seen.barriers() == []
        assert seen.complaints == []
        assert seen.strangers(address(bookshop).split("/c/")[0]) == []
