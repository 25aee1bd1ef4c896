"""The rest of the console in Chromium: the first account, search, a thread's details and copies, administration."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from harness.browser import Watched, watched_page
from harness.callers import Caller, assert_problem, newcomer
from harness.console import address, signed_in
from harness.identities import PASSWORD, settings_for
from harness.model_stub import ModelStub
from harness.pages import ChatPage
from harness.served import served

MODEL = "scripted?echo=1"


@dataclass(frozen=True)
class Founding:
    """The first administrator, and what was seen while their account was made."""

    caller: Caller
    barriers: list[str]
    trouble: str
    complaints: list[str]


@pytest.fixture(scope="module")
async def client(module_database_url: str, model_stub: ModelStub) -> AsyncIterator[httpx.AsyncClient]:
    """A server without any account. No embedder answers, so search goes by words."""
    chosen = settings_for(
        module_database_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        llm_default_model=MODEL,
        search_enabled=True,
        search_tick_seconds=0.1,
        embedder="openai",
        embedding_api_base="http://127.0.0.1:9/v1",
        VITE_OPENAI_FALLBACK_MODELS="spare-1, spare-2",
    )
    async with served(chosen) as opened:
        yield opened


@pytest.fixture(scope="module")
async def founding(browser: Browser, client: httpx.AsyncClient) -> Founding:
    async with watched_page(browser) as seen:
        page = seen.page
        await page.goto(str(client.base_url).removesuffix("/api/"))
        await page.get_by_label("User name").fill("ada")
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_label("Password, again").fill("something else")
        barriers = await seen.barriers()
        await seen.picture("console-first-run")
        await page.get_by_role("button", name="Create account").click()
        trouble = await page.get_by_role("alert").inner_text()
        await page.get_by_label("Password, again").fill(PASSWORD)
        await page.get_by_role("button", name="Create account").click()
        await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    return Founding(await _caller(client, "ada"), barriers, trouble, seen.complaints)


@pytest.fixture(scope="module")
def admin(founding: Founding) -> Caller:
    return founding.caller


@pytest.fixture(scope="module")
async def olga(admin: Caller) -> Caller:
    return await newcomer(admin, "olga")


async def _caller(client: httpx.AsyncClient, username: str, password: str = PASSWORD) -> Caller:
    pair = await client.post("/auth/login", json={"username": username, "password": password})
    assert pair.status_code == 200, pair.text
    token = {"Authorization": f"Bearer {pair.json()['access_token']}"}
    me = await client.get("/auth/me", headers=token)
    return Caller(client, me.json()["id"], username, token)


async def thread(owner: Caller, title: str, *texts: str) -> str:
    """With an answer to each text."""
    made: str = (await owner.made("POST", "/threads", json={"title": title}))["id"]
    for text in texts:
        await owner.answered(made, text)
    return made


def unexpected(seen: Watched) -> list[str]:
    return [each for each in seen.complaints if "the server responded with a status of" not in each]


async def test_the_first_account_is_made_in_the_console(founding: Founding, browser: Browser) -> None:
    assert founding.barriers == []
    assert "not the same" in founding.trouble
    assert founding.complaints == []
    assert (await founding.caller.made("GET", "/auth/me"))["role"] == "admin"
    async with watched_page(browser) as seen:  # from then on everybody signs in
        await seen.page.goto(address(founding.caller))
        await expect(seen.page.get_by_role("button", name="Sign in")).to_be_visible()
        await expect(seen.page.get_by_label("Password, again")).to_have_count(0)
        await expect(seen.page.get_by_role("button", name="Create account")).to_have_count(0)


async def test_search_finds_what_was_said_and_opens_it_there(olga: Caller, browser: Browser) -> None:
    hostile = "<img src=x onerror=alert(1)> 🗺️ cartographers"
    long = await thread(olga, "Old <b>maps</b>", hostile, *(f"filler number {number}" for number in range(30)))
    await olga.until("/threads", lambda found: found["total"] >= 1)
    async with signed_in(browser, olga) as seen:
        page = seen.page
        await expect(page.get_by_role("textbox", name="Message")).to_be_visible()
        await page.locator("body").press("Control+k")
        await expect(page.get_by_role("searchbox", name="Search in your conversations")).to_be_focused()
        assert await seen.barriers() == []
        await _indexed(page, "cartographer")
        hit = page.get_by_role("link", name="Old <b>maps</b>").filter(has_text="cartographers")
        await expect(hit.locator("mark")).to_have_text("cartographers")
        await expect(hit).to_contain_text("<img src=x onerror=alert(1)>")
        assert await page.locator(".hit img, .hit b").count() == 0
        await expect(page.get_by_role("status").filter(has_text="1 conversation")).to_be_attached()
        assert await seen.barriers() == []
        await seen.picture("console-search")
        await hit.focus()
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/threads/{long}?message=*")
        found = page.locator("[data-marked]")  # far above the end, where a thread opens otherwise
        await expect(found).to_contain_text("cartographers")
        await expect(found).to_be_in_viewport()
        await expect(found).to_be_focused()
        assert await found.get_attribute("data-key") == page.url.rpartition("=")[2]
        await page.go_back()
        await expect(hit).to_be_visible()
        assert unexpected(seen) == []


async def _indexed(page: Page, word: str) -> None:
    """Asks until it is found: an index follows what is said."""
    await page.get_by_role("searchbox").fill(word)
    for _ in range(200):
        async with page.expect_response("**/api/search/threads") as answered:
            await page.get_by_role("search").get_by_role("button", name="Search").click()
        if (await (await answered.value).json())["items"]:
            return
        await page.wait_for_timeout(100)
    raise AssertionError(f"{word} is not found")


async def test_search_is_narrowed_and_says_why_it_found_nothing(olga: Caller, browser: Browser) -> None:
    await thread(olga, "Seas", "the narwhal sings")
    async with signed_in(browser, olga, "search") as seen:
        page = seen.page
        await _indexed(page, "narwhal")
        await page.get_by_label("Said by").select_option("Assistant")
        await page.get_by_role("combobox", name="How").select_option("Words")
        async with page.expect_response("**/api/search/threads") as answered:
            await page.get_by_role("searchbox").press("Enter")
        asked = json.loads((await answered.value).request.post_data or "{}")
        assert (asked["role"], asked["mode"]) == ("assistant", "text")
        await page.wait_for_url("**/search?q=narwhal&mode=text&role=assistant")
        await page.get_by_label("From").fill("2020-01-01")
        await page.get_by_label("To", exact=True).fill("2020-01-02")
        await page.get_by_role("searchbox").press("Enter")
        await expect(page.get_by_text("Nothing was found.")).to_be_visible()
        await page.get_by_role("combobox", name="How").select_option("Pattern (RE2)")
        await page.get_by_role("searchbox").fill("(")
        await page.get_by_role("searchbox").press("Enter")
        await expect(page.get_by_role("alert")).to_be_visible()
        assert await seen.barriers() == []
        await page.reload()  # the address is the question
        await expect(page.get_by_role("searchbox")).to_have_value("(")
        await expect(page.get_by_label("From")).to_have_value("2020-01-01")


async def test_a_thread_is_named_tagged_exported_and_erased(olga: Caller, browser: Browser) -> None:
    made = await thread(olga, "Plans", "what is **next**?")
    async with signed_in(browser, olga, f"threads/{made}") as seen:
        page = seen.page
        await page.get_by_role("link", name="Details").click()
        await expect(page.get_by_role("heading", name="Plans")).to_be_focused()
        await expect(page.locator(".facts")).to_contain_text("2")
        await expect(page.locator(".facts")).to_contain_text(MODEL)
        await page.get_by_label("Title").fill("Better plans")
        await page.get_by_label("Tags").fill("work, 2026, work")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_text("Saved.", exact=True)).to_be_visible()
        await expect(page.get_by_role("link", name="Better plans", exact=True)).to_be_visible()
        assert (await olga.made("GET", f"/threads/{made}"))["metadata"]["tags"] == ["work", "2026"]
        assert await seen.barriers() == []
        await seen.picture("console-details")
        assert "**next**" in await _downloaded(page, "As Markdown", ".md")
        exported = json.loads(await _downloaded(page, "As JSON", ".json"))
        assert (exported["thread"]["title"], len(exported["messages"])) == ("Better plans", 2)
        await page.get_by_role("button", name="Erase").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("heading")).to_contain_text("Better plans")
        assert await seen.barriers() == []
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await expect(page.get_by_role("button", name="Erase")).to_be_focused()
        assert (await olga.send("GET", f"/threads/{made}")).status_code == 200
        await page.get_by_role("button", name="Erase").click()
        await dialog.get_by_role("button", name="Erase").click()
        await page.wait_for_url("**/console/")
        await expect(page.get_by_role("link", name="Better plans", exact=True)).to_have_count(0)
        assert_problem(await olga.send("GET", f"/threads/{made}?include_deleted=true"), 404)
        assert unexpected(seen) == []


async def test_what_is_hidden_comes_back_or_is_erased(olga: Caller, browser: Browser) -> None:
    kept, lost = await thread(olga, "Kept", "stay"), await thread(olga, "Lost", "go")
    async with signed_in(browser, olga, f"threads/{kept}/details") as seen:
        page, dialog = seen.page, seen.page.get_by_role("dialog")
        await page.get_by_role("button", name="Hide", exact=True).click()
        await dialog.get_by_role("button", name="Hide").click()
        await expect(page.get_by_role("heading", name="Hidden conversations")).to_be_visible()
        await expect(page.get_by_role("link", name="Kept", exact=True)).to_have_count(0)
        await page.get_by_role("button", name="Hide Lost").focus()  # in the list, by the keyboard
        await page.keyboard.press("Enter")
        await expect(dialog.get_by_role("heading")).to_contain_text("Lost")
        await page.keyboard.press("Tab")
        await dialog.get_by_role("button", name="Hide").press("Enter")
        await expect(page.get_by_role("link", name="Lost", exact=True)).to_have_count(0)
        await page.reload()
        await expect(page.get_by_role("button", name="Restore:")).to_have_count(2)
        assert await seen.barriers() == []
        await page.get_by_role("button", name="Restore: Kept").click()
        await expect(page.get_by_role("link", name="Kept", exact=True)).to_be_visible()
        await page.get_by_role("button", name="Erase: Lost").click()
        await dialog.get_by_role("button", name="Erase").click()
        await expect(page.get_by_text("Nothing is hidden.")).to_be_visible()
        assert (await olga.send("GET", f"/threads/{kept}")).status_code == 200
        assert_problem(await olga.send("GET", f"/threads/{lost}?include_deleted=true"), 404)
        assert unexpected(seen) == []


async def _downloaded(page: Page, button: str, suffix: str) -> str:
    async with page.expect_download() as downloading:
        await page.get_by_role("button", name=button).click()
    download = await downloading.value
    assert download.suggested_filename.endswith(suffix)
    return await asyncio.to_thread(Path(await download.path()).read_text)


async def test_a_model_is_chosen_from_those_that_there_are(olga: Caller, browser: Browser) -> None:
    made = await thread(olga, "Models", "one")
    async with signed_in(browser, olga, f"threads/{made}") as seen:
        page = seen.page
        nothing = {"object": "list", "data": []}
        await page.route("**/api/models", lambda route: route.fulfill(json=nothing))
        await page.reload()
        await expect(page.get_by_role("combobox", name="Model")).to_contain_text("spare-1")
        await expect(page.get_by_role("combobox", name="Model").get_by_role("option")).to_have_count(3)
        await page.unroute("**/api/models")
        await page.reload()
        await expect(page.get_by_role("combobox", name="Model")).not_to_contain_text("spare")
        chosen = await page.get_by_role("combobox", name="Model").get_by_role("option").nth(1).inner_text()
        await page.get_by_role("combobox", name="Model").select_option(chosen)
        async with page.expect_request("**/messages") as asked:
            await ChatPage(page).say("two")
        assert (await asked.value).post_data_json["model"] == chosen


async def test_a_thread_that_is_far_down_the_list_has_its_title(olga: Caller, browser: Browser) -> None:
    async with signed_in(browser, olga) as seen:
        page = seen.page
        far = (await olga.made("POST", "/threads", json={"title": "Far away"}))["id"]
        nothing = {"items": [], "page": 1, "limit": 50, "total": 0}
        await page.route("**/api/threads?*", lambda route: route.fulfill(json=nothing))
        await page.goto(address(olga, f"threads/{far}"))
        await expect(page.get_by_role("heading", name="Far away")).to_be_visible()
        await expect(page.get_by_role("link", name="Far away")).to_have_count(0)


async def test_a_copy_is_read_by_anybody_until_it_is_ended(olga: Caller, browser: Browser) -> None:
    made = await thread(olga, "Shared maps", "show <b>me</b>", "# Big\n\n`code` and <script>alert(1)</script>")
    async with signed_in(browser, olga, f"threads/{made}/details") as seen, watched_page(browser) as reader:
        page = seen.page
        await expect(page.get_by_text("Nobody but you can read")).to_be_visible()
        await page.get_by_role("button", name="Share a copy").click()
        field = page.get_by_role("textbox", name="Address of the copy")
        await expect(field).to_be_focused()
        link = await field.input_value()
        opened = await reader.page.goto(link)
        assert opened is not None
        headers = opened.headers
        assert (headers["x-robots-tag"], headers["cache-control"]) == ("noindex, nofollow", "no-store")
        assert (headers["referrer-policy"], headers["x-frame-options"]) == ("no-referrer", "DENY")
        assert "script-src 'self'" in headers["content-security-policy"]
        await expect(reader.page.get_by_role("heading", name="Shared maps")).to_be_visible()
        await expect(ChatPage(reader.page).questions.first).to_contain_text("show <b>me</b>")
        await expect(ChatPage(reader.page).answers.nth(1).get_by_role("heading", name="Big")).to_be_visible()
        assert await reader.page.get_by_role("textbox").count() == 0
        assert olga.id not in await reader.page.content()
        assert await reader.barriers() == []
        await reader.picture("shared")
        assert reader.complaints == []
        await page.get_by_role("button", name="End:").click()
        await page.get_by_role("dialog").get_by_role("button", name="End").click()
        await expect(page.get_by_text("Nobody but you can read")).to_be_visible()
        await expect(field).to_have_count(0)
        assert await seen.barriers() == []
        gone = await reader.page.reload()
        assert gone is not None
        assert gone.status == 404
        assert await reader.barriers() == []


async def test_an_administrator_makes_changes_and_suspends_accounts(admin: Caller, browser: Browser) -> None:
    async with signed_in(browser, admin, "users") as seen:
        page, dialog = seen.page, seen.page.get_by_role("dialog")
        await page.get_by_role("button", name="New user").click()
        assert await seen.barriers() == []
        await dialog.get_by_label("User name").fill("ada")
        await dialog.get_by_role("button", name="Make one up").click()
        password = await dialog.get_by_label("Password", exact=True).input_value()
        assert len(password) >= 16
        await dialog.get_by_role("button", name="Create").click()
        await expect(dialog.get_by_role("alert")).to_be_visible()  # the name is taken
        await dialog.get_by_label("User name").fill("pavel")
        await dialog.get_by_label("Limited to lists").check()
        await dialog.get_by_label("Only these agents").fill("a1, a2")
        await dialog.get_by_role("button", name="Create").click()
        await expect(page.get_by_text("pavel has an account now.")).to_be_visible()
        row = page.get_by_role("row").filter(has_text="pavel")
        await expect(row).to_contain_text("a1, a2")
        pavel = await _caller(admin.client, "pavel", password)
        await seen.picture("console-users")
        assert await seen.barriers() == []
        await page.get_by_role("button", name="Change pavel").click()
        await dialog.get_by_label("May sign in").uncheck()
        await dialog.get_by_role("button", name="Save").click()
        await expect(row).to_contain_text("Suspended")
        assert_problem(await pavel.send("GET", "/auth/me"), 401)
        await page.get_by_role("button", name="Change ada").click()
        await expect(dialog.get_by_text("for another administrator")).to_be_visible()
        await expect(dialog.get_by_label("May sign in")).to_have_count(0)


async def test_usage_and_health_are_shown(admin: Caller, browser: Browser) -> None:
    body = {"model": "scripted?tokens=7", "messages": [{"role": "user", "content": "hello"}]}
    root = str(admin.client.base_url).removesuffix("/api/")
    await admin.made("POST", f"{root}/v1/chat/completions", json=body)
    await admin.until("/usage", lambda usage: usage["total"] == 1)
    async with signed_in(browser, admin, "usage") as seen:
        page = seen.page
        await expect(page.get_by_role("img", name="Tokens by day")).to_be_visible()
        await expect(page.get_by_role("row").filter(has_text="scripted?tokens=7")).to_contain_text("7")
        await expect(page.get_by_role("row").filter(has_text="ada")).to_be_visible()
        assert await page.locator(".bars rect").count() == 30
        await page.get_by_label("Time").select_option("7 days")
        await expect(page.locator(".bars rect")).to_have_count(7)
        assert await seen.barriers() == []
        await seen.picture("console-usage")
        await page.get_by_role("link", name="Health").click()
        await expect(page.get_by_role("heading", name="Health")).to_be_focused()
        await expect(page.get_by_role("row").filter(has_text="database")).to_contain_text("Works")
        assert await seen.barriers() == []
        await seen.picture("console-health")
        assert unexpected(seen) == []


async def test_administration_is_not_for_everybody(olga: Caller, browser: Browser) -> None:
    async with signed_in(browser, olga) as seen:
        await expect(seen.page.get_by_role("link", name="Usage")).to_be_visible()
        for name in ("Users", "Health"):
            await expect(seen.page.get_by_role("link", name=name)).to_have_count(0)
        await seen.page.goto(address(olga, "users"))
        await seen.page.wait_for_url("**/console/")
        assert "/api/users" not in " ".join(seen.requests)


async def test_it_speaks_russian_in_the_dark(admin: Caller, browser: Browser) -> None:
    made = await thread(admin, "Карты", "привет")
    async with watched_page(browser, locale="ru-RU", color_scheme="dark") as seen:
        page = seen.page
        await page.goto(address(admin, "search"))
        await page.get_by_label("Имя пользователя").fill(admin.username)
        await page.get_by_label("Пароль").fill(PASSWORD)
        await page.get_by_role("button", name="Войти").click()
        await expect(page.get_by_role("button", name="Выйти")).to_be_visible()
        for path, heading in (("search", "Поиск"), (f"threads/{made}/details", "Карты"), ("usage", "Расход")):
            await page.goto(address(admin, path))
            await expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()
            assert await seen.barriers() == []
        await page.get_by_label("Язык").select_option("English")
        await expect(page.get_by_role("heading", name="Usage")).to_be_visible()
        assert await page.evaluate("document.documentElement.lang") == "en"
        await page.set_viewport_size({"width": 360, "height": 700})
        await page.get_by_role("button", name="Menu").click()
        await page.get_by_role("link", name="Users").click()
        await expect(page.get_by_role("heading", name="Users")).to_be_visible()
        assert await seen.barriers() == []
        await seen.picture("console-narrow-dark")
