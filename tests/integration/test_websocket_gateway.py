"""Sockets: the shapes byte for byte, what each bad message is told, who may open one, and when it is closed."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chaos.sockets import SENTINEL, junk
from frontdesk.identity.users.models import Role
from frontdesk.settings import Settings
from harness.callers import Caller, founder, newcomer
from harness.identities import open_identity, settings_for
from harness.model_stub import ModelStub
from harness.served import served
from harness.sockets import Socket, open_socket, text_of
from harness.transcript import numbered

TOKENS = 5
REVOKED_SECONDS = 5.0


@dataclass(frozen=True)
class Gateway:
    client: httpx.AsyncClient
    root: str
    admin: Caller
    settings: Settings

    def socket(
        self, name: str = "demo", caller: Caller | None = None, **options: Any
    ) -> AbstractAsyncContextManager[Socket]:
        headers = {**options.pop("headers", {}), **(caller.headers if caller else {})}
        return open_socket(self.root, name, headers=headers, **options)

    async def ticket(self, caller: Caller | None = None, **body: Any) -> dict[str, Any]:
        headers = caller.headers if caller else {}
        made = await self.client.post("/ws-tickets", json=body, headers=headers)
        assert made.status_code == 201, made.text
        found: dict[str, Any] = made.json()
        return found


@pytest.fixture(scope="module")
async def gateway(module_database_url: str, model_stub: ModelStub) -> AsyncIterator[Gateway]:
    settings = settings_for(
        module_database_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        llm_default_model=f"scripted?tokens={TOKENS}",
        gateway__allow_anonymous="loopback",
        gateway__allowed_origins="https://shop.example",
        gateway__sockets_per_caller=20,
        max_body_bytes=262_144,
    )
    async with served(settings) as client:
        root = str(client.base_url).removesuffix(f"{settings.api_prefix}/")
        yield Gateway(client, root, await founder(client), settings)


async def test_the_plain_example_works_on_this_machine(gateway: Gateway) -> None:
    async with gateway.socket("demo-session") as socket:
        await socket.send(json.dumps({"type": "user_message", "content": "привет, агент!"}))
        messages = await socket.answer()
    expected = [{"type": "assistant_message", "token": f"t{n} ", "is_final": False} for n in range(TOKENS)]
    expected.append({"type": "assistant_message", "token": "", "is_final": True})
    assert [{key: value for key, value in message.items() if key != "seq"} for message in messages] == expected
    assert all(type(message["seq"]) is int for message in messages)


async def test_messages_are_byte_for_byte_as_documented(gateway: Gateway) -> None:
    async with gateway.socket("bytes") as socket:
        await socket.say()
        first = await socket.connection.recv()
        assert isinstance(first, str)
        assert first.startswith('{"type":"assistant_message","token":"t0 ","is_final":false,"seq":')
        await socket.answer()
        await socket.send("{")
        assert await socket.connection.recv() == '{"type":"error","content":"Invalid JSON message"}'


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("", "Invalid JSON message"),
        ("nonsense", "Invalid JSON message"),
        ("[]", "Invalid JSON message"),
        ("null", "Invalid JSON message"),
        ('"text"', "Invalid JSON message"),
        ("[" * 3000, "Invalid JSON message"),
        ({}, "Missing message type"),
        ({"type": "shout"}, "Unknown message type"),
        ({"type": ["user_message"]}, "Unknown message type"),
        ({"type": "user_message"}, "Missing content"),
        ({"type": "user_message", "content": ""}, "content must be a text that is not empty"),
        ({"type": "user_message", "content": 5}, "content must be a text that is not empty"),
        ({"type": "user_message", "content": "a\0"}, "Text must not contain NUL"),
        ({"type": "user_message", "content": "x" * 200_001}, "content may have at most 200000 characters"),
        ({"type": "user_message", "content": "x", "role": "assistant"}, "role must be user or system"),
        ({"type": "cancel"}, "No answer is under way"),
        ({"type": "resume"}, "after must be the seq of an earlier message"),
        ({"type": "resume", "after": -1}, "after must be the seq of an earlier message"),
        ({"type": "resume", "after": True}, "after must be the seq of an earlier message"),
        ({"type": "tool_result", "result": 1}, "call_id must be a text of 1 to 64 characters"),
        ({"type": "tool_result", "call_id": "c"}, "A tool_result has a result or an error"),
        ({"type": "tool_result", "call_id": "c", "result": 1, "error": "e"}, "A tool_result has a result or an error"),
        ({"type": "tool_result", "call_id": "c", "error": 1}, "error must be a text"),
        ({"type": "tool_result", "call_id": "c", "result": None}, "No answer waits for this"),
        ({"type": "hitl_decision", "call_id": "c"}, "decision must be approve, edit or reject"),
        ({"type": "hitl_decision", "call_id": "c", "decision": []}, "decision must be approve, edit or reject"),
        (
            {"type": "hitl_decision", "call_id": "c", "decision": "edit", "modified_arguments": 1},
            "modified_arguments must be an object",
        ),
        ({"type": "hitl_decision", "call_id": "c", "decision": "reject", "feedback": 1}, "feedback must be a text"),
        ({"type": "hitl_decision", "call_id": "c", "decision": "approve"}, "No answer waits for this"),
    ],
)
async def test_a_bad_message_is_told_what_is_wrong_and_the_socket_stays(
    gateway: Gateway, message: object, told: str
) -> None:
    async with gateway.socket("errors") as socket:
        assert await socket.refusal(message) == told
        assert await socket.refusal({"type": "cancel"}) == "No answer is under way"


async def test_a_second_message_waits_for_the_answers_end_and_a_cancel_ends_it(
    gateway: Gateway, model_stub: ModelStub
) -> None:
    caller = await newcomer(gateway.admin, "second")
    thread = await caller.made("POST", "/threads", json={})
    async with gateway.socket(thread["id"], caller) as socket:
        await caller.say(thread["id"], model="scripted?tokens=50&stall_at=3")
        await socket.until(lambda message: message["token"] == "t2 ")
        assert await socket.refusal({"type": "user_message", "content": "and?"}) == (
            "An answer is under way: wait for its end, or cancel it"
        )
        await socket.send({"type": "cancel"})
        (end,) = await socket.answer()
        assert (end["token"], end["is_final"]) == ("", True)
        await socket.say()
        assert text_of(await socket.answer()) == numbered(TOKENS), socket.messages
    stored = (await caller.made("GET", f"/threads/{thread['id']}/messages"))["items"]
    assert [one["status"] for one in stored if one["role"] == "assistant"] == ["completed", "interrupted"]


async def test_a_resume_that_is_the_first_message_brings_nothing_twice(gateway: Gateway) -> None:
    caller = await newcomer(gateway.admin, "resuming")
    thread = await caller.made("POST", "/threads", json={})
    async with gateway.socket(thread["id"], caller) as socket:
        await caller.say(thread["id"], model="scripted?tokens=60&pause_ms=10")
        seen = await socket.until(lambda message: message["token"] == "t9 ")
    async with gateway.socket(thread["id"], caller) as socket:
        await socket.send({"type": "resume", "after": seen[-1]["seq"]})
        seen += await socket.answer()
    assert "".join(message["token"] for message in seen) == numbered(60)


async def test_what_begins_elsewhere_after_a_socket_is_open_is_not_missed(gateway: Gateway) -> None:
    caller = await newcomer(gateway.admin, "elsewhere")
    thread = await caller.made("POST", "/threads", json={})
    await caller.answered(thread["id"], "before")
    async with gateway.socket(thread["id"], caller) as socket:
        await caller.until("/auth/me", lambda _: True)
        await caller.answered(thread["id"], "at once")
        assert text_of(await socket.answer()) == numbered(TOKENS)


async def test_an_answer_that_fails_is_an_error_with_its_reason(gateway: Gateway) -> None:
    caller = await newcomer(gateway.admin, "failing")
    thread = await caller.made("POST", "/threads", json={})
    async with gateway.socket(thread["id"], caller) as socket:
        await caller.say(thread["id"], model="scripted?tokens=5&error_at=2")
        messages = await socket.answer()
        assert messages[-1]["type"] == "error"
        assert messages[-1]["content"] == "The model provider reported an error in the middle of an answer"
        await socket.say()
        assert text_of(await socket.answer()) == numbered(TOKENS)


async def test_violations_of_the_protocol_close_the_socket(gateway: Gateway) -> None:
    async with gateway.socket("binary") as socket:
        await socket.send(b"\x00\x01")
        assert (await socket.closed())[0] == 1003
    async with gateway.socket("large") as socket:
        await socket.send("x" * 300_000)
        assert (await socket.closed())[0] == 1009
    async with gateway.socket("fragments") as socket:
        await socket.connection.send([""] * 1500)
        assert (await socket.closed())[0] == 1009


async def test_every_credential_opens_a_socket_of_its_own_user(gateway: Gateway) -> None:
    caller, other = [await newcomer(gateway.admin, name) for name in ("carol", "dave")]
    token = caller.headers["Authorization"].removeprefix("Bearer ")
    async with gateway.socket("mine", caller) as socket:
        await socket.say()
        seen = await socket.answer()
    ticket = (await gateway.ticket(caller))["ticket"]
    for options in ({"subprotocols": ["bearer", token]}, {"query": f"?after=0&ticket={ticket}"}):
        async with gateway.socket("mine", **{"query": "?after=0", **options}) as socket:
            assert await socket.answer() == seen
            assert socket.connection.subprotocol == ("bearer" if "subprotocols" in options else None)
    for stranger in (other, None):
        async with gateway.socket("mine", stranger, query="?after=0") as socket:
            await socket.say()
            assert len(await socket.answer()) == TOKENS + 1
            assert await socket.refusal("{") == "Invalid JSON message"


@pytest.mark.parametrize("which", ["header", "subprotocol", "ticket", "two", "word", "url"])
async def test_what_is_no_credential_is_told_4401(gateway: Gateway, which: str) -> None:
    token = gateway.admin.headers["Authorization"].removeprefix("Bearer ")
    ticket = (await gateway.ticket(gateway.admin))["ticket"]
    options: dict[str, Any] = {
        "header": {"headers": {"Authorization": "Bearer nonsense"}},
        "subprotocol": {"subprotocols": ["bearer", token[:-4] + "AAAA"]},
        "ticket": {"query": f"?ticket={ticket[:-4]}AAAA"},
        "two": {"headers": gateway.admin.headers, "query": f"?ticket={ticket}"},
        "word": {"subprotocols": ["chat", token]},
        "url": {"query": f"?ticket={token}"},
    }[which]
    async with gateway.socket("mine", **options) as socket:
        assert (await socket.closed())[0] == 4401
        assert socket.messages == []


async def test_a_ticket_is_good_for_one_socket_whoever_comes_first(gateway: Gateway) -> None:
    ticket = (await gateway.ticket(gateway.admin))["ticket"]

    async def come() -> int:
        async with gateway.socket("race", query=f"?ticket={ticket}") as socket:
            try:
                await socket.refusal("{")
            except ConnectionClosed:
                return (await socket.closed())[0]
            return 0

    assert sorted(await asyncio.gather(*(come() for _ in range(5)))) == [0, 4401, 4401, 4401, 4401]


async def test_visitors_are_apart_unless_they_come_from_this_machine_or_with_their_key(gateway: Gateway) -> None:
    elsewhere = {"X-Forwarded-For": "192.0.2.1"}
    async with gateway.socket("shared", headers=elsewhere) as socket:
        assert (await socket.closed())[0] == 4401
    visitor = await gateway.ticket()
    async with gateway.socket("kept", query=f"?ticket={visitor['ticket']}") as socket:
        await socket.say()
        seen = await socket.answer()
    again = await gateway.ticket(visitor=visitor["visitor"])
    assert again["visitor"] == visitor["visitor"]
    async with gateway.socket("kept", query=f"?after=0&ticket={again['ticket']}") as socket:
        assert await socket.answer() == seen
    stranger = await gateway.ticket()
    async with gateway.socket("kept", query=f"?after=0&ticket={stranger['ticket']}") as socket:
        assert await socket.refusal("{") == "Invalid JSON message"


@pytest.mark.parametrize(
    ("origin", "is_user", "opens"),
    [
        ("http://localhost:3000", False, True),
        ("http://127.0.0.1:5173", True, True),
        ("https://shop.example", False, True),
        ("https://evil.example", False, False),
        ("https://evil.example", True, False),
        ("null", False, False),
        ("null", True, False),
    ],
)
async def test_pages_of_other_origins_get_no_socket(
    gateway: Gateway, origin: str, *, is_user: bool, opens: bool
) -> None:
    opening = gateway.socket("page", gateway.admin if is_user else None, origin=origin)
    if opens:
        async with opening as socket:
            assert await socket.refusal("{") == "Invalid JSON message"
        return
    with pytest.raises(InvalidStatus) as refused:
        async with opening:
            pass
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body or b"")["code"] == "origin_refused"


@pytest.mark.parametrize("way", ["logout", "suspend", "password", "role"])
async def test_a_revoked_credential_closes_its_sockets(gateway: Gateway, way: str) -> None:
    caller = await newcomer(gateway.admin, f"revoked-{way}", role="admin")
    ticket = (await gateway.ticket(caller))["ticket"]
    later = (await gateway.ticket(caller))["ticket"]
    async with gateway.socket("a", caller) as one, gateway.socket("b", query=f"?ticket={ticket}") as two:
        for socket in (one, two):
            assert await socket.refusal("{") == "Invalid JSON message"
        await _revoke(gateway, caller, way)
        for socket in (one, two):
            assert (await socket.closed(seconds=REVOKED_SECONDS))[0] == 4401
    for options in ({"headers": caller.headers}, {"query": f"?ticket={later}"}):
        async with gateway.socket("a", **options) as socket:
            assert (await socket.closed())[0] == 4401


async def _revoke(gateway: Gateway, caller: Caller, way: str) -> None:
    """Here, and as another process does it."""
    if way == "logout":
        assert (await caller.send("POST", "/auth/logout")).status_code == 204
        return
    async with open_identity(gateway.settings) as identity:
        if way == "suspend":
            await identity.users.suspend(caller.id)
        elif way == "role":
            await identity.users.set_role(caller.id, Role.user)
        else:
            await identity.users.set_password(caller.id, "another horse battery")


async def test_sockets_of_one_caller_are_bounded(gateway: Gateway) -> None:
    caller = await newcomer(gateway.admin, "many")
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(gateway.socket("x", caller)) for _ in range(20)]
        for socket in sockets:
            assert await socket.refusal("{") == "Invalid JSON message"
        async with gateway.socket("x", caller) as refused:
            assert (await refused.closed())[0] == 4429
    async with gateway.socket("x", caller) as socket:
        assert await socket.refusal("{") == "Invalid JSON message"


async def test_junk_leaves_the_server_as_it_was(gateway: Gateway) -> None:
    rng = random.Random()
    async with gateway.socket("fuzz") as socket:
        for _ in range(100):
            await socket.send(json.dumps(str(junk(rng))))
        await socket.send(SENTINEL)
        await socket.until(lambda message: message.get("content") == "role must be user or system")
        await socket.say()
        assert text_of(await socket.answer()) == numbered(TOKENS)
