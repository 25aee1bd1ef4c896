"""Who comes through to what is for the gateway's own parts: every route, and probes of each kind, with no key, wrong
ones, a user's token and the right key; and whatever else a stranger may claim or spell differently.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import httpx
import pytest
from fastapi import Request
from fastapi.routing import iter_route_contexts

from frontdesk.app import build_http
from frontdesk.http.routing import (
    INTERNAL_HEADER,
    Caller,
    DeclaredRoute,
    DeclaredRouter,
    DeclaredSocketRoute,
    InternalOrUser,
    PossibleCaller,
    PossibleVisitor,
    include,
    internal,
    operator,
    public,
)
from frontdesk.kit.ids import new_id
from harness.callers import assert_problem, founder
from harness.identities import settings_for
from harness.served import served

KEY = "the key of the gateway's own parts, ünguessable"
PATH_ID = re.compile(r"{\w+}")
PLACES = (("public", [public]), ("operator", [operator]), ("internal", [internal]))
TOKEN_ALONE = {"user", "user or external user"}
KEY_ALONE = {"internal"}
NEITHER = {"client secret"}
EITHER = {"internal or user"}
# These tests ask from this machine; whom an unknown public chat lets in is not told.
ANYBODY = {"public", "user or nobody", "user or visitor", "visitor", "operator"}

probes = DeclaredRouter("/probe", tag="probes")
for name, dependencies in PLACES:

    @probes.post(f"/{name}", dependencies=dependencies)
    async def say_nothing(request: Request) -> str:
        return "reached"


@probes.post("/user")
async def ask_user(caller: Caller) -> str:
    return "reached"


@probes.post("/internal-or-user")
async def ask_either(caller: InternalOrUser) -> str:
    return f"reached by {caller.kind}"


@probes.post("/user-or-nobody")
async def ask_possible(caller: PossibleCaller) -> str:
    return "reached"


@probes.post("/user-or-visitor")
async def ask_visitor(caller: PossibleVisitor) -> str:
    return "reached"


@dataclass(frozen=True)
class Boundary:
    client: httpx.AsyncClient
    token: dict[str, str]

    @property
    def root(self) -> str:
        return f"http://{self.client.base_url.netloc.decode()}"

    async def ask(self, path: str, headers: Any = None, *, method: str = "POST", body: bytes = b"") -> httpx.Response:
        return await self.client.request(method, self.root + path, headers=headers, content=body)

    async def raw(self, target: str, *fields: str) -> tuple[int, bytes]:
        """What a request line with exactly this target is answered; a client would tidy it up."""
        reader, writer = await asyncio.open_connection(*self.root.removeprefix("http://").split(":"))
        head = [f"POST {target} HTTP/1.1", "Host: x", "Content-Length: 0", "Connection: close", *fields]
        try:
            writer.write("\r\n".join([*head, "", ""]).encode())
            async with asyncio.timeout(30):
                answer = await reader.read()
        finally:
            writer.close()
        return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2]


@pytest.fixture(scope="module")
async def boundary(module_database_url: str) -> AsyncIterator[Boundary]:
    settings = settings_for(
        module_database_url,
        gateway__internal_api_key=KEY,
        sessions_allow_anonymous="true",
        gateway__allow_anonymous="true",
        llm_api_base="http://127.0.0.1:9/v1",
    )
    async with served(settings, probes) as client:
        yield Boundary(client, (await founder(client)).headers)


def _routes() -> list[tuple[str, str, str]]:
    """Method, path and declaration of every route, the probes' too."""
    http = build_http(settings_for("sqlite:///unused.db"))
    include(http, probes)
    found = []
    for context in iter_route_contexts(http.routes):
        route = context.original_route
        if context.path is not None and context.path != http.openapi_url:
            if isinstance(route, DeclaredSocketRoute):
                continue  # who may open one is told by a close code: test_websocket_gateway
            assert isinstance(route, DeclaredRoute), context.path
            found += [(method, context.path, route.declaration.scheme_name) for method in context.methods or ()]
    return found


def _key(value: str) -> list[tuple[str, bytes]]:
    return [(INTERNAL_HEADER, value.encode())]


WRONG_KEYS = ["", "x", KEY[:-1], f"{KEY}x", KEY.upper(), f"Bearer {KEY}", "change-me-internal-key"]
NO_KEYS: list[Any] = [
    [],
    *(_key(value) for value in WRONG_KEYS),
    [*_key(KEY), *_key(KEY)],
    [*_key("x"), *_key(KEY)],
    [("Authorization", f"Basic {KEY}".encode())],
    [("X-Internal-Auth-Key", KEY.encode()), ("X-Internal_Auth", KEY.encode())],
    [("Cookie", f"{INTERNAL_HEADER}={KEY}".encode())],
]


async def test_every_route_lets_in_whom_it_declares_and_nobody_else(boundary: Boundary) -> None:
    seen = set()
    for method, pattern, declared in _routes():
        path = PATH_ID.sub(lambda _: new_id(), pattern)
        if pattern.endswith(("/auth/logout", "/auth/login", "/auth/refresh")):
            continue  # their own 401 says something else; and the token is needed further on
        answers = {
            "no key": await boundary.ask(path, method=method),
            "wrong key": await boundary.ask(path, _key("wrong"), method=method),
            "token": await boundary.ask(path, boundary.token, method=method),
            "key": await boundary.ask(path, _key(KEY), method=method),
            "key as a token": await boundary.ask(path, {"Authorization": f"Bearer {KEY}".encode()}, method=method),
        }
        let_in = {name for name, answer in answers.items() if answer.status_code != 401}
        expected = {
            "no key": declared in ANYBODY,
            "wrong key": declared in ANYBODY,
            "token": declared in ANYBODY | TOKEN_ALONE | EITHER,
            "key": declared in ANYBODY | KEY_ALONE | EITHER,
            "key as a token": declared in {"public", "visitor", "operator"} | EITHER,
        }
        assert let_in == {name for name, is_let_in in expected.items() if is_let_in}, f"{method} {path}: {declared}"
        assert all(answer.status_code != 500 for answer in answers.values()), path
        seen.add(declared)
    assert seen == TOKEN_ALONE | KEY_ALONE | NEITHER | EITHER | ANYBODY


async def test_no_other_key_is_accepted(boundary: Boundary) -> None:
    assert (await boundary.ask("/probe/internal", _key(KEY))).json() == "reached"
    for headers in NO_KEYS:
        refused = await boundary.ask("/probe/internal", headers)
        assert_problem(refused, 401)
        assert KEY not in refused.text
        for path in ("/probe/internal", "/probe/internal-or-user"):
            both = [*headers, *boundary.token.items()]
            if any(name == INTERNAL_HEADER for name, _ in headers):
                assert_problem(await boundary.ask(path, both), 401, "bad_internal_key")


async def test_a_key_is_judged_before_the_body_is_read(boundary: Boundary) -> None:
    for body in (b'{"broken', b"\xff\xfe", b"[" * 100_000):
        headers = [*_key("wrong"), ("Content-Type", "application/json")]
        assert_problem(await boundary.ask("/probe/internal", headers, body=body), 401, "bad_internal_key")


async def test_who_asked_is_known(boundary: Boundary) -> None:
    assert (await boundary.ask("/probe/internal-or-user", _key(KEY))).json() == "reached by service"
    assert (await boundary.ask("/probe/internal-or-user", boundary.token)).json() == "reached by user"
    bearer = [("Authorization", f"Bearer {KEY}".encode())]
    assert (await boundary.ask("/probe/internal-or-user", bearer)).json() == "reached by service"


CLAIMS = [
    {name: value}
    for name, value in product(
        ("X-Forwarded-For", "X-Real-IP", "X-Client-IP", "Forwarded", "X-Forwarded-Host", "Host", "X-Original-Host"),
        ("127.0.0.1", "localhost", "for=127.0.0.1;host=localhost", "internal"),
    )
] + [
    {"X-User": "admin"},
    {"X-User-Id": "internal", "X-User-Role": "admin"},
    {"X-Forwarded-User": "internal", "X-Remote-User": "internal", "Remote-User": "internal"},
    {"X-Original-URL": "/probe/internal", "X-Rewrite-URL": "/probe/internal", "X-Forwarded-Prefix": "/probe"},
    {"X-HTTP-Method-Override": "POST", "X-Forwarded-Proto": "https"},
    {"X-Internal": "true", "X-Internal-Request": "1", "X-Service": "agent", "X-Auth-Request-User": "internal"},
]


async def test_nothing_else_that_a_caller_claims_counts(boundary: Boundary) -> None:
    for claim in CLAIMS:
        assert_problem(await boundary.ask("/probe/internal", claim), 401, "unauthenticated")
        assert_problem(await boundary.ask("/probe/internal", claim | boundary.token), 401, "unauthenticated")
        assert_problem(await boundary.ask("/probe/user", claim), 401, "unauthenticated")
        assert (await boundary.ask("/probe/internal-or-user", claim | boundary.token)).json() == "reached by user"


async def test_a_limit_counts_the_peer_whatever_it_claims(sqlite_url: str) -> None:
    """0 limit bypasses: another address each time, and each time one attempt more of the same peer."""
    async with served(settings_for(sqlite_url, login_attempts_per_address=5)) as client:
        statuses = []
        for number in range(8):
            claim = dict.fromkeys(("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP"), f"198.51.100.{number}")
            body = {"username": f"nobody-{number}", "password": "wrong wrong"}
            statuses.append((await client.post("/auth/login", json=body, headers=claim)).status_code)
        assert statuses == [401] * 5 + [429] * 3


SPELLINGS = [
    "/probe/internal",
    "/probe//internal",
    "//probe/internal",
    "/probe/internal/",
    "/probe/./internal",
    "/probe/x/../internal",
    "/health/../probe/internal",
    "/probe/user/../internal",
    "/probe/..%2fprobe/internal",
    "/probe%2finternal",
    "/probe%2Finternal",
    "/%70robe/internal",
    "/probe/%69nternal",
    "/probe/%2e%2e/probe/internal",
    "/probe/internal%00",
    "/probe/internal%20",
    "/probe/internal;x=1",
    "/probe/internal?x=1",
    "/probe/internal%3fx=1",
    "/probe/internal%23",
    "/PROBE/INTERNAL",
    "/Probe/Internal",
    "/probe\\internal",
    "/probe/%5cinternal",
    "/health%2f..%2fprobe/internal",
    "/probe%252finternal",
    "http://x/probe/internal",
    "http://127.0.0.1/probe/internal",
    "/metrics/../probe/internal",
]


async def test_no_spelling_of_a_path_leads_past_the_key(boundary: Boundary) -> None:
    """What is not refused for want of a key is nothing that is there."""
    refused = 0
    for target, fields in product(SPELLINGS, ([], [f"Authorization: {boundary.token['Authorization']}"])):
        status, body = await boundary.raw(target, *fields)
        assert status in {400, 401, 404}, target
        assert b"reached" not in body, target
        assert json.loads(body)["status"] == status, target
        refused += status == 401
    assert refused >= 8  # those that do lead there
