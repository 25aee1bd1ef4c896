"""The console's pages for agents and chats in Chromium: by mouse, by keyboard, and for those who see it otherwise."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Page, expect

from harness.browser import Watched, watched_page
from harness.callers import Caller, newcomer
from harness.identities import PASSWORD
from harness.pages import ChatPage, address, built, home, tab_to
from harness.visitors import Chat, build

ECHO = "scripted?echo=1"
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 400, "height": 780}


@asynccontextmanager
async def console(browser: Browser, builder: Caller, path: str, **context: Any) -> AsyncIterator[Watched]:
    """That page of the console, as the builder."""
    async with watched_page(browser, **{"viewport": DESKTOP, **context}) as seen:
        await seen.page.goto(str(builder.client.base_url).removesuffix("/api/") + "/console" + path)
        await sign_in(seen.page, builder)
        yield seen


async def sign_in(page: Page, builder: Caller) -> None:
    await page.locator("input[autocomplete=username]").fill(builder.username)
    await page.locator("input[type=password]").fill(PASSWORD)
    await page.locator("input[type=password]").press("Enter")
    await expect(page.locator(".side")).to_be_attached()
    await expect(page.get_by_role("main").get_by_role("heading", level=1)).to_be_visible()


async def visited(chat: Chat, text: str) -> None:
    visitor = await chat.visitor(referrer="https://shop.example/maps")
    await visitor.answer(text)


async def test_a_chat_from_its_agent_to_what_a_visitor_said(browser: Browser, owner: Caller) -> None:
    builder = await newcomer(owner, "somebody with nothing yet")
    allowed = ["clipboard-read", "clipboard-write"]
    async with console(browser, builder, "/agents", permissions=allowed) as seen:
        page = seen.page
        await expect(page.get_by_role("heading", name="There is no agent yet")).to_be_visible()
        assert await seen.barriers() == []
        await page.get_by_role("link", name="New agent").click()
        await page.get_by_label("Name").fill("Guide")
        await page.get_by_label("Model", exact=True).fill(ECHO)
        await page.get_by_role("group", name="Tools").get_by_role("checkbox").first.check()
        await page.get_by_role("button", name="Create agent").click()
        await expect(page.get_by_role("heading", name="Guide", exact=True)).to_be_visible()
        trial = ChatPage(page.get_by_role("region", name="Try it"))
        assert len((await builder.made("GET", "/agents"))["items"][0]["tools"]) == 1
        await trial.say("Can you hear me?")
        await expect(trial.answers).to_contain_text("Can you hear me?")
        await seen.picture("builder-agent")
        await page.reload()
        await expect(page.get_by_role("heading", name="Guide", exact=True)).to_be_visible()
        await builder.until("/threads", lambda listed: listed["total"] == 0)

        await page.get_by_role("link", name="Make a chat of it").click()
        dialog = page.get_by_role("dialog", name="New chat")
        await dialog.get_by_label("Name").fill("Книжный shop")
        await expect(dialog.get_by_label("Address")).to_have_value("knizhnyy-shop")
        await expect(dialog.get_by_label("Agent")).to_contain_text("Guide")
        await seen.picture("builder-create")
        await dialog.get_by_role("button", name="Create chat").click()
        await _brand_and_publish(page)
        await seen.picture("builder-branding")

        await page.get_by_role("button", name="Embed").click()
        link = page.get_by_role("region", name="Link to the page")
        await link.get_by_role("button", name="Copy").click()
        await expect(link.get_by_role("status")).to_have_text("Copied")
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert copied == str(builder.client.base_url).removesuffix("/api/") + "/c/knizhnyy-shop"
        await expect(page.get_by_role("region", name="Widget")).to_contain_text("/widget/knizhnyy-shop.js")
        assert await seen.barriers() == []
        await seen.picture("builder-embed")
        await page.get_by_role("dialog").get_by_role("button", name="Close").click()

        visitor = ChatPage(await page.context.new_page())
        await visitor.page.goto(copied)
        await expect(visitor.page.get_by_role("heading", name="Ask the bookshop")).to_be_visible()
        await visitor.say("Have you got maps?")
        await expect(visitor.answers).to_contain_text("Have you got maps?")
        await visitor.page.close()

        await _read_and_end(seen)
        assert _unexpected(seen) == []


async def _brand_and_publish(page: Page) -> None:
    preview = page.get_by_role("region", name="Preview of the chat")
    await page.get_by_label("Title").fill("Ask the bookshop")
    await expect(preview.get_by_role("heading", name="Ask the bookshop")).to_be_visible()
    await page.get_by_label("Colour of buttons and links", exact=True).fill("#7c2d12")
    await expect(preview.locator(".page-icon").first).to_have_css("background-color", "rgb(124, 45, 18)")
    await expect(page.get_by_role("status").get_by_text("Not saved yet")).to_be_visible()
    await page.get_by_role("button", name="Publish").click()
    await expect(page.get_by_text("It is public now.")).to_be_visible()
    await expect(page.get_by_text("Published", exact=True)).to_be_visible()


async def _read_and_end(seen: Watched) -> None:
    page = seen.page
    await page.get_by_role("link", name="Conversations", exact=True).click()
    await page.get_by_role("row").get_by_role("link", name="Unknown").click()
    said = ChatPage(page)
    await expect(said.questions).to_contain_text("Have you got maps?")
    await expect(said.answers).to_contain_text("Have you got maps?")
    assert await seen.barriers() == []
    await seen.picture("builder-transcript")
    await page.get_by_role("button", name="End", exact=True).click()
    await page.get_by_role("alertdialog").get_by_role("button", name="End", exact=True).click()
    await expect(page.get_by_role("status").get_by_text("Ended")).to_be_visible()
    await page.get_by_role("link", name="Conversations", exact=True).click()
    await page.get_by_label("State").select_option("Active")
    await expect(page.get_by_text("There are none in this state.")).to_be_visible()
    await page.get_by_label("State").select_option("Ended")
    await page.get_by_role("row").get_by_role("link", name="Unknown").click()
    await page.get_by_role("button", name="Erase").click()
    await page.get_by_role("alertdialog").get_by_role("button", name="Erase").click()
    await expect(page.get_by_text("Nobody has talked here yet.")).to_be_visible()


async def test_a_chat_is_made_and_changed_by_keyboard_alone(browser: Browser, owner: Caller) -> None:
    there = await build(owner, agent={"name": "Guide", "model": ECHO})
    taken = there.interface["slug"]
    async with console(browser, owner, "/interfaces") as seen:
        page, keys = seen.page, seen.page.keyboard
        await page.get_by_role("button", name="New chat").focus()
        await keys.press("Enter")
        dialog = page.get_by_role("dialog", name="New chat")
        await expect(dialog.get_by_label("Name")).to_be_focused()
        await keys.type("By hand")
        await keys.press("Tab")
        await expect(dialog.get_by_label("Address")).to_be_focused()
        await keys.type(taken)
        await keys.press("Enter")
        await expect(dialog.get_by_text("This address is taken already.")).to_be_visible()
        await expect(dialog.get_by_label("Address")).to_be_focused()
        await expect(dialog.get_by_label("Address")).to_have_accessible_description(re.compile("taken already"))
        assert await seen.barriers() == []
        await keys.press("Control+a")
        await keys.type(f"{taken}-two")
        await keys.press("Enter")

        first = page.get_by_role("tab", name="Branding")
        await tab_to(page, first)
        await keys.press("ArrowLeft")
        await expect(page.get_by_role("tab", name="Limits")).to_be_focused()
        await tab_to(page, page.get_by_label("Sites that may use it"))
        await keys.type("https://shop.example\nnot a site")
        await page.get_by_role("tab", name="Limits").focus()
        await keys.press("Home")
        await expect(first).to_be_focused()
        await tab_to(page, page.get_by_role("button", name="Save"))
        await keys.press("Enter")
        await expect(page.get_by_text("Number 2: an origin is a scheme and a host")).to_be_visible()
        await expect(page.get_by_label("Sites that may use it")).to_be_focused()
        assert await seen.barriers() == []
        await seen.picture("builder-refused")

        await page.get_by_role("link", name="Figures").press("Enter")
        leaving = page.get_by_role("alertdialog", name="Leave without saving?")
        await expect(leaving.get_by_role("button", name="Stay here")).to_be_focused()
        await keys.press("Escape")
        await expect(page.get_by_label("Sites that may use it")).to_have_value("https://shop.example\nnot a site")
        await page.get_by_label("Sites that may use it").fill("https://shop.example")
        await keys.press("Tab")
        await tab_to(page, page.get_by_role("button", name="Save"))
        await keys.press("Enter")
        await expect(page.get_by_role("status").get_by_text("Saved", exact=True)).to_be_visible()
        listed = (await owner.made("GET", "/chat-interfaces"))["items"]
        assert listed[0]["allowedOrigins"] == ["https://shop.example"]
        assert _unexpected(seen, "409", "422") == []


async def test_what_is_not_saved_outlives_a_sign_in_and_a_reload(browser: Browser, owner: Caller) -> None:
    builder = await newcomer(owner, "somebody who signs out")
    chat = await build(builder, agent={"name": "Guide", "model": ECHO}, title="Before")
    async with console(browser, builder, f"/interfaces/{chat.interface['id']}") as seen:
        page = seen.page
        await page.get_by_label("Title").fill("Half a thought")
        await expect(page.get_by_text("Not saved yet")).to_be_visible()
        page.on("dialog", lambda dialog: dialog.accept())
        await page.get_by_role("button", name="Sign out").click()
        await sign_in(page, builder)
        await page.goto(f"{home(chat)}/console/interfaces/{chat.interface['id']}")
        await expect(page.get_by_label("Title")).to_have_value("Half a thought")
        await page.reload()
        await expect(page.get_by_label("Title")).to_have_value("Half a thought")
        await expect(page.get_by_text("Here is what you had not saved.")).to_be_visible()
        await page.get_by_role("button", name="Undo changes").click()
        await expect(page.get_by_label("Title")).to_have_value("Before")
        await page.get_by_role("tab", name="Visits").click()
        await page.get_by_role("button", name="New secret").click()
        await expect(page.get_by_role("region", name="Secret")).to_contain_text("ident_")
        picture = {"name": "icon.png", "mimeType": "image/png", "buffer": PNG}
        await page.get_by_role("tab", name="Branding").click()
        await page.locator("input[type=file][data-kind=icon]").set_input_files(picture)
        await expect(page.get_by_text("Uploaded, and shown already.")).to_be_visible()
        shown = page.get_by_role("region", name="Preview of the chat").locator("img.page-face")
        await expect(shown).to_have_js_property("naturalWidth", 1)
        assert _unexpected(seen, "dialog") == []


async def test_a_chat_is_copied_closed_and_deleted_and_its_agent_after_it(browser: Browser, owner: Caller) -> None:
    agent = {"name": "Short lived", "model": ECHO}
    chat = await build(owner, agent=agent, name="Stall", title="Stall")
    async with console(browser, owner, f"/interfaces/{chat.interface['id']}", viewport=PHONE) as seen:
        page = seen.page
        sure = page.get_by_role("alertdialog")
        await page.get_by_role("button", name="Take offline").click()
        await expect(sure).to_contain_text("Their conversations stay")
        await sure.get_by_role("button", name="Take offline").click()
        await expect(page.get_by_text("It is a draft again.")).to_be_visible()
        assert (await owner.client.get(address(chat))).status_code == 404
        await seen.picture("builder-phone")
        await page.get_by_role("button", name="Duplicate").click()
        await expect(page.get_by_role("heading", name="Copy of Stall")).to_be_visible()
        await page.get_by_role("button", name="Delete").click()
        await sure.get_by_role("button", name="Cancel").click()
        await expect(sure).to_be_hidden()
        await page.get_by_role("button", name="Delete").click()
        await sure.get_by_role("button", name="Delete").click()
        await expect(page.get_by_role("link", name="Stall", exact=True)).to_be_visible()
        await expect(page.get_by_role("link", name="Copy of Stall")).to_have_count(0)
        await page.get_by_role("button", name="Menu").click()
        await page.get_by_role("link", name="Agents").click()
        await page.get_by_role("link", name="Short lived").click()
        await page.get_by_label("Temperature").fill("7")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_label("Temperature")).to_have_accessible_description(re.compile("At most 2"))
        await page.get_by_role("button", name="Delete").click()
        await sure.get_by_role("button", name="Delete").click()
        await expect(page.get_by_role("heading", name="Agents")).to_be_visible()
        await expect(page.get_by_role("link", name="Short lived")).to_have_count(0)
        assert _unexpected(seen, "422") == []


async def test_every_page_can_be_used_by_anybody(browser: Browser, owner: Caller) -> None:
    agent = {"name": "Night guide", "model": ECHO}
    chat = await build(owner, agent=agent, name="Shop", title="Ask the bookshop", widgetButtonText="Ask")
    await visited(chat, "Where are the maps?")
    dark: Any = {"color_scheme": "dark"}
    path = f"/interfaces/{chat.interface['id']}"
    async with console(browser, owner, f"{path}/analytics", **dark) as seen:
        page = seen.page
        await expect(page.get_by_role("img", name="Most of them, 1")).to_be_visible()
        await page.get_by_text("As a table").click()
        await expect(page.get_by_role("row", name=re.compile(r"^\d+ 1$"))).to_be_visible()
        await expect(page.get_by_role("row", name="https://shop.example/maps 1")).to_be_visible()
        assert await seen.barriers() == []
        await seen.picture("builder-figures-dark")
        for link, shown in (("Conversations", "Unknown"), ("Settings", "Branding")):
            await page.get_by_role("link", name=link, exact=True).click()
            await expect(page.get_by_text(shown).first).to_be_visible()
            assert await seen.barriers() == []
        for tab in ("Chat", "Files", "Visits", "Widget", "Limits"):
            await page.get_by_role("tab", name=tab).click()
            await expect(page.get_by_role("tabpanel", name=tab)).to_be_visible()
        assert await seen.barriers() == []
        await page.goto(address(chat).replace(f"/c/{chat.interface['slug']}", f"/chat-{path[1:]}/preview"))
        await page.get_by_role("tab", name="Widget").click()
        widget = ChatPage(page.get_by_role("region", name="Preview of the chat"))
        await widget.page.get_by_role("button", name="Ask").click()
        await widget.say("From the preview")
        await expect(widget.answers).to_contain_text("From the preview")
        await expect(widget.send_button).to_be_visible()
        assert await seen.barriers() == []
        await seen.picture("builder-widget-dark")
        await page.get_by_role("tab", name="Frame").click()
        await expect(widget.answers).to_contain_text("From the preview")
        await page.get_by_role("tab", name="Full page").click()
        await expect(widget.answers).to_contain_text("From the preview")
        await page.get_by_role("link", name="Agents").click()
        await page.get_by_role("link", name="Night guide").click()
        await expect(page.get_by_role("region", name="Try it")).to_be_visible()
        assert await seen.barriers() == []
        assert _unexpected(seen) == []


async def test_it_speaks_russian(browser: Browser, owner: Caller) -> None:
    chat = await built(owner, ECHO, name="Лавка", locale="ru")
    async with console(browser, owner, f"/interfaces/{chat.interface['id']}", locale="ru-RU") as seen:
        await expect(seen.page.get_by_role("tab", name="Ограничения")).to_be_visible()
        await expect(seen.page.get_by_role("button", name="Снять с публикации")).to_be_visible()
        assert await seen.barriers() == []
        await seen.picture("builder-russian")


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c63f8cfc0f01f0005000201a3b5c5a30000000049454e44ae426082"
)


def _unexpected(seen: Watched, *expected: str) -> list[str]:
    known = ("the server responded with a status of 401", *expected)
    return [each for each in seen.complaints if not any(part in each for part in known)]
