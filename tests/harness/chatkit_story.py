"""A conversation in the widget, from its beginning to its end: whatever a client does, at one server or at several."""

from itertools import cycle
from typing import Any

from harness.chatkit_client import ChatKitClient, message, text_of
from harness.chatkit_server import World
from harness.conversations import until

Json = dict[str, Any]


def kinds(frames: list[Json]) -> list[str]:
    return [frame["type"] for frame in frames]


def last_of(client: ChatKitClient, thread_id: str) -> Json:
    return client.shown(thread_id)[-1]


async def assert_same(client: ChatKitClient, thread_id: str) -> None:
    """What the streams have made of the thread is what a reload shows, from either end and in small pages."""
    shown = client.shown(thread_id)
    assert await client.stored(thread_id) == shown
    assert await client.stored(thread_id, limit=2) == shown
    assert await client.stored(thread_id, order="desc", limit=3) == shown[::-1]


async def answered(client: ChatKitClient, thread_id: str, count: int) -> list[Json]:
    """The items once there are as many, and the last says all that it will."""

    async def items() -> list[Json]:
        return await client.stored(thread_id)

    def is_whole(found: list[Json]) -> bool:
        return len(found) == count and found[-1]["type"] == "assistant_message"

    found: list[Json] = await until(items, is_whole)
    return found


async def tell_story(world: World, *clients: ChatKitClient) -> None:
    """Each request goes to the next of the clients, who are one user at several servers."""
    turns = cycle(clients)
    first = clients[0]
    for client in clients[1:]:
        client.items, client.threads = first.items, first.threads
    thread_id, frames = await next(turns).create(
        "say 2;widget one;cite page;say 2;image;effect blink;progress looking;act dig;say 1", metadata=world.agent
    )
    assert kinds(frames)[:3] == ["thread.created", "thread.item.done", "stream_options"]
    assert {"client_effect", "progress_update"} <= set(kinds(frames))
    shown = [item["type"] for item in first.shown(thread_id)]
    text = "assistant_message"
    assert shown == ["user_message", text, "widget", text, "generated_image", "workflow", text]
    await assert_same(next(turns), thread_id)
    await _use_widget(next(turns), thread_id)
    await _bring_results(turns, thread_id)
    await _answer_questions(turns, thread_id)
    await _attach(next(turns), thread_id)
    await _retry(next(turns), thread_id)
    await _stop(turns, thread_id)
    await _manage(next(turns), thread_id)


async def _use_widget(client: ChatKitClient, thread_id: str) -> None:
    (widget,) = [item for item in client.shown(thread_id) if item["type"] == "widget"]
    action = {"type": "press", "payload": {"n": 1}}
    frames = await client.stream("threads.custom_action", thread_id=thread_id, item_id=widget["id"], action=action)
    assert "thread.item.replaced" in kinds(frames)
    assert "pressed by" in str(client.items[thread_id][widget["id"]])
    assert text_of(last_of(client, thread_id)) == 'press {"n": 1}'
    await assert_same(client, thread_id)
    changed = await client.ask("threads.sync_custom_action", thread_id=thread_id, item_id=widget["id"], action=action)
    assert changed["updated_item"] == client.items[thread_id][widget["id"]]
    for item in await client.stored(thread_id):
        client.items[thread_id][item["id"]] = item


async def _bring_results(turns: Any, thread_id: str) -> None:
    client = next(turns)
    await client.say(thread_id, 'say 1;tool ask {"a":1};tool ask {"a":2}|heard;tool echo {"text":"hi"}|heard')
    pending = last_of(client, thread_id)
    assert (pending["type"], pending["status"], pending["arguments"]) == ("client_tool_call", "pending", {"a": 1})
    await assert_same(next(turns), thread_id)
    assert kinds(await next(turns).bring(thread_id, {"r": 1})) == ["stream_options", "thread.item.done"]
    assert last_of(client, thread_id)["arguments"] == {"a": 2}
    await assert_same(next(turns), thread_id)
    await next(turns).bring(thread_id, "two")
    await assert_same(next(turns), thread_id)
    said = [text_of(item) for item in client.shown(thread_id)[-3:] if item["type"] == "assistant_message"]
    assert said == ['{"r":1} two ', '{"r":1} two hi ']
    assert kinds(await next(turns).bring(thread_id, "two")) == ["stream_options"]  # a repetition
    await assert_same(next(turns), thread_id)


async def _answer_questions(turns: Any, thread_id: str) -> None:
    client = next(turns)
    asked = '{"inputs":[{"type":"freeform","id":"x","question":"Who?"}]}'
    await client.say(thread_id, f'tool structured_input {asked}|tool pay {{"text":"1"}}|heard')
    for given in ({"x": {"values": ["me"]}}, {"decision": {"values": ["Approve"]}}):
        question = last_of(client, thread_id)
        assert (question["type"], question["status"]) == ("structured_input", "pending")
        await assert_same(next(turns), thread_id)
        submitted = {"status": "answered", "answers": given}
        await next(turns).stream(
            "threads.add_structured_input", thread_id=thread_id, item_id=question["id"], input=submitted
        )
        await assert_same(next(turns), thread_id)
    answers = [item["inputs"][0]["answer"]["values"] for item in client.shown(thread_id) if "inputs" in item]
    assert answers == [["me"], ["Approve"]]


async def _attach(client: ChatKitClient, thread_id: str) -> None:
    made = await client.ask("attachments.create", name="notes.txt", size=5, mime_type="text/plain")
    upload = made["upload_descriptor"]
    await client.upload(upload["url"], b"hello", headers=upload["headers"])
    await client.say(thread_id, "say 1", attachments=[made["id"]])
    (file,) = client.shown(thread_id)[-2]["attachments"]
    assert (file["id"], file["name"], file["mime_type"]) == (made["id"], "notes.txt", "text/plain")
    await assert_same(client, thread_id)
    other = await client.ask("attachments.create", name="b.txt", size=5, mime_type="text/plain")
    await client.ask("attachments.delete", attachment_id=other["id"])


async def _retry(client: ChatKitClient, thread_id: str) -> None:
    await client.say(thread_id, "say 2")
    question, answer = client.shown(thread_id)[-2:]
    del client.items[thread_id][answer["id"]]
    await client.stream("threads.retry_after_item", thread_id=thread_id, item_id=question["id"])
    assert text_of(last_of(client, thread_id)) == text_of(answer)
    assert last_of(client, thread_id)["id"] != answer["id"]
    await assert_same(client, thread_id)


async def _stop(turns: Any, thread_id: str) -> None:
    """In mid-answer, and by another request than the one that is answered."""
    client, asked = next(turns), False
    sent = message("say 1000 20")
    async with client.streaming("threads.add_user_message", thread_id=thread_id, input=sent) as frames:
        async for frame in frames:
            if not asked and "text_delta" in str(frame):
                asked = True
                stop = {"type": "frontdesk.stop"}
                assert await next(turns).ask("threads.sync_custom_action", thread_id=thread_id, action=stop) == {}
    assert 0 < text_of(last_of(client, thread_id)).count("t") < 1000
    await assert_same(next(turns), thread_id)


async def _manage(client: ChatKitClient, thread_id: str) -> None:
    ids = [item["id"] for item in client.shown(thread_id)]
    await client.ask("items.feedback", thread_id=thread_id, item_ids=ids[-2:], kind="positive")
    assert (await client.ask("threads.update", thread_id=thread_id, title="Renamed"))["title"] == "Renamed"
    reloaded = await client.ask("threads.get_by_id", thread_id=thread_id)
    assert reloaded["title"] == "Renamed"
    assert reloaded["items"]["data"] == client.shown(thread_id)[:20]
    assert thread_id in [thread["id"] for thread in (await client.ask("threads.list"))["data"]]
    await client.ask("threads.delete", thread_id=thread_id)
    assert thread_id not in [thread["id"] for thread in (await client.ask("threads.list"))["data"]]
