"""Accounts as administrators change them over HTTP, and what that does to those who are signed in."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from frontdesk.kit.ids import new_id
from harness.callers import Caller, assert_problem, founder, newcomer
from harness.identities import PASSWORD, settings_for
from harness.served import served


@pytest.fixture(scope="module")
async def client(each_module_database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with served(settings_for(each_module_database_url)) as opened:
        yield opened


@pytest.fixture(scope="module")
async def admin(client: httpx.AsyncClient) -> Caller:
    return await founder(client)


async def test_an_administrator_lists_everybody_by_key(admin: Caller) -> None:
    person = await newcomer(admin, "olga", email="olga@shop.example", allowed_agents=["a"])
    first = await admin.made("GET", "/users?limit=1")
    assert [each["id"] for each in first["items"]] == [admin.id]
    assert first["default_tier"] in first["tiers"]
    rest = await admin.made("GET", f"/users?limit=100&after={admin.id}")
    (found,) = [each for each in rest["items"] if each["id"] == person.id]
    assert found.pop("created_at")
    assert found == {
        "id": person.id,
        "username": "olga",
        "email": "olga@shop.example",
        "role": "user",
        "is_active": True,
        "tier": None,
        "permissions": {"products": None, "agents": ["a"]},
    }
    assert rest["total"] == first["total"] >= 2
    assert admin.id not in [each["id"] for each in (await admin.made("GET", "/users?limit=1&page=2"))["items"]]


async def test_nobody_else_sees_or_changes_accounts(admin: Caller) -> None:
    person = await newcomer(admin, "petya")
    assert_problem(await person.send("GET", "/users"), 403, "forbidden")
    for user_id in (person.id, admin.id, new_id()):
        assert_problem(await person.send("PATCH", f"/users/{user_id}", json={"role": "admin"}), 403, "forbidden")
    assert (await person.made("GET", "/auth/me"))["role"] == "user"


async def test_what_is_changed_is_and_the_rest_stays(admin: Caller) -> None:
    person = await newcomer(admin, "rita", allowed_products=["p"])
    path = f"/users/{person.id}"
    tier = (await admin.made("GET", "/users"))["tiers"][-1]
    changed = await admin.made("PATCH", path, json={"tier": tier, "allowed_agents": ["a", "b"], "id": new_id()})
    assert (changed["id"], changed["tier"], changed["role"]) == (person.id, tier, "user")
    assert changed["permissions"] == {"products": ["p"], "agents": ["a", "b"]}
    cleared = await admin.made("PATCH", path, json={"tier": None, "allowed_products": None})
    assert (cleared["tier"], cleared["permissions"]) == (None, {"products": None, "agents": ["a", "b"]})
    assert (await person.made("GET", "/auth/me"))["permissions"] == cleared["permissions"]


@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "another password"}])
async def test_a_suspension_and_a_new_password_end_every_log_in(admin: Caller, change: dict[str, Any]) -> None:
    person = await newcomer(admin, f"user of {next(iter(change))}")
    await admin.made("PATCH", f"/users/{person.id}", json=change)
    assert_problem(await person.send("GET", "/auth/me"), 401)
    old = {"username": person.username, "password": PASSWORD}
    assert_problem(await person.client.post("/auth/login", json=old), 401, "bad_credentials")


async def test_a_role_that_is_lost_ends_log_ins_and_one_that_is_won_does_not(admin: Caller) -> None:
    person = await newcomer(admin, "vera")
    await admin.made("PATCH", f"/users/{person.id}", json={"role": "admin"})
    assert (await person.made("GET", "/users"))["total"] >= 2
    await admin.made("PATCH", f"/users/{person.id}", json={"role": "user"})
    assert_problem(await person.send("GET", "/auth/me"), 401)


@pytest.mark.parametrize("change", [{"role": "user"}, {"is_active": False}])
async def test_an_administrator_does_not_lock_themselves_out(admin: Caller, change: dict[str, Any]) -> None:
    assert_problem(await admin.send("PATCH", f"/users/{admin.id}", json=change), 409, "own_account")
    assert (await admin.made("GET", "/auth/me"))["role"] == "admin"


@pytest.mark.parametrize(
    "change",
    [{"tier": "no such tier"}, {"password": "short"}, {"role": "root"}, {"is_active": "no"}, {"allowed_agents": [""]}],
)
async def test_what_is_not_acceptable_changes_nothing(admin: Caller, change: dict[str, Any]) -> None:
    person = await newcomer(admin, f"of {next(iter(change))} {next(iter(change.values()))}")
    before = [each for each in (await admin.made("GET", "/users?limit=100"))["items"] if each["id"] == person.id]
    assert_problem(await admin.send("PATCH", f"/users/{person.id}", json=change), 422)
    after = [each for each in (await admin.made("GET", "/users?limit=100"))["items"] if each["id"] == person.id]
    assert after == before
    assert_problem(await admin.send("PATCH", f"/users/{new_id()}", json={"role": "admin"}), 404, "not_found")
