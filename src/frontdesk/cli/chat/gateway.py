"""A Frontdesk server seen over HTTP: requests with their errors made typed, logged in, and renewed by itself."""

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import time
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientConnectorError, ClientError, ClientResponse, ClientSession, ClientTimeout

from frontdesk.cli.chat.credentials import Credentials, CredentialStore
from frontdesk.cli.chat.event_stream import EventStreamParser, ServerEvent
from frontdesk.cli.failures import CommandError

_REQUEST_TIMEOUT = ClientTimeout(total=30, sock_connect=5)
# The server speaks every 10 s while an answer runs, so three silences in a row are a dead connection.
_STREAM_TIMEOUT = ClientTimeout(total=None, sock_connect=5, sock_read=30)
_RENEW_AHEAD_SECONDS = 10.0
_UNAUTHORIZED = 401
# What the server answers while it drains, and a proxy while the server is away.
_COME_BACK_LATER = {502, 503, 504}


class GatewayError(CommandError):
    """The server refused: `code` is its machine code (RFC 9457 problem details)."""

    def __init__(self, message: str, *, status: int, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class NotReachedError(CommandError):
    """No answer came, or the server said to come back later; the same request may be tried again."""


class LoginNeededError(CommandError):
    """Nobody is logged in at this server from here, or the login has ended."""


def api_address(server: str) -> str:
    """The API's address for a server's: `/api` is added when the address has no path. Raises CommandError."""
    parts = urlsplit(server)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CommandError(f"{server} is not an http:// or https:// address.")
    return server.rstrip("/") if parts.path.strip("/") else server.rstrip("/") + "/api"


class Gateway:
    """One account at one server. Every method raises GatewayError, NotReachedError or LoginNeededError."""

    def __init__(self, http: ClientSession, api: str, store: CredentialStore) -> None:
        self._http = http
        self._api = api
        self._store = store

    async def log_in(self, username: str, password: str) -> None:
        with self._store.locked():
            pair = await self._post("/auth/login", {"username": username, "password": password})
            self._keep(username, pair)

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        return await self._authorized("GET", path, params=params)

    async def post(self, path: str, body: Any = None, *, idempotency_key: str | None = None) -> Any:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return await self._authorized("POST", path, json=body, headers=headers)

    async def events(self, path: str, *, after: str | None) -> AsyncIterator[ServerEvent]:
        """The events of a stream after the id `after`. Its end is not an error: see whether `[DONE]` came."""
        token = await self._access_token()
        try:
            async for event in self._events(path, token, after):
                yield event
        except GatewayError as error:
            if error.status != _UNAUTHORIZED:
                raise
        else:
            return
        async for event in self._events(path, await self._renewed(token), after):
            yield event

    async def _events(self, path: str, token: str, after: str | None) -> AsyncIterator[ServerEvent]:
        headers = {"Accept": "text/event-stream", **_bearer(token)}
        if after:
            headers["Last-Event-ID"] = after
        parser = EventStreamParser()
        async with self._answer("GET", path, headers=headers, timeout=_STREAM_TIMEOUT) as response:
            async for piece in response.content.iter_any():
                for event in parser.feed(piece):
                    yield event

    async def _authorized(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Any:
        token = await self._access_token()
        try:
            return await self._json(method, path, headers={**(headers or {}), **_bearer(token)}, **options)
        except GatewayError as error:
            if error.status != _UNAUTHORIZED:
                raise
        token = await self._renewed(token)
        return await self._json(method, path, headers={**(headers or {}), **_bearer(token)}, **options)

    async def _access_token(self) -> str:
        known = self._store.find(self._api)
        if known is None:
            raise LoginNeededError(f"You are not logged in at {self._api}.")
        if known.expires_at - _RENEW_AHEAD_SECONDS > time():
            return known.access_token
        return await self._renewed(known.access_token)

    async def _renewed(self, spent: str) -> str:
        with self._store.locked():
            known = self._store.find(self._api)
            if known is None:
                raise LoginNeededError(f"You are not logged in at {self._api}.")
            if known.access_token != spent:
                return known.access_token
            try:
                pair = await self._post("/auth/refresh", {"refresh_token": known.refresh_token})
            except GatewayError as error:
                if error.status != _UNAUTHORIZED:
                    raise
                self._store.forget(self._api)
                raise LoginNeededError(f"The login at {self._api} has ended.") from error
            self._keep(known.username, pair)
            return str(pair["access_token"])

    def _keep(self, username: str, pair: Mapping[str, Any]) -> None:
        credentials = Credentials(
            username, pair["access_token"], pair["refresh_token"], expires_at=time() + pair["expires_in"]
        )
        self._store.save(self._api, credentials)

    async def _post(self, path: str, body: Any) -> Any:
        return await self._json("POST", path, json=body)

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        async with self._answer(method, path, timeout=_REQUEST_TIMEOUT, **options) as response:
            body = await response.read()
            return json.loads(body) if body else None

    @asynccontextmanager
    async def _answer(self, method: str, path: str, **options: Any) -> AsyncIterator[ClientResponse]:
        try:
            async with self._http.request(method, self._api + path, allow_redirects=False, **options) as response:
                await _refuse_problems(response)
                yield response
        except (ClientError, TimeoutError, ValueError) as error:
            raise NotReachedError(f"{self._api} cannot be reached: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, ClientConnectorError):
        return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def _refuse_problems(response: ClientResponse) -> None:
    if response.status in range(200, 300):
        return
    try:
        problem = json.loads(await response.read())
    except ValueError:
        problem = None
    is_ours = isinstance(problem, dict) and "code" in problem
    message = (
        str(problem.get("detail") or problem.get("title")) if is_ours else f"{response.url} is not Frontdesk's API"
    )
    if response.status in _COME_BACK_LATER:
        raise NotReachedError(f"{message} ({response.status})")
    raise GatewayError(message, status=response.status, code=str(problem["code"]))
