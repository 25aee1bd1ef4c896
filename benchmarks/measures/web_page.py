"""The pages in Chromium: how smoothly an answer streams, when its first token is seen, and how long a thread takes.

An answer of 5,000 tokens comes at 200 a second, once as Markdown of every kind and once as a single paragraph, which is
the most that the page has to make again with each token. The page's own stream is fed by a timer in it, so that no
network is in the figures; all else is the served page. `first_token` is from the arrival of a token to the frame that
shows it. Then the console opens a thread of 10,000 messages, from the navigation to the frame that shows its end, and
a wheel turns it back.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import cycle, islice
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from benchmarks.bench import Bench
from benchmarks.client import ask_all
from benchmarks.contenders import Provider
from benchmarks.figures import Rows, Table, percentile
from benchmarks.frontdesk_server import Frontdesk
from benchmarks.machine import on_every_core
from benchmarks.measures.messages import fill
from benchmarks.programs import BenchmarkError

TOKENS, PER_SECOND = 5_000, 200
CHARACTERS = 5  # of a token
MESSAGES = 10_000
FIRST_TOKENS = 20
SCROLL_SECONDS = 6
LONG_MS = 50
TRACED = "disabled-by-default-devtools.timeline"
VIEW = {"width": 1000, "height": 760}
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
SECTION = """## About maps of the coast

Three of *many* maps, with `scale` and a [link](https://example.com/maps), and a sentence that goes on for some time.

1. Oslo, which is **large** and lies at the end of a fjord
2. Bergen, where it rains

| town | price | in stock |
|:-----|------:|:---------|
| Oslo | 12 | yes |
| Bergen | 14 | no |

```python
def price(town: str) -> int:
    return len(town) * 3  # a fair price
```

> Ask again, and say what you need it for.

"""
WORDS = "the coast is long and a map of it is never quite as long as the coast "
# What moved is written down, and `__when` gives the moment at which something can be seen.
WATCHING = """
  window.__shifts = [];
  new PerformanceObserver((list) => list.getEntries().forEach((each) => {
    if (!each.hadRecentInput) __shifts.push(each.value);
  })).observe({ type: "layout-shift" });
  const painted = (then) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => then(performance.now());
    port2.postMessage(0);
  };
  window.__when = (holds) => new Promise((then) => {
    const watch = new MutationObserver(() => look());
    const look = () => {
      if (!holds()) return;
      watch.disconnect();
      painted(then);
    };
    watch.observe(document, { childList: true, subtree: true, characterData: true });
    look();
  });
"""
FEEDING = """
  const real = window.fetch;
  const encoder = new TextEncoder();
  let controller, number = 0;
  window.fetch = async (url, init) => {
    if (String(url).endsWith("/messages")) {
      const told = await real(url, init);
      window.__execution = (await told.clone().json()).executionId;
      return told;
    }
    if (!String(url).includes("/stream")) return real(url, init);
    const body = new ReadableStream({ start(its) { controller = its; } });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  };
  const feed = (...events) => controller.enqueue(encoder.encode(
    events.map(([name, data]) => `id: ${++number}\\nevent: ${name}\\ndata: ${JSON.stringify(data)}\\n\\n`).join("")));
  const names = () => ({ executionId: __execution, messageId: `m${__execution}` });
  const close = (content) => feed(
    ["message", { ...names(), id: names().messageId, role: "assistant", content, status: "completed",
      timestamp: new Date().toISOString(), attachments: [], toolCalls: [], citations: [] }],
    ["execution_completed", { ...names(), status: "completed" }]);
  window.__answer = (text, size, perSecond) => new Promise((then) => {
    const tokens = text.match(new RegExp(`[^]{1,${size}}`, "g"));
    const begun = performance.now();
    let sent = 0;
    const timer = setInterval(() => {
      const due = Math.min(tokens.length, Math.floor((performance.now() - begun) * perSecond / 1000));
      while (sent < due) feed(["token", { ...names(), token: tokens[sent++] }]);
      if (sent < tokens.length) return;
      clearInterval(timer);
      close(text);
      setTimeout(then, 1000);
    }, 1000 / perSecond);
  });
  window.__first = async (key) => {
    const shown = () => [...document.querySelectorAll(".fd-markdown")].some((each) => each.textContent.includes(key));
    const seen = __when(shown);
    const fed = performance.now();
    feed(["token", { ...names(), token: key }]);
    const waited = (await seen) - fed;
    close(key);
    return waited;
  };
"""
# The same messages as a page on which nothing happens: what the browser and the machine can do.
FREEZING = """() => {
  const list = document.querySelector(".fd-scroller");
  const still = list.cloneNode(false);
  const rows = [...list.querySelectorAll(".fd-row-item")].map((each) => each.outerHTML).join("");
  list.replaceWith(still);
  while (still.scrollHeight < 60000) still.insertAdjacentHTML("beforeend", rows);
  still.scrollTop = still.scrollHeight;
}"""
SCROLLING = """(seconds) => new Promise((then) => {
  const frames = [];
  let last = performance.now();
  const end = last + seconds * 1000;
  const frame = (now) => {
    frames.push(now - last);
    last = now;
    if (now < end) requestAnimationFrame(frame);
    else then(frames.slice(1));
  };
  requestAnimationFrame(frame);
})"""


@asynccontextmanager
async def _chromium() -> AsyncIterator[Browser]:
    """On all cores, as browsers are: it has processes and threads that work at once."""
    with on_every_core():
        playwright = await async_playwright().start()
    try:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield browser
        await browser.close()
    finally:
        await playwright.stop()


@asynccontextmanager
async def _page(browser: Browser, *scripts: str) -> AsyncIterator[Page]:
    # A page runs no script that is not its own, but for what is put in before it.
    context: Any = await browser.new_context(viewport=VIEW, bypass_csp=True)
    try:
        for script in scripts:
            await context.add_init_script(script)
        yield await context.new_page()
    finally:
        await context.close()


LIMITS = {"rateLimitMessages": 10_000, "rateLimitWindowSeconds": 60}


async def _publish(server: Frontdesk) -> str:
    async def made(path: str, body: object) -> dict[str, str]:
        found: dict[str, str] = json.loads((await server.call("POST", path, body)).body)
        return found

    agent = await made("/api/agents", {"name": "Guide", "model": "scripted?tokens=1"})
    interface = await made("/api/chat-interfaces", {"name": "Help", "agentId": agent["id"], **LIMITS})
    await made(f"/api/chat-interfaces/{interface['id']}/publish", {})
    return f"http://127.0.0.1:{server.port}/c/{interface['slug']}"


async def _ask(page: Page) -> None:
    """And wait until nothing moves any more: what follows is the answer's doing alone."""
    await page.evaluate("() => { window.__execution = null; }")
    await page.get_by_role("textbox").fill("How long is the coast?")
    await page.get_by_role("textbox").press("Enter")
    await page.wait_for_function("() => window.__execution")
    await page.wait_for_timeout(800)


def _text(source: str) -> str:
    return "".join(islice(cycle(source), TOKENS * CHARACTERS))


async def _stream(browser: Browser, address: str, source: str) -> dict[str, float]:
    async with _page(browser, WATCHING, FEEDING) as page:
        await page.goto(address)
        await _ask(page)
        await page.evaluate("() => { window.__shifts = []; }")
        await browser.start_tracing(page=page, categories=["-*", TRACED, "__metadata"])
        await page.evaluate("(told) => __answer(...told)", [_text(source), CHARACTERS, PER_SECOND])
        tasks = _tasks(json.loads(await browser.stop_tracing())["traceEvents"])
        return {
            "tasks_over_50_ms": sum(took > LONG_MS for took, _ in tasks),
            "longest_task_ms": max(took for took, _ in tasks),
            "longest_task_cpu_ms": max(cpu for _, cpu in tasks),
            "layout_shift": sum(await page.evaluate("__shifts")),
        }


def _tasks(events: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """How long each of the pages' main threads' tasks took, and of the processor, in milliseconds."""
    threads = {
        (each["pid"], each["tid"])
        for each in events
        if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    return [
        (each["dur"] / 1000, each.get("tdur", 0) / 1000)
        for each in events
        if each["name"] == "RunTask" and "dur" in each and (each["pid"], each["tid"]) in threads
    ]


async def _first(browser: Browser, address: str) -> dict[str, float]:
    async with _page(browser, WATCHING, FEEDING) as page:
        await page.goto(address)
        waits = []
        for number in range(FIRST_TOKENS):
            await _ask(page)
            waits.append(await page.evaluate("(key) => __first(key)", f"first{number}."))
        return {"first_token_p50_ms": percentile(waits, 0.5), "first_token_p95_ms": percentile(waits, 0.95)}


async def _sign_in(page: Page, server: Frontdesk) -> None:
    await page.goto(f"http://127.0.0.1:{server.port}/console/")
    await page.get_by_label("User name").fill("bench")
    await page.get_by_label("Password").fill(server.password)
    await page.get_by_label("Password").press("Enter")
    await page.get_by_role("button", name="Sign out").wait_for()


async def _thread(browser: Browser, server: Frontdesk, thread: str) -> dict[str, float]:
    async with _page(browser, WATCHING) as page:
        await _sign_in(page, server)
        opened = await page.context.new_page()
        await opened.goto(f"http://127.0.0.1:{server.port}/console/threads/{thread}", wait_until="commit")
        shown = await opened.evaluate("__when(() => document.querySelector('.fd-message .fd-markdown'))")
        await browser.start_tracing(page=opened, categories=["-*", TRACED, "__metadata"])
        frames = await _scroll(opened)
        tasks = _tasks(json.loads(await browser.stop_tracing())["traceEvents"])
        if await opened.locator(".fd-message").count() == 0:
            raise BenchmarkError("The thread is empty")
        await opened.evaluate(FREEZING)
        plain = await _scroll(opened)
        return {
            "open_ms": shown,
            "plain_frames_per_second": len(plain) * 1000 / sum(plain),
            "frames_per_second": len(frames) * 1000 / sum(frames),
            "frame_p95_ms": percentile(frames, 0.95),
            "scrolling_task_cpu_p99_ms": percentile([cpu for _, cpu in tasks], 0.99),
            "scrolling_longest_task_cpu_ms": max(cpu for _, cpu in tasks),
        }


async def _scroll(page: Page) -> list[float]:
    """Upwards, as with a wheel; how far the frames were apart, in milliseconds."""
    await page.mouse.move(500, 300)
    watching = asyncio.ensure_future(page.evaluate(SCROLLING, SCROLL_SECONDS))
    while not watching.done():
        await page.mouse.wheel(0, -300)
        await page.wait_for_timeout(30)
    return list(await watching)


async def _fill(server: Frontdesk, thread: str, *, provider: Provider) -> None:
    """Questions and answers in turns."""
    asked = server.request("POST", f"/api/threads/{thread}/messages", {"text": "How long is the coast?"})
    await ask_all(server.port, [asked], concurrency=1)
    server.end()
    fill(server.database, thread, MESSAGES)
    with sqlite3.connect(server.database) as connection:
        answers = "UPDATE messages SET role = 'assistant', text = ? WHERE thread_id = ? AND position % 2 = 1"
        connection.execute(answers, (SECTION, thread))
    await server.start(provider)


async def measure(bench: Bench) -> Rows:
    table = Table()
    if Frontdesk.name in bench.without:
        return table.rows()
    makes = [Frontdesk, partial(Frontdesk, name="without a model", CHAT_LLM_ENABLED="false")]
    async with bench.fleet(makes) as (provider, contenders):
        server, quiet = contenders
        assert isinstance(server, Frontdesk)
        assert isinstance(quiet, Frontdesk)
        thread = (await quiet.threads(1))[0]
        await _fill(quiet, thread, provider=provider)
        address = await _publish(server)
        async with _chromium() as browser:
            for _ in range(bench.count(1, 5)):
                table.add("Markdown", **await _stream(browser, address, SECTION))
                table.add("one paragraph", **await _stream(browser, address, WORDS))
                table.add("first token", **await _first(browser, address))
                table.add("thread of 10,000", **await _thread(browser, quiet, thread))
    return table.rows()
