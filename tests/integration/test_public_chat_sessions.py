"""Visitors over the served program: sessions, what is said in them, and who may go on with them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import Connection, select, update

from frontdesk.bootstrap import running_services
from frontdesk.conversation.executions.models import executions
from frontdesk.conversation.messages.models import messages
from frontdesk.conversation.threads.models import threads
from frontdesk.database import Database, open_database
from frontdesk.database.idempotency import idempotency_keys
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.kit.clock import SystemClock
from frontdesk.kit.ids import new_id
from frontdesk.kit.time_limit import time_limit
from frontdesk.public_chat.sessions.models import chat_interface_sessions, chat_interface_tokens
from frontdesk.settings import Settings
from harness.callers import newcomer
from harness.conversations import until
from harness.identities import open_identity, settings_for
from harness.model_stub import ModelStub
from harness.visitors import Chat, Visitor, assert_failure, build, public_chat, text_of

ANSWER = "t0 t1 t2 "


def _settings(url: str, model: ModelStub, **changes: object) -> Settings:
    chosen = {"llm_default_model": "scripted?tokens=3", "visitor_sessions_per_address": 10_000, **changes}
    return settings_for(url, llm_enabled=True, llm_api_base=model.url, **chosen)


@pytest.fixture(scope="module")
async def first(each_module_database_url: str, model_stub: ModelStub) -> AsyncIterator[Chat]:
    async with public_chat(_settings(each_module_database_url, model_stub)) as opened:
        yield opened


@pytest.fixture
async def chat(first: Chat) -> Chat:
    return await build(first.owner, rateLimitMessages=1000)


@pytest.fixture(scope="module")
async def database(each_module_database_url: str) -> AsyncIterator[Database]:
    opened = open_database(each_module_database_url, pool_size=2, timeout=5)
    yield opened
    await opened.aclose()


async def _grow_old(database: Database, visitor: Visitor, minutes: int) -> None:
    """Its last message and the end of its last answer were so long ago."""
    then, session = SystemClock().now() - timedelta(minutes=minutes), chat_interface_sessions

    def work(connection: Connection) -> None:
        connection.execute(update(session).where(session.c.id == visitor.id).values(last_activity_at=then))
        of_thread = (executions.c.thread_id == visitor.id) & executions.c.finished_at.is_not(None)
        connection.execute(update(executions).where(of_thread).values(finished_at=then))

    await database.write(work)


async def test_a_session_from_its_first_message_to_its_end(chat: Chat) -> None:
    visitor = await chat.visitor()
    assert visitor.opened["threadId"] is None
    assert "existingMessages" not in visitor.opened
    assert "persistenceToken" not in visitor.opened
    assert visitor.token.startswith("sess_")
    assert await visitor.messages() == []
    unwanted = {"sessionToken": visitor.token, "message": "see this", "attachments": [{"type": "url", "url": "x"}]}
    assert_failure(await chat.ask("POST", "/messages", json=unwanted), 403, "uploads_not_allowed")

    events = await visitor.answer("what is this?")
    assert [name for name, _ in events if name != "token"] == ["connected", "message", "execution_completed"]
    assert text_of(events) == ANSWER
    listed = await visitor.messages()
    assert [(one["role"], one["content"]) for one in listed] == [("user", "what is this?"), ("assistant", ANSWER)]
    assert set(listed[0]) >= {"id", "role", "content", "timestamp", "attachments", "toolCalls", "citations"}
    message = next(data for name, data in events if name == "message")
    assert {name: message[name] for name in listed[1]} == listed[1]

    seen = await visitor.until(lambda session: session["executionStatus"] == "completed")
    assert (seen["threadId"], seen["messageCount"], seen["currentExecutionId"]) == (visitor.id, 1, None)
    thread = await chat.owner.made("GET", f"/threads/{seen['threadId']}")
    assert thread["user_id"] == chat.owner.id
    assert thread["metadata"]["source"] == "chat_interface"

    for _ in range(2):
        ended = await chat.ask("POST", f"/sessions/{visitor.token}/end")
        assert ended.json() == {"sessionId": visitor.id, "status": "ended"}
    assert_failure(await visitor.send(), 410, "session_ended")
    assert_failure(await chat.ask("GET", f"/sessions/{visitor.token}/messages"), 410, "session_ended")
    assert (await visitor.until(lambda _: True))["status"] == "ended"


async def test_sessions_are_apart(chat: Chat) -> None:
    """From each other, from other slugs, and from what is not there."""
    other = await build(chat.owner)
    one, two, there = await chat.visitor(), await chat.visitor(), await other.visitor()
    await one.answer("of one")
    await two.answer("of two")
    told = await one.say("more of one")
    assert {said["content"] for said in await two.messages() if said["role"] == "user"} == {"of two"}
    unknown = "sess_" + "A" * 32
    for token in (one.token, unknown, "sess_", "", "x"):
        if token != one.token:
            asked = await chat.ask("POST", "/messages", json={"sessionToken": token, "message": "x"})
            assert_failure(asked, 404, "not_found")
        body = {"sessionToken": token, "message": "x"}
        assert_failure(await other.ask("POST", "/messages", json=body), 404, "not_found")
        assert_failure(await other.ask("GET", "/stream", params={"sessionToken": token}), 404, "not_found")
        path = f"/executions/{told['executionId']}/cancel"
        assert_failure(await other.ask("POST", path, json={"sessionToken": token}), 404, "not_found")
        if token:
            assert_failure(await other.ask("GET", f"/sessions/{token}/messages"), 404, "not_found")
            assert_failure(await other.ask("POST", f"/sessions/{token}/end"), 404, "not_found")
            assert_failure(await other.ask("DELETE", f"/sessions/{token}"), 404, "not_found")
    for visitor in (two, there):
        path = f"/executions/{told['executionId']}/cancel"
        cancelled = await visitor.chat.ask("POST", path, json={"sessionToken": visitor.token})
        assert_failure(cancelled, 404, "not_found")
    assert_failure(await chat.ask("GET", "/stream"), 404, "not_found")
    assert len(await one.messages()) >= 3


async def test_a_session_expires_and_says_so(chat: Chat, database: Database) -> None:
    visitor = await chat.visitor()
    await visitor.answer()
    await _grow_old(database, visitor, 59)
    await visitor.answer("still here")
    await _grow_old(database, visitor, 60)
    failure = assert_failure(await visitor.send(), 410, "session_expired")
    assert "start a new session" in failure["error"]
    for method, below in (("GET", f"/sessions/{visitor.token}/messages"), ("GET", "/stream")):
        asked = await chat.ask(method, below, headers={"X-Session-Token": visitor.token})
        assert_failure(asked, 410, "session_expired")
    assert (await visitor.until(lambda _: True))["status"] == "expired"
    await chat.owner.made("PUT", chat.path, json={"sessionTimeoutMinutes": 0})
    await until(lambda: visitor.send("never too late"), lambda answer: answer.status_code == 202)


async def test_a_persistence_token_leads_back(chat: Chat, database: Database) -> None:
    kept = await build(chat.owner, persistenceType="local_storage")
    first = await kept.visitor(browserFingerprint="f", referrer="https://shop.example/cart?secret=1#x")
    await first.answer("remember this")
    token = first.opened["persistenceToken"]
    again = await kept.visitor(persistenceToken=token)
    assert (again.id, again.opened["threadId"]) == (first.id, first.id)
    assert again.opened["persistenceToken"] == token
    assert [one["content"] for one in again.opened["existingMessages"]] == ["remember this", ANSWER]
    assert again.token != first.token
    for visitor in (first, again):  # both tabs go on
        await visitor.answer("and this")
    assert len(await first.messages()) == 6

    other = await build(chat.owner, persistenceType="local_storage")
    assert (await other.visitor(persistenceToken=token)).opened["threadId"] is None
    assert (await kept.visitor(persistenceToken=first.token)).id != first.id
    await _grow_old(database, first, 61)
    new = await kept.visitor(persistenceToken=token)
    assert new.id != first.id
    assert "existingMessages" not in new.opened
    assert new.opened["persistenceToken"] != token
    seen = await chat.owner.made("GET", f"{kept.path}/sessions/{first.id}")
    assert seen["referrer"] == "https://shop.example/cart"


async def test_erasing_leaves_nothing(chat: Chat, database: Database) -> None:
    visitor, stays = await chat.visitor(), await chat.visitor()
    await stays.answer("stays")
    keyed = {"Idempotency-Key": "k"}
    assert (await visitor.send("a secret", headers=keyed)).status_code == 202
    async with visitor.stream() as stream:
        await stream.read_all(seconds=20)
    assert (await chat.ask("DELETE", f"/sessions/{visitor.token}")).status_code == 204

    def left(connection: Connection) -> list[int]:
        tables = [
            (messages, messages.c.thread_id),
            (threads, threads.c.id),
            (chat_interface_sessions, chat_interface_sessions.c.id),
            (chat_interface_tokens, chat_interface_tokens.c.session_id),
            (idempotency_keys, idempotency_keys.c.principal_id),
        ]
        return [len(connection.execute(select(table).where(column == visitor.id)).all()) for table, column in tables]

    assert await database.read(left) == [0, 0, 0, 0, 0]
    assert_failure(await visitor.send(), 404, "not_found")
    assert len(await stays.messages()) == 2
    bare = await chat.visitor()
    assert (await chat.ask("DELETE", f"/sessions/{bare.token}")).status_code == 204
    assert_failure(await bare.send(), 404, "not_found")


async def test_one_answer_at_a_time_and_a_stop(first: Chat) -> None:
    chat = await build(first.owner, agent={"model": "scripted?tokens=2000&pause_ms=20"})
    visitor = await chat.visitor()
    told = await visitor.say("go on")
    running = await visitor.until(lambda session: session["executionStatus"] == "running")
    assert running["currentExecutionId"] == told["executionId"]
    assert_failure(await visitor.send("and on"), 409, "execution_active")
    path = f"/executions/{told['executionId']}/cancel"
    stopped = await chat.ask("POST", path, headers={"X-Session-Token": visitor.token})
    assert stopped.status_code == 202, stopped.text
    assert stopped.json() == {"executionId": told["executionId"], "status": "interrupted"}
    async with visitor.stream() as stream:
        events = [event.type for event in await stream.read_all(seconds=10)]
    assert events[-1] == "execution_completed"
    assert (await visitor.until(lambda _: True))["executionStatus"] == "completed"
    assert_failure(await chat.ask("POST", f"/executions/{new_id()}/cancel", json={}), 404, "not_found")
    await visitor.say("again")
    assert (await chat.ask("POST", f"/sessions/{visitor.token}/end")).status_code == 200
    assert (await visitor.until(lambda _: True))["executionStatus"] == "completed"


async def test_a_failed_answer_is_told_and_can_be_tried_again(chat: Chat) -> None:
    broken = await build(chat.owner, agent={"model": "scripted?status=400"})
    visitor = await broken.visitor()
    events = await visitor.answer()
    name, data = events[-1]
    assert name == "execution_failed"
    assert data["error"].keys() == {"code", "message"}
    assert (await visitor.until(lambda _: True))["executionStatus"] == "failed"
    await chat.owner.made("PATCH", f"/agents/{broken.interface['agentId']}", json={"model": "scripted?tokens=3"})
    assert text_of(await visitor.answer("again")) == ANSWER


async def test_a_message_is_sent_once(chat: Chat) -> None:
    visitor = await chat.visitor()
    keyed = {"Idempotency-Key": "first"}
    sent = [await visitor.send("once", headers=keyed) for _ in range(2)]
    assert sent[0].json() == sent[1].json()
    assert sent[1].headers["idempotent-replayed"] == "true"
    assert_failure(await visitor.send("other", headers=keyed), 422, "idempotency_key_reused")
    async with visitor.stream() as stream:
        await stream.read_all(seconds=20)
    assert [one["role"] for one in await visitor.messages()] == ["user", "assistant"]


async def test_an_interface_that_goes_takes_what_was_said(chat: Chat, database: Database) -> None:
    gone = await build(chat.owner)
    said = [await gone.visitor() for _ in range(3)]
    for visitor in said[:2]:
        await visitor.answer("a secret")
    assert (await chat.owner.send("DELETE", gone.path)).status_code == 204
    assert_failure(await chat.owner.send("GET", gone.path), 404, "not_found")
    ids = [visitor.id for visitor in said]
    found = select(threads.c.id).where(threads.c.id.in_(ids))
    sessions = select(chat_interface_sessions.c.id).where(chat_interface_sessions.c.id.in_(ids))
    assert await database.read(lambda connection: connection.execute(found).all()) == []
    assert await database.read(lambda connection: connection.execute(sessions).all()) == []


async def test_what_is_taken_back_is_closed_within_a_second(chat: Chat) -> None:
    visitor = await chat.visitor()

    async def seen(status: int) -> None:
        async with asyncio.timeout(10):
            await until(lambda: chat.ask("GET"), lambda answer: answer.status_code == status)

    await chat.owner.made("POST", f"{chat.path}/unpublish")
    await seen(404)
    assert_failure(await visitor.send(), 404, "not_found")
    await chat.owner.made("POST", f"{chat.path}/publish")
    await seen(200)
    await visitor.answer()
    await chat.owner.send("DELETE", f"/agents/{chat.interface['agentId']}")
    assert_failure(await visitor.send(), 409, "agent_unavailable")
    assert (await chat.owner.send("POST", f"{chat.path}/publish")).status_code == 404


async def test_another_agent_goes_on_with_the_session(chat: Chat) -> None:
    visitor = await chat.visitor()
    await visitor.answer()
    other = await chat.owner.made("POST", "/agents", json={"name": "Other", "model": "scripted?tokens=1"})
    await chat.owner.made("PUT", chat.path, json={"agentId": other["id"]})
    await until(visitor.answer, lambda events: text_of(events) == "t0 ")


async def test_an_owner_lists_sessions_by_state_and_ends_one(chat: Chat, database: Database) -> None:
    kept = await build(chat.owner, agent={"model": "scripted?tokens=3"}, sessionTimeoutMinutes=10)
    silent, heard, over, bare = [await kept.visitor() for _ in range(4)]
    for visitor in (silent, heard, over):
        await visitor.answer()
    await _grow_old(database, silent, 10)
    await _grow_old(database, heard, 9)

    for _ in range(2):
        ended = await kept.owner.made("POST", f"{kept.path}/sessions/{over.id}/end")
        assert (ended["id"], ended["status"]) == (over.id, "ended")
        assert ended["endedAt"] is not None
    assert_failure(await over.send(), 410, "session_ended")

    async def listed(status: str) -> list[str]:
        page = await kept.owner.made("GET", f"{kept.path}/sessions?status={status}")
        assert page["total"] == len(page["items"])
        assert {each["status"] for each in page["items"]} == {status}
        return [each["id"] for each in page["items"]]

    assert await listed("active") == [bare.id, heard.id]
    assert await listed("ended") == [over.id]
    assert await listed("expired") == [silent.id]
    assert_failure(await kept.owner.send("GET", f"{kept.path}/sessions?status=asleep"), 422, "validation_error")
    endless = await build(chat.owner, sessionTimeoutMinutes=0)
    awake = await endless.visitor()
    await _grow_old(database, awake, 100)
    states = [
        await endless.owner.made("GET", f"{endless.path}/sessions?status={name}") for name in ("active", "expired")
    ]
    assert [page["total"] for page in states] == [1, 0]


async def test_two_first_messages_make_one_thread(chat: Chat) -> None:
    visitor = await chat.visitor()
    sent = await asyncio.gather(*(visitor.send(str(number)) for number in range(5)))
    assert {answer.status_code for answer in sent} <= {202, 409}
    assert 202 in {answer.status_code for answer in sent}
    assert {answer.json()["threadId"] for answer in sent if answer.status_code == 202} == {visitor.id}


async def test_others_see_nothing_of_an_interface(chat: Chat) -> None:
    visitor = await chat.visitor()
    await visitor.answer()
    bob = await newcomer(chat.owner, f"bob {chat.interface['slug'][-8:]}")
    for below in ("", "/sessions", f"/sessions/{visitor.id}", f"/sessions/{visitor.id}/messages", "/analytics"):
        assert_failure(await bob.send("GET", chat.path + below), 404, "not_found")
    assert_failure(await bob.send("DELETE", f"{chat.path}/sessions/{visitor.id}"), 404, "not_found")
    foreign = await build(bob)
    assert_failure(await bob.send("GET", f"{foreign.path}/sessions/{visitor.id}"), 404, "not_found")
    assert len(await visitor.messages()) == 2


async def test_a_visitor_who_waits_for_an_answer_is_not_silent(chat: Chat, database: Database) -> None:
    slow = await build(chat.owner, agent={"model": "scripted?tokens=3&stall_at=0"}, sessionTimeoutMinutes=1)
    visitor = await slow.visitor()
    told = await visitor.say()
    await visitor.until(lambda session: session["executionStatus"] == "running")
    await _grow_old(database, visitor, 10)
    assert (await visitor.until(lambda _: True))["status"] == "active"
    stopping = f"/executions/{told['executionId']}/cancel"
    assert (await slow.ask("POST", stopping, json={"sessionToken": visitor.token})).status_code == 202
    assert len(await visitor.messages()) == 2
    await _grow_old(database, visitor, 1)
    assert_failure(await visitor.send(), 410, "session_expired")


async def test_what_its_owner_deletes_is_gone_for_the_visitor(chat: Chat) -> None:
    kept = await build(chat.owner, persistenceType="local_storage")
    for query in ("", "?purge=true"):
        visitor = await kept.visitor()
        await visitor.answer()
        assert (await chat.owner.send("DELETE", f"/threads/{visitor.id}{query}")).status_code == 204
        assert_failure(await visitor.send(), 404, "not_found")
        assert_failure(await kept.ask("GET", f"/sessions/{visitor.token}/messages"), 404, "not_found")
        new = await kept.visitor(persistenceToken=visitor.opened["persistenceToken"])
        assert new.opened["threadId"] is None
        erased = await kept.ask("DELETE", f"/sessions/{visitor.token}")
        assert erased.status_code == (404 if query else 204)


async def test_an_owner_who_may_not_sign_in_has_no_public_chats(chat: Chat, each_module_database_url: str) -> None:
    bob = await newcomer(chat.owner, f"bob of {chat.interface['slug'][-8:]}")
    theirs = await build(bob)
    assert (await theirs.ask("GET")).status_code == 200
    async with open_identity(settings_for(each_module_database_url)) as elsewhere:
        await elsewhere.users.suspend(bob.id)
    async with asyncio.timeout(10):
        await until(lambda: theirs.ask("GET"), lambda answer: answer.status_code == 404)


async def test_what_a_deletion_had_no_time_for_is_erased_later(
    chat: Chat, each_module_database_url: str, model_stub: ModelStub
) -> None:
    gone = await build(chat.owner)
    visitor = await gone.visitor()
    await visitor.answer("a secret")
    owner = Principal(kind=PrincipalKind.user, id=chat.owner.id)
    async with running_services(_settings(each_module_database_url, model_stub)) as services:
        removal = services.public_chat.removal
        with time_limit(1.0):
            await removal.delete(owner, gone.interface["id"])
        assert (await chat.owner.send("GET", f"/threads/{visitor.id}")).status_code == 200
        assert_failure(await chat.owner.send("GET", gone.path), 404, "not_found")
        await removal.sweep(SystemClock().now())
    assert (await chat.owner.send("GET", f"/threads/{visitor.id}")).status_code == 404
