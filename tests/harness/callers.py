"""People who call the threads API, and what each of its refusals must look like."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from harness.identities import PASSWORD

POLL_SECONDS = 0.02
MEMBERS = {"type", "title", "status", "detail", "code"}


@dataclass(frozen=True)
class Caller:
    """Someone with an account who has signed in; `send` asks in their name."""

    client: httpx.AsyncClient
    id: str
    username: str
    headers: dict[str, str] = field(repr=False)

    async def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {**self.headers, **request.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **request)

    async def made(self, method: str, path: str, **request: Any) -> Any:
        """The JSON of an answer that must be a success."""
        answer = await self.send(method, path, **request)
        assert answer.is_success, answer.text
        return answer.json()

    async def say(self, thread_id: str, text: str = "hello", /, **fields: Any) -> Any:
        return await self.made("POST", f"/threads/{thread_id}/messages", json={"text": text, **fields})

    async def until(self, path: str, holds: Callable[[Any], bool], *, seconds: float = 60) -> Any:
        """What is at `path` once `holds` is true of it."""
        async with asyncio.timeout(seconds):
            while True:
                value = await self.made("GET", path)
                if holds(value):
                    return value
                await asyncio.sleep(POLL_SECONDS)

    async def answered(self, thread_id: str, text: str = "hello", /, **fields: Any) -> Any:
        """Sends a message and gives it as it is when its answer has ended."""
        sent = await self.say(thread_id, text, **fields)
        await self.until(f"/threads/{thread_id}", lambda thread: thread["active_execution_id"] is None)
        return sent


async def founder(client: httpx.AsyncClient, username: str = "ada") -> Caller:
    """The first account, an administrator."""
    return await _register(client, {"username": username, "password": PASSWORD}, {})


async def newcomer(admin: Caller, username: str, **fields: Any) -> Caller:
    return await _register(admin.client, {"username": username, "password": PASSWORD, **fields}, admin.headers)


async def _register(client: httpx.AsyncClient, account: dict[str, Any], headers: dict[str, str]) -> Caller:
    made = await client.post("/auth/register", json=account, headers=headers)
    assert made.status_code == 201, made.text
    pair = await client.post("/auth/login", json={name: account[name] for name in ("username", "password")})
    assert pair.status_code == 200, pair.text
    token = {"Authorization": f"Bearer {pair.json()['access_token']}"}
    return Caller(client, made.json()["id"], account["username"], token)


def assert_problem(response: httpx.Response, status: int | None = None, code: str | None = None) -> dict[str, Any]:
    """The problem document, without the id of its request."""
    told = f"{response.request.method} {response.request.url} gave {response.status_code} {response.text[:500]}"
    assert response.status_code >= 400, told
    assert response.status_code == (status or response.status_code), told
    assert response.headers["content-type"] == "application/problem+json", told
    problem: dict[str, Any] = response.json()
    assert problem.keys() >= MEMBERS, told
    assert problem["status"] == response.status_code, told
    assert problem["code"] == (code or problem["code"]), told
    assert all(isinstance(problem[name], str) for name in MEMBERS - {"status"}), told
    if response.status_code == 401:
        assert response.headers["www-authenticate"].startswith("Bearer"), told
    assert "Traceback" not in response.text, told
    problem.pop("request_id", None)
    return problem
