"""A user of the threads API: JSON over pooled connections, streams over raw ones of their own."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import aiohttp

from harness.sse_client import SseStream, open_sse

# What a caller sees of a server that is killed, down or cutting it off.
LOST = (OSError, EOFError, aiohttp.ClientError)


class TurnedAwayError(ConnectionError):
    """The server answered 503: the caller is to come again, as after a lost connection."""


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def replayed(self) -> bool:
        return self.headers.get("Idempotent-Replayed") == "true"


class ThreadsClient:
    """Every method raises one of `LOST` when no answer came."""

    def __init__(self, session: aiohttp.ClientSession, url: str, *, token: str | None, user_id: str) -> None:
        self.user_id = user_id
        self.headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._session = session
        self._url = url

    def at(self, url: str) -> "ThreadsClient":
        """The same user at another address."""
        other = ThreadsClient(self._session, url, token=None, user_id=self.user_id)
        other.headers = self.headers
        return other

    def place(self, execution_id: str | None = None) -> str:  # noqa: ARG002  whoever has several servers chooses by it
        """The address that the next request goes to; one for a stream of `execution_id` has that."""
        return self._url

    async def ask(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, seconds: float = 30
    ) -> Reply:
        headers = self.headers if key is None else {**self.headers, "Idempotency-Key": key}
        async with self._session.request(
            method,
            f"{self.place()}/api{path}",
            json=body,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=seconds),
        ) as response:
            data = await response.read()
            return Reply(response.status, response.headers.copy(), json.loads(data) if data else None)

    async def new_thread(self) -> str:
        made = await self.ask("POST", "/threads", {})
        if made.status == 503:
            raise TurnedAwayError
        assert made.status == 201, made
        return str(made.body["id"])

    async def send(self, thread_id: str, text: str, *, key: str | None = None, **body: Any) -> Reply:
        return await self.ask("POST", f"/threads/{thread_id}/messages", {"text": text, **body}, key=key)

    async def begin(self, thread_id: str, model: str, *, text: str = "Go on") -> str:
        """Sends a message and returns the execution's id."""
        sent = await self.send(thread_id, text, model=model)
        assert sent.status == 201, sent
        return str(sent.body["execution_id"])

    async def cancel(self, thread_id: str, execution_id: str) -> Reply:
        return await self.ask("POST", f"/threads/{thread_id}/executions/{execution_id}/cancel")

    def join(
        self,
        thread_id: str,
        execution_id: str,
        *,
        after: str | None = None,
        receive_buffer: int | None = None,
        through: int | None = None,
    ) -> AbstractAsyncContextManager[SseStream]:
        """Follows an answer; `through` is another port of this machine to reach the server by."""
        place = self.place(execution_id) if through is None else f"http://127.0.0.1:{through}"
        url = f"{place}/api/threads/{thread_id}/executions/{execution_id}/stream"
        return open_sse(url, headers=self.headers, last_event_id=after, receive_buffer=receive_buffer)

    def stream(
        self, thread_id: str, text: str, *, key: str | None = None, **body: Any
    ) -> AbstractAsyncContextManager[SseStream]:
        """Sends a message and follows its answer in one request."""
        headers = {**self.headers, "Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        content = json.dumps({"text": text, **body}).encode()
        url = f"{self.place()}/api/threads/{thread_id}/messages/stream"
        return open_sse(url, method="POST", headers=headers, body=content)

    async def messages(self, thread_id: str, *, limit: int = 100) -> AsyncIterator[dict[str, Any]]:
        """Newest first, page by page, each from behind the last."""
        after = ""
        while True:
            page = await self.ask("GET", f"/threads/{thread_id}/messages?limit={limit}{after}")
            if page.status == 503:
                raise TurnedAwayError
            assert page.status == 200, page
            for message in page.body["items"]:
                yield message
            if len(page.body["items"]) < limit:
                return
            after = f"&after={page.body['items'][-1]['id']}"

    async def find_message(self, thread_id: str, execution_id: str, *, role: str) -> dict[str, Any]:
        async for message in self.messages(thread_id):
            if message["execution_id"] == execution_id and message["role"] == role:
                return message
        raise AssertionError(f"the thread has no {role} message of {execution_id}")
