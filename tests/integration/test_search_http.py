"""Search over HTTP with the parts that the program has by itself: the packaged model, Chroma or pgvector."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from time import monotonic
from typing import Any

import httpx
import pytest

from frontdesk.kit.ids import new_id
from harness.callers import Caller, assert_problem, founder, newcomer
from harness.databases import PostgresDatabases
from harness.identities import settings_for
from harness.served import served

PATH = "/search/threads"
SECONDS = 25
HARD = ["(x+x+)+y", "(a*)*b", "(.*a){20}", r"(\w+\s*)+$z", "(?s).*.*.*.*=.*", "[^x]*x[^y]*y[^z]*z"]
WRONG: list[dict[str, Any]] = [
    {},
    {"query": ""},
    {"query": " \t\n"},
    {"query": 5},
    {"query": None},
    {"query": "x" * 10_001},
    {"query": "x", "mode": "magic"},
    {"query": "x", "mode": None},
    {"query": "x", "model": ""},
    {"query": "x", "model": "m" * 256},
    {"query": "x", "role": "root"},
    {"query": "x", "from": "yesterday"},
    {"query": "x", "from": "2026-01-01T00:00:00"},
    {"query": "x", "from": 0},
    {"query": "x", "to": "9999-12-31T23:59:59Z"},
    {"query": "x", "to": "0001-01-01T00:00:00+14:00"},
    {"query": "x", "from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
    {"query": "x", "limit": 0},
    {"query": "x", "limit": 101},
    {"query": "x", "limit": True},
    {"query": "x", "limit": "5"},
    {"query": "x", "offset": -1},
    {"query": "x", "offset": 1_001},
]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def either_url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield request.getfixturevalue("module_database_url")
        return
    server: PostgresDatabases = request.getfixturevalue("postgres_server")
    name = server.create()
    yield server.url(name)
    server.drop(name)


@pytest.fixture(scope="module")
async def owner(either_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Caller]:
    chosen = settings_for(
        either_url,
        search_enabled=True,
        search_tick_seconds=0.1,
        embedder="packaged",
        chroma_persist_directory=str(tmp_path_factory.mktemp("vectors")),
    )
    async with served(chosen) as client:
        yield await founder(client)


async def say(caller: Caller, text: str) -> str:
    """The message's thread, a new one."""
    thread: str = (await caller.made("POST", "/threads", json={}))["id"]
    await caller.say(thread, text)
    return thread


async def search(caller: Caller, query: str, **fields: Any) -> Any:
    return await caller.made("POST", PATH, json={"query": query, **fields})


async def indexed(caller: Caller, mode: str = "semantic") -> None:
    """Once all that was said before can be found: what is said last is indexed last, and the first filling is over."""
    word = f"m{new_id()[-12:]}"
    thread = await say(caller, word)
    async with asyncio.timeout(SECONDS):
        while True:
            asked = {"query": word, "mode": mode, "limit": 100}
            answer = await caller.send("POST", PATH, json=asked)
            found = answer.json() if answer.is_success else {"items": [], "degraded": None}
            if thread in [each["thread"]["id"] for each in found["items"]] and found["degraded"] is None:
                return
            await asyncio.sleep(0.02)


async def measured(caller: Caller, line: str) -> None:
    """Once the measurements have this line."""
    root = str(caller.client.base_url).removesuffix("/api/")
    async with asyncio.timeout(SECONDS), httpx.AsyncClient(trust_env=False) as client:
        while True:
            if line in (await client.get(f"{root}/metrics")).text:
                return
            await asyncio.sleep(0.02)


async def test_a_question_finds_what_was_said_in_another_language(owner: Caller) -> None:
    english = await say(owner, "Our printer is broken and nobody can print the contracts any more.")
    russian = await say(owner, "Напомни, пожалуйста, как приготовить борщ со свёклой и говядиной.")
    for text in ("The flight to Lisbon leaves on Tuesday morning.", "Квартальный отчёт по продажам готов."):
        await say(owner, text)
    await indexed(owner)
    await measured(owner, "frontdesk_search_lag_seconds 0.0")
    await measured(owner, "frontdesk_search_outbox_rows 0.0")
    cases = {"сломался принтер, не печатает": english, "how to cook beetroot soup": russian}
    for query, thread in cases.items():
        for mode in ("semantic", "hybrid"):
            found = await search(owner, query, mode=mode)
            assert found["items"][0]["thread"]["id"] == thread, (query, mode, found)
            assert "semantic" in found["items"][0]["matched_by"]
            assert (found["degraded"], found["complete"]) == (None, True)
    assert (await search(owner, "how to cook beetroot soup", mode="text"))["items"] == []


async def test_an_answer_has_the_documented_shape(owner: Caller) -> None:
    word = f"zebra{new_id()[-6:]}"
    thread = await say(owner, f"🙂 The {word.upper()} is here")
    await indexed(owner)
    found = await search(owner, word, mode="text")
    (item,) = found["items"]
    assert set(found) == {"items", "took_ms", "complete", "degraded"}
    assert set(item) == {"thread", "message_id", "score", "snippet", "highlights", "matched_by"}
    stored = await owner.made("GET", f"/threads/{thread}?messages=0")
    assert {**item["thread"], "messages": []} == stored
    ((start, end),) = item["highlights"]
    assert item["snippet"][start:end] == word.upper()
    assert item["matched_by"] == ["text"]


async def test_wrong_bodies_are_told_what_is_wrong(owner: Caller) -> None:
    for body in WRONG:
        problem = assert_problem(await owner.send("POST", PATH, json=body), 422, "validation_error")
        assert problem["errors"], body
    longest = await search(owner, "слово " * 1_666)
    assert longest["items"] is not None
    for pattern in ("(", r"(a)\1", "(?<=a)b", "a{9999}", "x" * 2_000):
        assert_problem(await owner.send("POST", PATH, json={"query": pattern, "mode": "regex"}), 422, "bad_regex")
    assert_problem(await owner.client.post(PATH, json={"query": "x"}), 401)


async def test_others_find_nothing_of_it(owner: Caller) -> None:
    word = f"secret{new_id()[-6:]}"
    thread = await say(owner, f"the {word}")
    await indexed(owner)
    stranger = await newcomer(owner, f"s{new_id()[-8:]}")
    for mode in ("text", "regex", "semantic", "hybrid"):
        assert [each["thread"]["id"] for each in (await search(owner, word, mode=mode))["items"]][:1] == [thread]
        assert (await search(stranger, word, mode=mode))["items"] == []
    await owner.send("DELETE", f"/threads/{thread}")
    for mode in ("text", "regex", "semantic", "hybrid"):
        found = await search(owner, word, mode=mode)
        assert thread not in [each["thread"]["id"] for each in found["items"]]


@pytest.mark.alone
async def test_hard_patterns_hold_up_nobody(owner: Caller) -> None:
    for filler in ("x" * 150_000, "a" * 150_000, "ab ya " * 25_000):
        await say(owner, filler)
    await indexed(owner, "text")
    longest = 0.0
    searches = [asyncio.create_task(owner.send("POST", PATH, json={"query": each, "mode": "regex"})) for each in HARD]
    while not all(task.done() for task in searches):
        begun = monotonic()
        assert (await owner.send("GET", "/auth/me")).status_code == 200
        longest = max(longest, monotonic() - begun)
        await asyncio.sleep(0.01)
    answers = [task.result() for task in searches]
    assert all(answer.status_code in {200, 422, 503} for answer in answers)
    assert any(answer.is_success for answer in answers)
    assert longest < 2.0


async def test_search_that_is_off_says_so(sqlite_url: str) -> None:
    async with served(settings_for(sqlite_url)) as client:
        caller = await founder(client)
        assert_problem(await caller.send("POST", PATH, json={"query": "x"}), 503, "search_disabled")
