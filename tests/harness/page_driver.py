"""A page in Chromium, driven over its own protocol (Chrome DevTools Protocol)."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

_SECONDS = 60.0
_POLL_SECONDS = 0.03
_ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--remote-debugging-port=0", "about:blank"),
)


class Page:
    """`complaints` are its errors: what its scripts threw, and what the browser refused it."""

    def __init__(self, connection: ClientConnection, session_id: str = "") -> None:
        self._connection = connection
        self._session = {"sessionId": session_id} if session_id else {}
        self._numbers = count(1)
        self.complaints: list[Any] = []

    async def call(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params, **self._session}
        await self._connection.send(json.dumps(message))
        while True:
            told = json.loads(await self._connection.recv())
            if told.get("id") == number:
                assert "error" not in told, told
                return told["result"]
            if told.get("method") in {"Runtime.exceptionThrown", "Log.entryAdded"}:
                self.complaints.append(told["params"])

    async def run(self, script: str) -> Any:
        """What the expression gives, as JSON."""
        answer = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, condition: str) -> None:
        deadline = asyncio.get_running_loop().time() + _SECONDS
        while not await self.run(f"Boolean({condition})"):
            if asyncio.get_running_loop().time() > deadline:
                shown = await self.run("document.body.innerText")
                raise AssertionError(f"{condition} never held: {shown}, {self.complaints}")
            await asyncio.sleep(_POLL_SECONDS)

    async def visit(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.until(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")


@asynccontextmanager
async def opened_page(folder: Path) -> AsyncIterator[Page]:
    """An empty one, in a browser of its own. `folder` keeps what the browser keeps."""
    browser = await asyncio.create_subprocess_exec(
        "chromium", f"--user-data-dir={folder}", *_ARGUMENTS, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with connect(await _address(browser), max_size=None) as connection:
            root = Page(connection)
            target = await root.call("Target.createTarget", url="about:blank")
            attached = await root.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
            page = Page(connection, attached["sessionId"])
            for domain in ("Runtime", "Log", "Page"):
                await page.call(f"{domain}.enable")
            yield page
    finally:
        browser.terminate()
        await browser.communicate()


async def _address(browser: asyncio.subprocess.Process) -> str:
    assert browser.stderr is not None
    async for line in browser.stderr:
        if (found := re.search(rb"ws://\S+", line)) is not None:
            return found[0].decode()
    raise AssertionError("Chromium did not start")
