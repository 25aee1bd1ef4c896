"""A chat's page as somebody sees it."""

from typing import Any

from playwright.async_api import Locator, Page, expect

from harness.visitors import Chat, build

MOST_TABS = 80


class ChatPage:
    def __init__(self, page: Any) -> None:
        """`page` may be a frame's locator, too."""
        self.page = page

    @property
    def field(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message")

    @property
    def answers(self) -> Locator:
        return self.page.get_by_role("article", name="Assistant")

    @property
    def questions(self) -> Locator:
        return self.page.get_by_role("article", name="You")

    @property
    def send_button(self) -> Locator:
        return self.page.get_by_role("button", name="Send")

    @property
    def stop_button(self) -> Locator:
        return self.page.get_by_role("button", name="Stop", exact=True)

    async def say(self, text: str) -> None:
        """Once the answer before has ended."""
        await expect(self.send_button).to_be_visible()
        await self.field.fill(text)
        await self.field.press("Enter")


async def tab_to(page: Page, goal: Locator) -> None:
    """With the tab key alone, as somebody without a mouse gets there."""
    await goal.wait_for()
    for _ in range(MOST_TABS):
        if await goal.evaluate("(each) => each === document.activeElement"):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"the tab key never came to {goal}")


async def built(owner: Any, model: str = "scripted?echo=1", **fields: Any) -> Chat:
    """A published chat whose agent's model does what this script says."""
    return await build(owner, agent={"model": model}, **{"title": "Ask the bookshop", **fields})


def held(key: str, tokens: int = 60) -> str:
    """A model that says ten words, and the others when `ModelStub.go_on` is told this key."""
    return f"scripted?tokens={tokens}&stall_at=10&key={key}"


def home(chat: Chat) -> str:
    return str(chat.owner.client.base_url).removesuffix("/api/")


def address(chat: Chat, kind: str = "c") -> str:
    return f"{home(chat)}/{kind}/{chat.interface['slug']}"


async def errors_of(page: Page) -> list[str]:
    """What a payload would have left behind."""
    return list(await page.evaluate("() => (window.__hit ? ['a script ran'] : [])"))
