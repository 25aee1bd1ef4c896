"""Calls of tools in the console, in Chromium: their state, leave that is asked for, and all of it after a reload."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from playwright.async_api import Browser, expect

from harness.callers import Caller, founder
from harness.console import address, signed_in
from harness.identities import settings_for
from harness.model_stub import ModelStub
from harness.pages import ChatPage
from harness.served import served

TOOLS = """
python:
  - {function: "harness.tool_functions:echo"}
  - {function: "harness.tool_functions:echo", name: pay, requires_approval: true}
"""


@pytest.fixture(scope="module")
async def owner(
    module_database_url: str, model_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Caller]:
    tools = tmp_path_factory.mktemp("tools") / "tools.yaml"
    tools.write_text(TOOLS)
    chosen = settings_for(module_database_url, llm_enabled=True, llm_api_base=model_stub.url, tools_file=str(tools))
    async with served(chosen) as client:
        yield await founder(client)


async def thread(owner: Caller, *calls: str) -> str:
    """With an agent whose model asks for these calls, all at once, and then says what it was told."""
    model = f"scripted?tokens=2&echo=1&calls={quote(';'.join(calls), safe='')}"
    agent = await owner.made("POST", "/agents", json={"name": "Clerk", "model": model, "tools": ["echo", "pay"]})
    made = await owner.made("POST", "/threads", json={"title": "Bills", "metadata": {"agent_id": agent["id"]}})
    return str(made["id"])


async def test_leave_is_asked_for_and_given_in_another_tab(browser: Browser, owner: Caller) -> None:
    made = await thread(owner, 'echo:{"text":"looked up"}', 'pay:{"text":"the bill is paid"}')
    async with signed_in(browser, owner, f"threads/{made}") as seen:
        page, chat = seen.page, ChatPage(seen.page)
        await chat.say("Pay the bill")
        asked = chat.answers.locator(".fd-call").filter(has_text="May pay be used?")
        await expect(asked.locator("pre")).to_contain_text("the bill is paid")
        await expect(chat.answers.locator(".fd-call").filter(has_text="Used echo")).to_be_visible()
        assert await seen.barriers() == []
        await seen.picture("console-approval")
        await page.reload()
        await expect(asked.get_by_role("button", name="Allow", exact=True)).to_be_visible()
        other = ChatPage(await page.context.new_page())
        await other.page.goto(address(owner, f"threads/{made}"))
        await other.answers.get_by_role("button", name="Allow", exact=True).press("Enter")
        for tab in (chat, other):  # what one allowed is allowed in both
            await expect(tab.answers).to_contain_text("Pay the bill looked up the bill is paid")
            await expect(tab.answers.get_by_role("button", name="Allow", exact=True)).to_have_count(0)
            await expect(tab.answers.locator(".fd-call[data-status=completed]")).to_have_count(2)
        await page.reload()
        used = chat.answers.locator(".fd-call[data-status=completed]").filter(has_text="Used pay")
        await used.get_by_text("Details").click()
        await expect(used.locator("pre")).to_contain_text("the bill is paid")
        assert seen.complaints == []


async def test_what_is_not_allowed_is_not_done(browser: Browser, owner: Caller) -> None:
    made = await thread(owner, 'pay:{"text":"paid"}')
    async with signed_in(browser, owner, f"threads/{made}") as seen:
        chat = ChatPage(seen.page)
        await chat.say("Pay")
        await chat.answers.get_by_role("button", name="Do not allow").click()
        await expect(chat.answers.locator(".fd-call[data-status=failed]")).to_have_count(1)
        await expect(chat.answers).to_contain_text("rejected")
        await expect(chat.send_button).to_be_visible()
        assert seen.complaints == []
