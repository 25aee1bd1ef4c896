"""A proxy before an object store that fails a share of all requests, each in one of the ways in which stores fail."""

import random
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from yarl import URL

_FATES = ["refused", "cut", "unanswered", "half"]
_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}


class FlakyStorage:
    """`share` of the requests: refused with 503, cut off while they are sent, answered by nobody though done, or cut
    off in the middle of the answer.
    """

    def __init__(self, target: str, *, share: float, seed: int) -> None:
        self.share = share
        self.asked = self.failed = 0
        self._target = target
        self._random = random.Random(seed)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._session = aiohttp.ClientSession(auto_decompress=False)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        fate = (
            self._random.choice(["refused", "cut", "unanswered", "half"]) if self._random.random() < self.share else ""
        )
        self.failed += bool(fate)
        if fate == "cut":
            await request.content.read(1000)
            return self._reset(request)
        body = await request.read()
        if fate == "refused":
            return web.Response(status=503, text="<Error><Code>SlowDown</Code></Error>")
        url = URL(self._target + request.raw_path, encoded=True)
        async with self._session.request(request.method, url, headers=request.headers, data=body) as far:
            data = await far.read()
            if fate == "unanswered":
                return self._reset(request)
            headers = {name: value for name, value in far.headers.items() if name.lower() not in _HOP}
            response = web.StreamResponse(status=far.status, headers=headers)
            response.content_length = int(far.headers.get("Content-Length", len(data)))
            await response.prepare(request)
            if fate == "half":
                await response.write(data[: len(data) // 2])
                return self._reset(request)
            await response.write(data)
            return response

    @staticmethod
    def _reset(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()
