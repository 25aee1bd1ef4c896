"""The accounts routes over real sockets and real databases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import httpx
import pytest

from frontdesk.identity.tokens import service
from harness.identities import PASSWORD, settings_for
from harness.served import served

ANN = {"username": "ann", "password": PASSWORD}


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with served(settings_for(database_url)) as client:
        yield client


@pytest.fixture
async def sqlite_client(sqlite_url: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = settings_for(
        sqlite_url, login_attempts_per_user=3, login_attempts_per_address=5, trusted_proxies="127.0.0.1"
    )
    async with served(settings) as client:
        yield client


def bearer(pair: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {pair['access_token']}"}


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert {"type", "title", "status", "detail", "code"} <= problem.keys()
    assert (problem["status"], problem["code"]) == (status, code)
    if status == 401:
        assert response.headers["www-authenticate"].startswith("Bearer")


async def sign_in(client: httpx.AsyncClient, account: dict[str, Any] = ANN) -> dict[str, Any]:
    answer = await client.post("/auth/login", json={name: account[name] for name in ("username", "password")})
    assert answer.status_code == 200, answer.text
    pair: dict[str, Any] = answer.json()
    return pair


async def test_the_life_of_an_account(client: httpx.AsyncClient) -> None:
    made = await client.post("/auth/register", json={**ANN, "email": "ann@example.org", "role": "user"})
    assert made.status_code == 201
    user = made.json()
    assert user.keys() == {"id", "username", "email", "role", "permissions", "created_at"}
    assert (user["role"], user["permissions"]) == ("admin", {"products": None, "agents": None})
    assert user["created_at"].endswith("Z")

    pair = await sign_in(client)
    assert pair.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert (pair["token_type"], pair["expires_in"]) == ("bearer", 900)
    assert (await client.get("/auth/me", headers=bearer(pair))).json() == user

    refreshed = await client.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]})
    assert refreshed.status_code == 200
    assert refreshed.headers["cache-control"] == "no-store"
    assert (await client.get("/auth/me", headers=bearer(refreshed.json()))).status_code == 200

    assert (await client.post("/auth/logout", headers=bearer(pair))).status_code == 204
    for dead in (pair, refreshed.json()):
        assert_problem(await client.get("/auth/me", headers=bearer(dead)), 401, "bad_token")
        token = {"refresh_token": dead["refresh_token"]}
        assert_problem(await client.post("/auth/refresh", json=token), 401, "bad_token")
    assert await sign_in(client)


async def test_the_first_of_two_processes_wins(database_url: str) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(served(settings_for(database_url))) for _ in range(2)]
        answers = await asyncio.gather(
            *(
                clients[number % 2].post("/auth/register", json={**ANN, "username": f"user{number}", "role": "admin"})
                for number in range(8)
            )
        )
    assert sorted(answer.status_code for answer in answers) == [201] + [403] * 7
    for answer in answers:
        if answer.status_code == 403:
            assert_problem(answer, 403, "forbidden")


async def test_only_administrators_register_others(client: httpx.AsyncClient) -> None:
    await client.post("/auth/register", json=ANN)
    admin = bearer(await sign_in(client))
    bob = {"username": "bob", "password": PASSWORD, "allowed_products": ["p1"], "allowed_agents": []}
    assert_problem(await client.post("/auth/register", json=bob), 403, "forbidden")
    made = await client.post("/auth/register", json=bob, headers=admin)
    assert made.status_code == 201
    assert (made.json()["role"], made.json()["permissions"]) == ("user", {"products": ["p1"], "agents": []})
    as_bob = bearer(await sign_in(client, bob))
    carl = {"username": "carl", "password": PASSWORD, "role": "admin"}
    assert_problem(await client.post("/auth/register", json=carl, headers=as_bob), 403, "forbidden")
    assert_problem(
        await client.post("/auth/register", json={**bob, "username": "BOB"}, headers=admin), 409, "username_taken"
    )
    bad = {"Authorization": "Bearer nonsense"}
    assert_problem(await client.post("/auth/register", json=carl, headers=bad), 401, "bad_token")


async def test_fields_that_are_not_a_callers_have_no_effect(client: httpx.AsyncClient) -> None:
    await client.post("/auth/register", json=ANN)
    admin = bearer(await sign_in(client))
    extra = {
        "id": "01900000-0000-7000-8000-000000000000",
        "is_admin": True,
        "is_active": False,
        "token_version": 7,
        "founder": 1,
        "password_hash": "x",
        "permissions": {"products": ["all"]},
        "tenant": "other",
        "created_at": "2001-01-01T00:00:00Z",
    }
    made = await client.post("/auth/register", json={"username": "bob", "password": PASSWORD, **extra}, headers=admin)
    user = made.json()
    assert made.status_code == 201
    assert user["id"] != extra["id"]
    assert (user["role"], user["permissions"]) == ("user", {"products": None, "agents": None})
    assert not user["created_at"].startswith("2001")
    pair = await sign_in(client, {"username": "bob", "password": PASSWORD})
    assert (await client.get("/auth/me", headers=bearer(pair))).json() == user


async def test_a_key_makes_one_account(client: httpx.AsyncClient) -> None:
    await client.post("/auth/register", json=ANN)
    headers = {**bearer(await sign_in(client)), "Idempotency-Key": "k1"}
    bob = {"username": "bob", "password": PASSWORD}
    answers = await asyncio.gather(*(client.post("/auth/register", json=bob, headers=headers) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 5
    other = await client.post("/auth/register", json={**bob, "password": "something else"}, headers=headers)
    assert_problem(other, 422, "idempotency_key_reused")


WRONG_BODIES: list[tuple[str, bytes, int, str]] = [
    ("register", b"{", 400, "malformed_json"),
    ("register", b"[" * 5000 + b"]" * 5000, 400, "malformed_json"),
    ("register", b"{}", 422, "validation_error"),
    ("register", b'{"username":"ann","password":"short"}', 422, "validation_error"),
    ("register", b'{"username":" ann","password":"correct horse"}', 422, "validation_error"),
    ("register", b'{"username":"a\\u0000b","password":"correct horse"}', 422, "validation_error"),
    ("register", b'{"username":"ann","password":"correct horse","role":"owner"}', 422, "validation_error"),
    ("register", b'{"username":"ann","password":"' + "é".encode() * 600 + b'"}', 422, "validation_error"),
    ("login", b'{"username":{"$ne":1},"password":"correct horse"}', 422, "validation_error"),
    ("login", b'{"username":"nobody","password":"correct horse"}', 401, "bad_credentials"),
    ("login", b"null", 422, "validation_error"),
    ("refresh", b'{"refresh_token":"x"}', 401, "bad_token"),
    ("refresh", b'{"refresh_token":5}', 422, "validation_error"),
    ("refresh", b" " * 1_100_000, 413, "body_too_large"),
]


async def test_bodies_that_are_not_right(client: httpx.AsyncClient) -> None:
    for path, body, status, code in WRONG_BODIES:
        headers = {"Content-Type": "application/json"}
        assert_problem(await client.post(f"/auth/{path}", content=body, headers=headers), status, code)


async def test_an_access_token_does_not_refresh(client: httpx.AsyncClient) -> None:
    await client.post("/auth/register", json=ANN)
    pair = await sign_in(client)
    answer = await client.post("/auth/refresh", json={"refresh_token": pair["access_token"]})
    assert_problem(answer, 401, "bad_token")
    assert_problem(
        await client.get("/auth/me", headers={"Authorization": f"Bearer {pair['refresh_token']}"}), 401, "bad_token"
    )
    assert_problem(await client.get("/auth/me"), 401, "unauthenticated")


async def test_50_tabs_refresh_at_once(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "LINGER", timedelta(seconds=1))  # a busy machine stands still for longer than usual
    await client.post("/auth/register", json=ANN)
    pair = await sign_in(client)
    for _ in range(3):
        used = {"refresh_token": pair["refresh_token"]}
        answers = await asyncio.gather(*(client.post("/auth/refresh", json=used) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.text for answer in answers}) == 1
        pair = answers[0].json()
    assert_problem(await client.post("/auth/refresh", json=used), 401, "bad_token")
    assert_problem(await client.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]}), 401, "bad_token")


async def test_a_name_that_failed_too_often_is_refused_even_when_right(sqlite_client: httpx.AsyncClient) -> None:
    await sqlite_client.post("/auth/register", json=ANN)
    for _ in range(3):
        wrong = await sqlite_client.post("/auth/login", json={**ANN, "password": "wrong"})
        assert_problem(wrong, 401, "bad_credentials")
    refused = await sqlite_client.post("/auth/login", json=ANN)
    assert_problem(refused, 429, "rate_limited")
    seconds = int(refused.headers["retry-after"])
    assert 1 <= seconds <= 300
    assert refused.headers["ratelimit-policy"] == '"login-user";q=3;w=300'
    assert refused.headers["ratelimit"] == f'"login-user";r=0;t={seconds}'


async def test_an_address_that_failed_too_often_is_refused_and_another_is_not(sqlite_client: httpx.AsyncClient) -> None:
    await sqlite_client.post("/auth/register", json=ANN)
    for number in range(5):
        # What stands left of the last entry is the client's own word and changes nothing.
        forged = {"X-Forwarded-For": f"203.0.113.{number}, 198.51.100.7"}
        wrong = {"username": f"user{number}", "password": "wrong"}
        assert_problem(await sqlite_client.post("/auth/login", json=wrong, headers=forged), 401, "bad_credentials")
    refused = await sqlite_client.post("/auth/login", json=ANN, headers={"X-Forwarded-For": "198.51.100.7"})
    assert_problem(refused, 429, "rate_limited")
    assert refused.headers["ratelimit-policy"] == '"login-address";q=5;w=300'
    accepted = await sqlite_client.post("/auth/login", json=ANN, headers={"X-Forwarded-For": "198.51.100.8"})
    assert accepted.status_code == 200
