"""Shared copies of threads: what a reader without an account is shown, and when the address opens nothing any more."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from frontdesk.conversation.sharing.service import MAX_SHARES
from harness.callers import Caller, assert_problem, founder, newcomer
from harness.identities import settings_for
from harness.model_stub import ModelStub
from harness.served import served


@pytest.fixture(scope="module")
async def client(each_module_database_url: str, model_stub: ModelStub) -> AsyncIterator[httpx.AsyncClient]:
    settings = settings_for(
        each_module_database_url, llm_enabled=True, llm_api_base=model_stub.url, llm_default_model="scripted?tokens=3"
    )
    async with served(settings) as opened:
        yield opened


@pytest.fixture(scope="module")
async def admin(client: httpx.AsyncClient) -> Caller:
    return await founder(client)


@pytest.fixture(scope="module")
async def owner(admin: Caller) -> Caller:
    return await newcomer(admin, "olga")


async def shared(owner: Caller, *, title: str = "Maps", **thread: Any) -> tuple[str, dict[str, Any]]:
    """A thread with an answer, and a share of it."""
    made = (await owner.made("POST", "/threads", json={"title": title, **thread}))["id"]
    await owner.answered(made, "hello")
    return made, await owner.made("POST", f"/threads/{made}/share")


async def read(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.get(f"/shared/{token}")


async def test_a_reader_is_told_what_was_said_and_nothing_else(client: httpx.AsyncClient, owner: Caller) -> None:
    thread, share = await shared(owner)
    assert share.keys() == {"id", "title", "message_count", "is_cut", "created_at", "token", "path"}
    assert (share["title"], share["message_count"], share["is_cut"]) == ("Maps", 2, False)
    assert share["path"] == f"/s/{share['token']}"
    answer = await read(client, share["token"])
    assert answer.status_code == 200
    assert answer.headers["x-robots-tag"] == "noindex, nofollow"
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert told.keys() == {"title", "created_at", "is_cut", "messages"}
    assert [message.keys() for message in told["messages"]] == [{"role", "text", "created_at", "files"}] * 2
    assert [(each["role"], each["text"]) for each in told["messages"]] == [
        ("user", "hello"),
        ("assistant", "t0 t1 t2 "),
    ]
    for secret in (owner.id, thread, owner.username):
        assert secret not in answer.text
    listed = await owner.made("GET", f"/threads/{thread}/share")
    assert listed == {"items": [{name: share[name] for name in share.keys() - {"token", "path"}}]}


async def test_a_share_stays_as_it_was_made(client: httpx.AsyncClient, owner: Caller) -> None:
    thread, share = await shared(owner)
    before = (await read(client, share["token"])).json()
    await owner.answered(thread, "and now?")
    await owner.made("PATCH", f"/threads/{thread}", json={"title": "Other"})
    assert (await read(client, share["token"])).json() == before


async def test_only_the_branch_in_use_is_shared(client: httpx.AsyncClient, owner: Caller) -> None:
    made = (await owner.made("POST", "/threads", json={}))["id"]
    root = await owner.answered(made, "hello")
    await owner.answered(made, "the hidden one")
    await owner.answered(made, "the one in use", parent_id=root["id"])
    share = await owner.made("POST", f"/threads/{made}/share")
    told = await read(client, share["token"])
    assert "the one in use" in told.text
    assert "the hidden one" not in told.text


async def test_what_only_the_model_is_told_is_not_shared(client: httpx.AsyncClient, owner: Caller) -> None:
    sessions = f"{str(client.base_url).removesuffix('/api/')}/chat/sessions"
    session = (await owner.made("POST", sessions, json={"title": "Instructed"}))["id"]
    for role, content in (("system", "a hidden instruction"), ("tool", "a hidden result"), ("user", "hello")):
        await owner.made("POST", f"{sessions}/{session}/messages", json={"role": role, "content": content})
    threads = (await owner.made("GET", "/threads?limit=100"))["items"]
    (made,) = [each["id"] for each in threads if each["title"] == "Instructed"]
    share = await owner.made("POST", f"/threads/{made}/share")
    told = await read(client, share["token"])
    assert {each["role"] for each in told.json()["messages"]} <= {"user", "assistant"}
    assert "hello" in told.text
    assert "hidden" not in told.text


async def test_a_file_is_its_name_alone(client: httpx.AsyncClient, owner: Caller) -> None:
    uploaded = await owner.made("POST", "/attachments", files={"file": ("plan.txt", b"words")})
    made = (await owner.made("POST", "/threads", json={}))["id"]
    await owner.answered(made, "look", attachments=[uploaded["id"]])
    share = await owner.made("POST", f"/threads/{made}/share")
    told = await read(client, share["token"])
    assert told.json()["messages"][0]["files"] == ["plan.txt"]
    assert uploaded["id"] not in told.text
    assert "download" not in told.text


async def test_what_is_revoked_hidden_or_erased_opens_nothing(client: httpx.AsyncClient, owner: Caller) -> None:
    thread, share = await shared(owner)
    assert (await owner.send("DELETE", f"/threads/{thread}/share/{share['id']}")).status_code == 204
    assert_problem(await read(client, share["token"]), 404, "not_found")
    assert_problem(await owner.send("DELETE", f"/threads/{thread}/share/{share['id']}"), 404, "not_found")
    again = await owner.made("POST", f"/threads/{thread}/share")
    await owner.send("DELETE", f"/threads/{thread}")
    assert_problem(await read(client, again["token"]), 404, "not_found")
    await owner.made("PATCH", f"/threads/{thread}", json={"is_deleted": False})
    assert (await read(client, again["token"])).status_code == 200
    await owner.send("DELETE", f"/threads/{thread}?purge=true")
    assert_problem(await read(client, again["token"]), 404, "not_found")


async def test_shares_end_with_their_owners_account_and_permissions(client: httpx.AsyncClient, admin: Caller) -> None:
    person = await newcomer(admin, "sasha")
    _, share = await shared(person, metadata={"product_id": "a"})
    path = f"/users/{person.id}"
    for lost, given in (
        ({"is_active": False}, {"is_active": True}),
        ({"allowed_products": []}, {"allowed_products": None}),
    ):
        await admin.made("PATCH", path, json=lost)
        assert_problem(await read(client, share["token"]), 404, "not_found")
        await admin.made("PATCH", path, json=given)
        assert (await read(client, share["token"])).status_code == 200


async def test_a_thread_has_so_many_shares(owner: Caller) -> None:
    thread = (await owner.made("POST", "/threads", json={}))["id"]
    for _ in range(MAX_SHARES):
        await owner.made("POST", f"/threads/{thread}/share")
    assert_problem(await owner.send("POST", f"/threads/{thread}/share"), 409, "too_many_shares")


@pytest.mark.parametrize("token", ["x", "a" * 32, "a" * 5_000, "%00", "é" * 32, "' OR 1=1 --" + "a" * 21])
async def test_a_wrong_token_opens_nothing(client: httpx.AsyncClient, token: str) -> None:
    assert_problem(await read(client, token), 404, "not_found")
