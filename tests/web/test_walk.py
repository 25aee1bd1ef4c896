"""The whole way of somebody new, by mouse and by keyboard: from the first account to what a visitor was told."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Locator, Page, expect

from harness import documents
from harness.browser import Watched, watched_page
from harness.host_page import framed, host_page, press
from harness.identities import PASSWORD, settings_for, with_files
from harness.model_stub import ModelStub
from harness.pages import ChatPage, tab_to
from harness.served import served

PDF = {"name": "guide.pdf", "mimeType": "application/pdf", "buffer": documents.pdf()}
QUESTION = "What does the quick brown fox do?"
SHOP = """<!doctype html><html lang="en"><title>Books and maps</title><style>body { font: 1rem/1.5 sans-serif }</style>
<body><main><h1>Books and maps</h1><p>Open every day from nine to six.</p></main>
SNIPPET"""


@dataclass(frozen=True)
class Hand:
    """How somebody uses a page. Everything is reached by pointing at it, or everything with the tab key."""

    name: str
    is_mouse: bool

    async def use(self, page: Page, goal: Locator, key: str = "Enter") -> None:
        """A button, a link, a tab; a box to be ticked with the key Space."""
        if self.is_mouse:
            await goal.click()
        else:
            await tab_to(page, goal)
            await page.keyboard.press(key)

    async def write(self, page: Page, goal: Locator, text: str) -> None:
        await (goal.click() if self.is_mouse else tab_to(page, goal))
        await page.keyboard.press("Control+a")
        await page.keyboard.type(text)

    async def open_widget(self, page: Page) -> ChatPage:
        await page.wait_for_function("() => window.frontdesk")
        if self.is_mouse:
            await press(page)
        else:
            await tab_to(page, page.locator("frontdesk-widget"))
            await page.keyboard.press("Enter")
        return await framed(page)


MOUSE, KEYBOARD = Hand("mouse", is_mouse=True), Hand("keyboard", is_mouse=False)


@pytest.fixture
async def client(sqlite_url: str, model_stub: ModelStub, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A server that nobody has an account of."""
    chosen = settings_for(
        sqlite_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        **with_files(tmp_path),
    )
    async with served(chosen) as opened:
        yield opened


@pytest.mark.parametrize("hand", [MOUSE, KEYBOARD], ids=lambda hand: hand.name)
async def test_from_the_first_account_to_what_a_visitor_was_told(
    browser: Browser, client: httpx.AsyncClient, model_stub: ModelStub, hand: Hand
) -> None:
    origin = str(client.base_url).removesuffix("/api/")
    key = f"walk-{hand.name}"
    view = {"width": 1280, "height": 860}
    allowed = ["clipboard-read", "clipboard-write"]
    async with watched_page(browser, viewport=view, permissions=allowed) as seen:
        await seen.page.goto(origin)
        await _sign_up(seen, hand)
        await _make_an_agent(seen, hand, f"scripted?echo=1&stall_at=6&key={key}")
        snippet = await _make_a_chat(seen, hand)
        async with host_page(SHOP.replace("SNIPPET", snippet)) as site, watched_page(browser, viewport=view) as visitor:
            await visitor.page.goto(site)
            await _bring_and_ask(visitor, hand)
            await visitor.page.reload()
            chat = await hand.open_widget(visitor.page)
            await expect(chat.answers).to_contain_text("What does the")
            await model_stub.go_on(key)
            await _read_the_answer(visitor, hand, chat)
            assert visitor.complaints == []
            assert visitor.strangers(site, origin) == []
        await _read_the_transcript(seen, hand)
        assert [each for each in seen.complaints if "status of 401" not in each] == []
        assert seen.strangers(origin) == []


async def _picture(seen: Watched, hand: Hand, name: str) -> None:
    """Of the walk by mouse: the other looks the same."""
    assert await seen.barriers() == []
    if hand.is_mouse:
        await seen.picture(f"walk-{name}")


async def _sign_up(seen: Watched, hand: Hand) -> None:
    page = seen.page
    await hand.write(page, page.get_by_label("User name"), "ada")
    await hand.write(page, page.get_by_label("Password", exact=True), PASSWORD)
    await hand.write(page, page.get_by_label("Password, again"), PASSWORD)
    await _picture(seen, hand, "1-account")
    await hand.use(page, page.get_by_role("button", name="Create account"))
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()


async def _make_an_agent(seen: Watched, hand: Hand, model: str) -> None:
    page = seen.page
    await hand.use(page, page.get_by_role("link", name="Agents"))
    await hand.use(page, page.get_by_role("link", name="New agent"))
    await hand.write(page, page.get_by_label("Name"), "Guide")
    await hand.write(page, page.get_by_label("Model", exact=True), model)
    await hand.write(page, page.get_by_label("Instructions"), "You help the customers of a shop for books and maps.")
    await _picture(seen, hand, "2-agent")
    await hand.use(page, page.get_by_role("button", name="Create agent"))
    await expect(page.get_by_role("heading", name="Guide", exact=True)).to_be_visible()


async def _make_a_chat(seen: Watched, hand: Hand) -> str:
    """The line that stands in the clipboard."""
    page = seen.page
    await hand.use(page, page.get_by_role("link", name="Make a chat of it"))
    dialog = page.get_by_role("dialog", name="New chat")
    await hand.write(page, dialog.get_by_label("Name"), "Bookshop")
    await hand.use(page, dialog.get_by_role("button", name="Create chat"))
    await hand.write(page, page.get_by_label("Title"), "Ask the bookshop")
    await hand.write(page, page.get_by_label("Colour of buttons and links", exact=True), "#7c2d12")
    await _picture(seen, hand, "3-chat")
    if hand.is_mouse:
        await page.get_by_role("tab", name="Files").click()
    else:  # tabs are one stop of the tab key, and gone through with arrows
        await page.keyboard.press("Control+Home")
        await tab_to(page, page.get_by_role("tab", name="Branding"))
        for _ in range(2):
            await page.keyboard.press("ArrowRight")
    await hand.use(page, page.get_by_label("Visitors may bring files and links"), "Space")
    await hand.use(page, page.get_by_role("button", name="Publish"))
    await expect(page.get_by_text("It is public now.")).to_be_visible()
    await hand.use(page, page.get_by_role("button", name="Embed"))
    widget = page.get_by_role("region", name="Widget")
    await hand.use(page, widget.get_by_role("button", name="Copy"))
    await expect(widget.get_by_role("status")).to_have_text("Copied")
    await _picture(seen, hand, "4-embed")
    snippet = str(await page.evaluate("navigator.clipboard.readText()"))
    await hand.use(page, page.get_by_role("dialog").get_by_role("button", name="Close"))
    return snippet


async def _bring_and_ask(visitor: Watched, hand: Hand) -> None:
    page = visitor.page
    chat = await hand.open_widget(page)
    async with page.expect_file_chooser() as opened:
        await hand.use(page, chat.page.get_by_role("button", name="Attach files"))
    await (await opened.value).set_files([PDF])  # type: ignore[list-item]
    await expect(chat.page.get_by_role("listitem").filter(has_text="guide.pdf")).to_have_attribute(
        "data-state", "ready"
    )
    await hand.write(page, chat.field, QUESTION)
    await page.keyboard.press("Enter")
    await expect(chat.answers).to_contain_text("What does the")
    await _picture(visitor, hand, "5-visitor")


async def _read_the_answer(visitor: Watched, hand: Hand, chat: ChatPage) -> None:
    sources = chat.answers.get_by_text("source")
    await expect(sources.first).to_be_visible()
    assert (await chat.answers.inner_text()).count(QUESTION) == 1
    await expect(chat.questions.get_by_role("link", name="guide.pdf")).to_be_visible()
    await hand.use(visitor.page, sources.first)
    cited = chat.answers.get_by_role("listitem").filter(has_text="guide.pdf, page 1")
    await expect(cited.locator("blockquote")).to_contain_text("The quick brown fox jumps over the lazy dog.")
    await _picture(visitor, hand, "6-source")


async def _read_the_transcript(seen: Watched, hand: Hand) -> None:
    page = seen.page
    await hand.use(page, page.get_by_role("link", name="Conversations", exact=True))
    await hand.use(page, page.get_by_role("row").get_by_role("link", name="Unknown"))
    said = ChatPage(page)
    await expect(said.questions).to_contain_text(QUESTION)
    await expect(said.questions.get_by_role("link", name="guide.pdf")).to_be_visible()
    await expect(said.answers).to_contain_text(QUESTION)
    await expect(said.answers.get_by_text("source").first).to_be_visible()
    await _picture(seen, hand, "7-transcript")
