"""The widget on pages of other sites, kind and hostile."""

from pathlib import Path
from time import time
from urllib.parse import urlsplit

import jwt
from playwright.async_api import Browser, expect

from harness.browser import until, watched_page
from harness.callers import Caller
from harness.host_page import framed, host_page, press
from harness.model_stub import ModelStub
from harness.pages import address, built, held, home
from harness.visitors import Chat

EXAMPLE = Path(__file__).parents[2] / "examples" / "plain_page" / "index.html"
NONCE = "bG9uZyBlbm91Z2g="
HOSTILE = f"""<!doctype html><html lang="en"><title>Shop</title>
<style nonce="{NONCE}">
  * {{ all: unset !important; display: none !important; color: red !important; font-size: 99px !important }}
  html, body, head, title {{ display: block !important }}
  body > * {{ position: static !important; opacity: 0 !important; visibility: hidden !important; zoom: 7 }}
  frontdesk-widget, iframe, button {{ transform: rotate(45deg) !important; pointer-events: none !important }}
</style>
<body><h1>Shop</h1>
<script src="WIDGET" async></script>"""
KIND = """<!doctype html><html lang="en"><title>Shop</title><body><main><h1>Shop</h1><p>Books and maps.</p></main>
<script src="WIDGET"></script>"""


def script(chat: Chat) -> str:
    return f"{address(chat, 'widget')}.js"


async def test_a_visitor_of_another_site_chats(browser: Browser, owner: Caller) -> None:
    async with host_page("") as site:
        shop = await built(owner, held("widget"), allowedOrigins=[site], welcomeMessage="Hello!")
    html = KIND.replace("WIDGET", script(shop))
    async with host_page(html, port=urlsplit(site).port or 0) as site, watched_page(browser) as seen:
        await seen.page.goto(site)
        await seen.picture("widget-closed")
        assert [url for url in seen.requests if "/embed/" in url or "/api/" in url] == []
        await press(seen.page)
        chat = await framed(seen.page)
        await expect(chat.field).to_be_focused()
        await chat.say("Maps?")
        await expect(chat.answers.get_by_text("t3 ")).to_be_visible()
        await seen.picture("widget-open")
        await chat.field.press("Escape")
        await expect(chat.answers.get_by_text("Stopped")).to_be_visible()
        await chat.field.press("Escape")
        await expect(chat.field).to_be_hidden()
        assert await seen.page.evaluate("document.activeElement.localName") == "frontdesk-widget"
        assert await seen.page.context.cookies() == []
        assert seen.complaints == []
        assert seen.strangers(site, home(shop)) == []


async def test_the_example_of_a_plain_page(browser: Browser, owner: Caller, model_stub: ModelStub) -> None:
    shop = await built(owner, held("plain-page"))
    html = EXAMPLE.read_text().replace("http://127.0.0.1:8009/widget/bookshop.js", script(shop))
    async with host_page(html) as site, watched_page(browser) as seen:
        await seen.page.goto(site)
        await seen.page.get_by_role("button", name="Ask us").click()
        chat = await framed(seen.page)
        await chat.say("Maps?")
        await expect(chat.answers.get_by_text("t3 ")).to_be_visible()
        await seen.page.evaluate("frontdesk.close()")
        await model_stub.go_on("plain-page")
        await expect(seen.page.locator("output")).to_have_text("1 new")
        assert seen.complaints == []


async def test_a_hostile_page_reaches_nothing_of_it(browser: Browser, owner: Caller) -> None:
    shop = await built(owner, "scripted?tokens=5")
    policy = f"default-src 'none'; style-src 'nonce-{NONCE}'; script-src {home(shop)}; frame-src {home(shop)}"
    html = HOSTILE.replace("WIDGET", script(shop))
    view = {"width": 900, "height": 760}
    async with host_page(html, policy=policy) as site, watched_page(browser, viewport=view, bypass_csp=False) as seen:
        await seen.page.goto(site)
        await seen.page.wait_for_function("() => window.frontdesk")
        box = await seen.page.locator("frontdesk-widget").bounding_box()
        assert box is not None
        assert (box["x"] + box["width"], box["y"] + box["height"]) == (880, 740)
        assert box["height"] == 56
        await press(seen.page)
        chat = await framed(seen.page)
        await chat.say("hello")
        await expect(chat.answers.get_by_text("t4")).to_be_visible()
        await seen.picture("widget-hostile")
        assert await seen.page.evaluate("document.querySelector('frontdesk-widget').shadowRoot") is None
        assert await seen.page.evaluate("Object.isFrozen(window.frontdesk)")
        assert [each for each in seen.complaints if "Content Security Policy" in each] == []


async def test_a_page_keeps_nothing_of_a_visit_that_the_browser_keeps(browser: Browser, owner: Caller) -> None:
    shop = await built(owner, "scripted?tokens=5", persistenceType="local_storage")
    async with host_page(KIND.replace("WIDGET", script(shop))) as site, watched_page(browser) as seen:
        await seen.page.goto(site.replace("localhost", "127.0.0.1"))  # a page of the same site
        await press(seen.page)
        await (await framed(seen.page)).say("hello")
        await expect((await framed(seen.page)).answers.get_by_text("t4")).to_be_visible()
        assert await seen.page.evaluate("[sessionStorage.length, localStorage.length]") == [0, 0]
        await seen.page.reload()
        await press(seen.page)
        await expect((await framed(seen.page)).answers.get_by_text("t4")).to_be_visible()


VUE = Path(__file__).parents[2] / "web" / "node_modules" / "vue" / "dist" / "vue.global.prod.js"
SWAPS = (  # of what the page consists of, as htmx does it, as Turbo does, and as an application on all of the page
    "document.body.innerHTML = '<h1>Maps</h1>'",
    "const next = document.createElement('body'); next.innerHTML = '<h1>Maps</h1>'; document.body.replaceWith(next)",
    "Vue.createApp({ template: '<h1>Maps</h1>' }).mount(document.body)",
)


async def test_a_page_whose_framework_replaces_all_of_it_keeps_the_chat(
    browser: Browser, owner: Caller, model_stub: ModelStub
) -> None:
    shop = await built(owner, held("swapped"))
    async with host_page(KIND.replace("WIDGET", script(shop))) as site, watched_page(browser) as seen:
        await seen.page.goto(site)
        await press(seen.page)
        chat = await framed(seen.page)
        await chat.say("hello")
        await expect(chat.answers.get_by_text("t3 ")).to_be_visible()
        await seen.page.add_script_tag(path=VUE)
        for swap in SWAPS:
            before = seen.page.frames[1]
            await seen.page.evaluate(swap)
            await until(before.is_detached)
            await expect(seen.page.get_by_role("heading", name="Maps")).to_be_visible()
            chat = await framed(seen.page)
            await expect(chat.answers.get_by_text("t3 ")).to_be_visible()
        await model_stub.go_on("swapped")
        await expect(chat.answers.get_by_text("t59")).to_be_visible()
        await expect(chat.questions).to_have_count(1)
        await seen.page.evaluate("document.querySelector('frontdesk-widget').remove()")
        await seen.page.evaluate("document.body.append('more')")
        assert await seen.page.locator("frontdesk-widget").count() == 0
        assert seen.complaints == []


async def test_it_adds_one_name_to_the_page_and_listens_to_nobody_else(browser: Browser, owner: Caller) -> None:
    shop = await built(owner, "scripted?tokens=5")
    spy = (
        "<script>window.before = Object.keys(window); window.heard = []; "
        "addEventListener('message', (event) => heard.push(event.data))</script>"
    )
    html = spy + KIND.replace("WIDGET", script(shop))
    async with host_page(html) as site, watched_page(browser) as seen:
        await seen.page.goto(site)
        added = "() => Object.keys(window).filter((each) => ![...before, 'before', 'heard'].includes(each))"
        assert await seen.page.evaluate(added) == ["frontdesk"]
        await seen.page.evaluate("""() => {
            window.told = [];
            for (const name of ['ready', 'open', 'close', 'unread', 'refused']) {
                frontdesk.on(name, (detail) => told.push([name, detail ?? null]));
            }
            frontdesk.open();
        }""")
        chat = await framed(seen.page)
        await seen.page.wait_for_function("() => told.some(([name]) => name === 'ready')")
        await seen.page.evaluate("""() => {
            for (const message of [{type: 'close'}, {type: 'unread', count: 9}, 'close', null, 7]) {
                const forged = message && typeof message === 'object' ? {...message, protocol: 'frontdesk/1'} : message;
                postMessage(forged, '*');
            }
        }""")
        forged = "{protocol: 'frontdesk/1', type: 'identify', identity: 'x'}"
        stranger = f"<script>parent.frames[0].postMessage({forged}, '*')</script>"
        await seen.page.evaluate(
            "(html) => { const it = document.createElement('iframe'); it.srcdoc = html; document.body.append(it); }",
            stranger,
        )
        await chat.say("hello")
        await expect(chat.answers.get_by_text("t4")).to_be_visible()
        assert await seen.page.evaluate("told") == [["open", None], ["ready", None]]
        said = await seen.page.evaluate(
            "heard.filter((each) => each?.protocol && each.type !== 'close' && each.count !== 9)"
        )
        kept = [each for each in said if each["type"] == "keep"]  # this browser closes its storage to frames
        assert {each["name"] for each in kept} == {"session"}
        assert all(set(each) <= {"protocol", "type", "count"} for each in said if each not in kept)
        await seen.page.evaluate("frontdesk.identify('not a token')")
        await seen.page.wait_for_function("() => told.some(([name]) => name === 'refused')")
        assert ["refused", "identity_rejected"] in await seen.page.evaluate("told")


async def test_a_visitor_that_the_site_knows_goes_on_with_what_they_said(browser: Browser, owner: Caller) -> None:
    shop = await built(owner)
    made = await owner.made("POST", f"{shop.path}/identity-secret")
    claims = {"sub": "customer-7", "exp": time() + 300}
    identity = jwt.encode(claims, made["identitySecret"], algorithm="HS256")
    html = KIND.replace("WIDGET", script(shop))
    for text in ("one", "two"):
        async with host_page(html) as site, watched_page(browser) as seen:
            await seen.page.goto(site)
            known = "(token) => new Promise((then) => { frontdesk.on('identified', then); frontdesk.identify(token); })"
            await seen.page.evaluate(known, identity)
            await seen.page.evaluate("frontdesk.open()")
            chat = await framed(seen.page)
            if text == "two":
                await expect(chat.answers.get_by_text("one")).to_be_visible()
            await chat.say(text)
            await expect(chat.answers.get_by_text(text)).to_be_visible()
            await expect(chat.send_button).to_be_visible()


async def test_an_answer_that_nobody_saw_is_counted(browser: Browser, owner: Caller, model_stub: ModelStub) -> None:
    shop = await built(owner, held("unseen"))
    html = KIND.replace("WIDGET", script(shop))
    async with host_page(html) as site, watched_page(browser) as seen:
        await seen.page.goto(site)
        await seen.page.evaluate("() => { window.counts = []; frontdesk.on('unread', (count) => counts.push(count)); }")
        await press(seen.page)
        chat = await framed(seen.page)
        await chat.say("hello")
        await expect(chat.answers.get_by_text("t1 ")).to_be_visible()
        await seen.page.evaluate("frontdesk.close()")
        await model_stub.go_on("unseen")
        await seen.page.wait_for_function("() => counts.includes(1)")
        await seen.page.evaluate("frontdesk.open()")
        await seen.page.wait_for_function("() => counts.at(-1) === 0")


async def test_a_site_that_is_not_allowed_frames_nothing(browser: Browser, owner: Caller) -> None:
    shop = await built(owner, allowedOrigins=["https://shop.example"])
    async with host_page(KIND.replace("WIDGET", script(shop))) as site, watched_page(browser) as seen:
        await seen.page.goto(site)
        await press(seen.page)
        await until(lambda: any("frame-ancestors" in each for each in seen.complaints))
        page = seen.page.frames[1]
        assert await page.locator("#app").count() == 0


async def test_the_loader_is_small(owner: Caller) -> None:
    shop = await built(owner, widgetButtonText="Ask us </script>")
    loader = await owner.client.get(script(shop), headers={"Accept-Encoding": "gzip"})
    assert loader.headers["content-encoding"] == "gzip"
    assert loader.headers["cross-origin-resource-policy"] == "cross-origin"
    size = int(loader.headers["content-length"])
    assert size <= 12 * 1024
    assert "</script>" not in loader.text
    assert "__FRONTDESK_WIDGET__" not in loader.text
