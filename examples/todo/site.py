"""What the page needs beside the gateway: its files, and the list of whoever is signed in there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import aiohttp
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from todo.scripted_model import complete, list_models
from todo.tasks import Tasks

WEB = Path(__file__).parent / "web"
_OK = 200
_TIMEOUT = aiohttp.ClientTimeout(total=10)


class Site:
    """`gateway` is its address as browsers see it, which is where a token says whose it is."""

    def __init__(self, gateway: str, tasks: Tasks) -> None:
        self._gateway = gateway.rstrip("/")
        self._tasks = tasks

    def app(self) -> Starlette:
        routes = [
            Route("/config.json", self._config),
            Route("/tasks", self._list),
            Route("/v1/models", list_models),
            Route("/v1/chat/completions", complete, methods=["POST"]),
            Mount("/", StaticFiles(directory=WEB, html=True)),
        ]
        policy = f"default-src 'self'; img-src data:; connect-src 'self' {self._gateway}; frame-ancestors 'none'"
        return Starlette(routes=routes, lifespan=self._lifespan, middleware=[Middleware(_Policy, policy)])

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as self._session:
            yield

    async def _config(self, _request: Request) -> Response:
        return JSONResponse({"gateway": self._gateway})

    async def _list(self, request: Request) -> Response:
        """The gateway knows its users; nothing that the page says of itself counts."""
        user_id = await self._user_id(request.headers.get("Authorization", ""))
        if user_id is None:
            return JSONResponse({"error": "Sign in first"}, 401)
        found = await self._tasks.list_all(user_id)
        return JSONResponse([asdict(task) for task in found], headers={"Cache-Control": "no-store"})

    async def _user_id(self, authorization: str) -> str | None:
        url, headers = f"{self._gateway}/api/auth/me", {"Authorization": authorization}
        async with self._session.get(url, headers=headers, allow_redirects=False) as response:
            return str((await response.json())["id"]) if response.status == _OK else None


class _Policy:
    """Nothing on the page comes from elsewhere, and it talks to nobody but the gateway (Content Security Policy 3)."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app = app
        self._headers = [(b"content-security-policy", policy.encode()), (b"x-content-type-options", b"nosniff")]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        await self._app(scope, receive, with_policy)
