"""Files on the public page in Chromium: brought, read, cited, and there again after a reload."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from harness import documents
from harness.browser import watched_page
from harness.callers import Caller, founder
from harness.identities import settings_for, with_files
from harness.model_stub import ModelStub
from harness.pages import ChatPage, address, built, held, home
from harness.served import served

PDF = {"name": "guide.pdf", "mimeType": "application/pdf", "buffer": documents.pdf()}


@pytest.fixture(scope="module")
async def owner(
    module_database_url: str, model_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Caller]:
    folder = tmp_path_factory.mktemp("files")
    chosen = settings_for(
        module_database_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        **with_files(folder),
    )
    async with served(chosen) as client:
        yield await founder(client)


async def choose(page: Page, *files: dict[str, object]) -> None:
    """As with the button, which opens the system's own dialog."""
    async with page.expect_file_chooser() as opened:
        await page.get_by_role("button", name="Attach files").click()
    await (await opened.value).set_files(list(files))  # type: ignore[arg-type]


async def test_a_pdf_is_read_and_cited_and_stays(browser: Browser, owner: Caller) -> None:
    guide = await built(owner, "scripted?echo=1", allowFileUpload=True)
    async with watched_page(browser, viewport={"width": 1000, "height": 760}) as seen:
        page, chat = seen.page, ChatPage(seen.page)
        await page.goto(address(guide))
        await choose(page, PDF)
        await expect(page.get_by_role("listitem").filter(has_text="guide.pdf")).to_have_attribute("data-state", "ready")
        await chat.say("What does the quick brown fox do?")
        await expect(chat.questions.get_by_role("link", name="guide.pdf")).to_be_visible()
        sources = chat.answers.get_by_text("source")
        await expect(sources.first).to_be_visible()
        await page.reload()
        await sources.first.click()
        cited = chat.answers.get_by_role("listitem").filter(has_text="guide.pdf, page 1")
        await expect(cited.locator("blockquote")).to_contain_text("The quick brown fox jumps over the lazy dog.")
        await seen.picture("page-cited")
        assert await seen.barriers() == []
        async with page.expect_download() as fetched:
            await chat.questions.get_by_role("link", name="guide.pdf").click()
        path = await (await fetched.value).path()
        assert await asyncio.to_thread(path.read_bytes) == PDF["buffer"]
        assert seen.complaints == []
        assert seen.strangers(home(guide)) == []


async def test_what_is_refused_says_why_and_the_rest_is_sent(browser: Browser, owner: Caller) -> None:
    guide = await built(owner, held("refused"), allowFileUpload=True, maxFileSizeMb=1)
    async with watched_page(browser) as seen:
        page, chat = seen.page, ChatPage(seen.page)
        await page.goto(address(guide))
        large = {"name": "large.txt", "mimeType": "text/plain", "buffer": b"x" * 1_100_000}
        await choose(page, large, PDF)
        await expect(page.get_by_role("alert").filter(has_text="large.txt")).to_be_visible()
        await expect(page.get_by_role("listitem").filter(has_text="guide.pdf")).to_have_attribute("data-state", "ready")
        await chat.say("Read it")
        await expect(chat.answers.get_by_text("t3 ")).to_be_visible()
        await expect(chat.questions.get_by_role("link")).to_have_count(1)
