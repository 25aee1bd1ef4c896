"""The public page in Chromium, as visitors see it."""

import gzip
import re
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from playwright.async_api import Browser, expect

from harness.browser import FedStream, watched_page
from harness.callers import Caller
from harness.fault_proxy import FaultProxy, Faults
from harness.model_stub import ModelStub
from harness.pages import ChatPage, address, built, held, home

WHOLE = " ".join(f"t{number}" for number in range(60))
BUILT = Path(__file__).parents[2] / "src" / "frontdesk" / "built"
MARKDOWN = """## Maps

Three of *many*, with `code` and a [link](https://example.com):

1. Oslo
2. Bergen

| town | price |
|:-----|------:|
| Oslo | 12 |

```python
def price(town: str) -> int:
    return len(town) * 3  # a fair price
```

> Ask again."""


async def test_a_visitor_asks_and_is_answered(browser: Browser, owner: Caller, model_stub: ModelStub) -> None:
    bookshop = await built(
        owner,
        held("asks", tokens=40),
        description="We answer at any hour.",
        coverType="gradient",
        coverValue="linear-gradient(120deg, #1e3a8a, #7c3aed)",
        welcomeMessage="**What** are you looking for?",
        suggestedPrompts=[{"text": "Have you got maps?"}],
    )
    async with watched_page(browser, viewport={"width": 1000, "height": 760}) as seen:
        chat = ChatPage(seen.page)
        await seen.page.goto(address(bookshop))
        await expect(seen.page.get_by_role("heading", name="Ask the bookshop")).to_be_visible()
        assert await seen.barriers() == []
        await seen.picture("page-welcome")
        await seen.page.get_by_role("button", name="Have you got maps?").click()
        await expect(chat.answers.get_by_text("t3 ")).to_be_visible()
        await expect(chat.stop_button).to_be_visible()
        await seen.picture("page-streaming")
        await model_stub.go_on("asks")
        await expect(chat.answers.get_by_text("t39")).to_be_visible()
        await expect(chat.send_button).to_be_visible()
        await expect(seen.page.get_by_role("status").get_by_text("Answer: t0 t1")).to_be_attached()
        await seen.picture("page-answered")
        assert await seen.barriers() == []
        assert seen.complaints == []
        assert seen.strangers(home(bookshop)) == []


async def test_an_answer_that_is_reloaded_in_its_middle_goes_on(
    browser: Browser, owner: Caller, model_stub: ModelStub
) -> None:
    bookshop = await built(owner, held("reloaded"))
    async with watched_page(browser) as seen:
        chat = ChatPage(seen.page)
        await seen.page.goto(address(bookshop))
        await chat.say("Tell me all")
        await expect(chat.answers.get_by_text("t5 ")).to_be_visible()
        await seen.page.reload()
        await expect(chat.answers.get_by_text("t9 ")).to_be_visible()
        await expect(chat.stop_button).to_be_visible()
        await model_stub.go_on("reloaded")
        await expect(chat.send_button).to_be_visible()
        assert (await chat.answers.locator(".fd-markdown").inner_text()).split() == WHOLE.split()
        await expect(chat.questions).to_have_count(1)
        await expect(chat.answers).to_have_count(1)
        await seen.page.reload()
        await expect(chat.answers.get_by_text("t59")).to_be_visible()
        await expect(chat.questions).to_have_count(1)
        assert seen.complaints == []


async def test_a_second_tab_shows_the_same_once(browser: Browser, owner: Caller, model_stub: ModelStub) -> None:
    bookshop = await built(owner, held("tabs"), persistenceType="local_storage")
    async with watched_page(browser) as seen:
        first = ChatPage(seen.page)
        await seen.page.goto(address(bookshop))
        await first.say("One")
        await expect(first.answers.get_by_text("t3 ")).to_be_visible()
        second = ChatPage(await seen.page.context.new_page())
        await second.page.goto(address(bookshop))
        await expect(second.answers.get_by_text("t5 ")).to_be_visible()
        await model_stub.go_on("tabs")
        for tab in (first, second):
            await expect(tab.send_button).to_be_visible()
        await second.say("Two")
        await expect(first.questions.nth(1)).to_contain_text("Two")
        await expect(first.answers.nth(1)).to_contain_text("t3 ")
        await model_stub.go_on("tabs")
        for tab in (first, second):
            await expect(tab.send_button).to_be_visible()
            await expect(tab.questions).to_have_count(2)
            await expect(tab.answers).to_have_count(2)


async def test_the_network_goes_and_comes_back(browser: Browser, owner: Caller, model_stub: ModelStub) -> None:
    bookshop = await built(owner, held("network"))
    port = urlsplit(home(bookshop)).port or 0
    async with FaultProxy("127.0.0.1", port) as network, watched_page(browser) as seen:
        chat = ChatPage(seen.page)
        await seen.page.goto(address(bookshop).replace(str(port), str(network.port)))
        await chat.say("Tell me all")
        await expect(chat.answers.get_by_text("t5 ")).to_be_visible()
        network.switch(Faults(refuse=True))
        network.reset_all()
        await expect(seen.page.get_by_text("Connection lost")).to_be_visible()
        network.switch(Faults())
        await model_stub.go_on("network")
        await expect(chat.send_button).to_be_visible()
        await expect(seen.page.get_by_text("Connection lost")).to_be_hidden()
        assert (await chat.answers.locator(".fd-markdown").inner_text()).split() == WHOLE.split()


async def test_a_visitor_stops_an_answer(browser: Browser, owner: Caller) -> None:
    bookshop = await built(owner, held("stopped"))
    async with watched_page(browser) as seen:
        chat = ChatPage(seen.page)
        await seen.page.goto(address(bookshop))
        await chat.say("Tell me all")
        await expect(chat.answers.get_by_text("t5 ")).to_be_visible()
        await chat.field.press("Escape")
        await expect(chat.answers.get_by_text("Stopped")).to_be_visible()
        await expect(chat.send_button).to_be_visible()
        assert "t59" not in await chat.answers.inner_text()
        assert seen.complaints == []


async def test_an_answer_is_shown_as_what_it_means_by_night(browser: Browser, owner: Caller) -> None:
    bookshop = await built(owner, primaryColor="#0f172a", borderRadius=4)
    dark = {"color_scheme": "dark", "viewport": {"width": 420, "height": 1000}}
    source = {"source": {"type": "file", "name": "guide.pdf"}, "span": {"page": 3}, "excerpt": "Maps are on shelf 4."}
    async with watched_page(browser, **dark) as seen:
        chat = ChatPage(seen.page)
        stream = FedStream(seen.page)
        await stream.open()
        await seen.page.goto(address(bookshop))
        await chat.say("Maps?")
        await expect(chat.questions).to_have_count(1)
        call = {"id": "c1", "name": "search_attachments", "status": "completed"}
        await stream.answer(MARKDOWN, toolCalls=[call], citations=[source])
        await expect(chat.answers.locator(".hljs-keyword").first).to_be_visible()
        await chat.answers.get_by_text("1 source").click()
        await expect(chat.answers.get_by_text("guide.pdf, page 3")).to_be_visible()
        await expect(chat.answers.get_by_text("Used search_attachments")).to_be_visible()
        assert await chat.answers.get_by_role("columnheader").all_inner_texts() == ["town", "price"]
        await seen.picture("page-markdown-dark")
        assert await seen.barriers() == []
        assert seen.complaints == []


async def test_the_draft_outlives_a_reload(browser: Browser, owner: Caller) -> None:
    bookshop = await built(owner)
    async with watched_page(browser) as seen:
        chat = ChatPage(seen.page)
        await seen.page.goto(address(bookshop))
        await chat.field.fill("Half a thought")
        await seen.page.reload()
        await expect(chat.field).to_have_value("Half a thought")


async def test_limits_are_told_and_what_was_written_is_kept(browser: Browser, owner: Caller) -> None:
    bookshop = await built(owner, rateLimitMessages=1, rateLimitWindowSeconds=30)
    async with watched_page(browser) as seen:
        chat = ChatPage(seen.page)
        await seen.page.goto(address(bookshop))
        await chat.say("one")
        await expect(chat.answers.get_by_text("one")).to_be_visible()
        await expect(chat.send_button).to_be_visible()
        await chat.say("two")
        await expect(seen.page.get_by_role("alert")).to_contain_text(re.compile(r"wait \d+ second"))
        await expect(chat.questions.nth(1)).to_contain_text("two")
        assert await seen.barriers() == []


async def test_a_session_that_has_ended_has_a_way_on(browser: Browser, owner: Caller) -> None:
    bookshop = await built(owner)
    async with watched_page(browser) as seen:
        chat = ChatPage(seen.page)
        await seen.page.goto(address(bookshop))
        await chat.say("one")
        await expect(chat.answers.get_by_text("one")).to_be_visible()
        await expect(chat.send_button).to_be_visible()
        token = await seen.page.evaluate("() => Object.values(sessionStorage).find((each) => each.startsWith('sess_'))")
        await bookshop.ask("POST", f"/sessions/{token}/end")
        await chat.say("two")
        await seen.page.get_by_role("button", name="Start a new conversation").click()
        await expect(chat.questions).to_have_count(0)
        await chat.say("three")
        await expect(chat.answers.get_by_text("three")).to_be_visible()


async def test_it_speaks_russian_and_reads_from_the_right(browser: Browser, owner: Caller) -> None:
    russian = await built(owner, title="Спросите нас", locale="ru")
    arabic = await built(owner, title="اسألنا", locale="ar", welcomeMessage="مرحبا")
    async with watched_page(browser, viewport={"width": 420, "height": 760}) as seen:
        await seen.page.goto(address(russian))
        await expect(seen.page.get_by_role("textbox", name="Сообщение")).to_be_visible()
        assert await seen.barriers() == []
        await seen.page.goto(address(arabic))
        await ChatPage(seen.page).say("مرحبا بكم في المتجر")
        await expect(ChatPage(seen.page).answers).to_contain_text("المتجر")
        await expect(ChatPage(seen.page).send_button).to_be_visible()
        assert await seen.page.evaluate("document.documentElement.dir") == "rtl"
        await seen.picture("page-rtl")
        assert await seen.barriers() == []
        assert seen.complaints == []


async def test_what_is_not_there_is_said(browser: Browser, owner: Caller) -> None:
    bookshop = await built(owner)
    async with watched_page(browser) as seen:
        missing = await seen.page.goto(f"{home(bookshop)}/c/nowhere")
        assert missing is not None
        assert missing.status == 404
        await expect(seen.page.get_by_role("heading")).to_be_visible()
        assert await seen.barriers() == []


async def test_a_page_is_small_and_its_files_are_kept(owner: Caller) -> None:
    bookshop = await built(owner)
    page = await owner.client.get(address(bookshop, "embed"))
    names = set(re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text))
    assert len(names) >= 2
    size = len(gzip.compress(page.content))
    for name in names:
        asset = await owner.client.get(home(bookshop) + name, headers={"Accept-Encoding": "gzip"})
        assert asset.headers["content-encoding"] == "gzip"
        assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert asset.headers["x-content-type-options"] == "nosniff"
        size += (BUILT / f"{name.rpartition('/')[2]}.gz").stat().st_size
        squeezed = await owner.client.get(home(bookshop) + name, headers={"Accept-Encoding": "br;q=0, identity"})
        assert "content-encoding" not in squeezed.headers
        assert squeezed.content == asset.content
    assert size <= 120 * 1024
    gone = await owner.client.get(f"{home(bookshop)}/assets/manifest.json")
    assert isinstance(gone, httpx.Response)
    assert gone.status_code == 404


async def test_a_page_runs_nothing_but_its_own_scripts(owner: Caller) -> None:
    title = "</script><script>alert(1)</script>"
    bookshop = await built(owner, title=title, description='"><img src=x>', allowedOrigins=["https://shop.example"])
    for kind, ancestors in (("c", "frame-ancestors 'none'"), ("embed", "frame-ancestors 'self' https://shop.example")):
        page = await owner.client.get(address(bookshop, kind))
        policy = page.headers["content-security-policy"].split("; ")
        assert ancestors in policy
        assert {"default-src 'none'", "script-src 'self'", "require-trusted-types-for 'script'"} <= set(policy)
        assert page.text.count("<script") == 2
        assert "<img" not in page.text
    assert page.headers.get("x-frame-options") is None
    assert (await owner.client.get(address(bookshop))).headers["x-frame-options"] == "DENY"
