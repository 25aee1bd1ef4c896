"""The scripted provider as tests see it."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

POLL_SECONDS = 0.02


class ModelStub:
    """A running provider. `url` is the base address for a client, such as `http://127.0.0.1:1234/v1`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._root = url.removesuffix("/v1")

    async def calls(self, key: str) -> list[dict[str, Any]]:
        """The recorded calls whose script has this key."""
        listed: list[dict[str, Any]] = await asyncio.to_thread(self._ask, f"/stub/calls?key={key}")
        return listed

    async def open(self) -> int:
        answer = await asyncio.to_thread(self._ask, "/stub/open")
        return int(answer["open"])

    async def go_on(self, key: str) -> None:
        """Lets the answers go on that have stalled, of scripts with this key."""
        await asyncio.to_thread(self._ask, f"/stub/resume?key={key}", b"")

    async def call(
        self,
        key: str,
        until: Callable[[dict[str, Any]], bool] = lambda call: call["ended"] is not None,
        *,
        seconds: float,
    ) -> dict[str, Any]:
        """The one call of the script with this key, once `until` holds; fails when it does not in time."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            calls = await self.calls(key)
            if len(calls) == 1 and until(calls[0]):
                return calls[0]
            assert asyncio.get_running_loop().time() < deadline, f"not within {seconds} s: {calls}"
            await asyncio.sleep(POLL_SECONDS)

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        with urlopen(Request(self._root + path, body), timeout=10) as response:
            return json.load(response)
