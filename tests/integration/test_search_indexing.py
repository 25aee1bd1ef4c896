"""How what is said comes into the indexes, on each database: once, in the end, and whatever is away meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from frontdesk.errors import SearchIndexError, UnavailableError
from frontdesk.retrieval import outbox
from harness.answers import script, tokens
from harness.conversations import until
from harness.model_stub import ModelStub
from harness.searching import ExactIndex, MeaningEmbedder, Searching, open_searching

A_WHILE = 61.0  # longer than any claim or lease
RETRY = 6.0


@pytest.fixture
async def searching(database_url: str) -> AsyncIterator[Searching]:
    async with open_searching(database_url) as opened:
        yield opened


async def test_what_is_said_waits_in_the_outbox_until_it_is_indexed(searching: Searching) -> None:
    thread, message = await searching.say("cat")
    assert [(row.subject, row.kind) for row in await searching.rows("search_outbox")] == [(message, "message")]
    assert await searching.threads_of("cat", "text") == []
    await searching.indexer.run()
    assert await searching.rows("search_outbox") == []
    assert await searching.threads_of("cat", "text") == [thread]
    assert (searching.indexer.rows, searching.indexer.lag) == (0, 0.0)


async def test_answers_are_indexed_when_they_end(database_url: str, model_stub: ModelStub) -> None:
    model = script("search-answer", tokens=4, stall_at=2, stall_ms=600_000)
    async with open_searching(database_url, model=model_stub.url) as searching:
        core, thread = searching.core, await searching.core.thread()
        question = await core.send(thread, "cat", model=model)
        await until(lambda: core.stored_text(question), lambda text: text == tokens(2))
        await searching.indexer.run()
        assert len(await searching.rows("search_entries")) == 1
        await core.conversation.cancel(core.user, thread, question.execution_id or "")
        await searching.indexer.run()
        (hit,) = (await searching.find("t1", "text", role="assistant")).hits
        answer = await core.answer_to(question)
        assert (hit.thread_id, hit.message_id, hit.snippet.text) == (thread, answer.id, tokens(2))
        assert await searching.rows("search_outbox") == []


async def test_two_processes_do_nothing_twice(searching: Searching) -> None:
    for number in range(100):
        await searching.say(f"cat {number}")
    await searching.indexer.rebuild()
    while await searching.indexer.rebuild():
        pass
    rebuilt = searching.index.puts
    await asyncio.gather(searching.indexer.run(), searching.another_indexer().run())
    assert searching.index.puts - rebuilt == 100
    assert await searching.rows("search_outbox") == []


async def test_a_change_while_it_is_indexed_is_not_lost(searching: Searching) -> None:
    await searching.indexer.run()
    thread, message = await searching.say("cat")

    async def edit() -> None:
        await searching.core.messages.change(searching.core.user, thread, message, text="printer", status=None)

    searching.index.before_put = edit
    await searching.indexer.run()
    for mode in ("text", "semantic"):
        assert await searching.threads_of("cat", mode) == []
        assert await searching.threads_of("printer", mode) == [thread]
    assert await searching.rows("search_outbox") == []


async def test_what_a_dead_process_had_claimed_is_taken_over(searching: Searching) -> None:
    await searching.indexer.run()
    thread, _ = await searching.say("cat")
    now = searching.clock.now()
    await searching.core.database.write(
        lambda connection: outbox.claim(connection, "dead", now=now, lease=60, limit=9, with_words=True)
    )
    await searching.indexer.run()
    assert await searching.threads_of("cat", "text") == []
    searching.clock.advance(A_WHILE)
    await searching.indexer.run()
    assert await searching.threads_of("cat", "semantic") == [thread]


async def test_what_an_ending_process_had_claimed_is_free_at_once(searching: Searching) -> None:
    await searching.indexer.run()
    thread, _ = await searching.say("cat")

    async def end() -> None:
        raise asyncio.CancelledError

    searching.index.before_put = end
    with pytest.raises(asyncio.CancelledError):
        await searching.indexer.run()
    await searching.another_indexer().run()
    assert await searching.threads_of("cat", "semantic") == [thread]


async def test_chat_goes_on_without_the_index_and_the_outbox_waits(searching: Searching) -> None:
    await searching.say("cat before")
    await searching.indexer.run()
    searching.index.lost = True
    searching.index.collections.clear()
    thread, _ = await searching.say("kitten after")
    await searching.indexer.run()
    assert await searching.threads_of("kitten", "text") == [thread]
    assert len(await searching.rows("search_outbox")) == 1
    with pytest.raises(SearchIndexError, match="frontdesk search reindex"):
        await searching.find("cat", "semantic")
    found = await searching.find("kitten")
    assert [hit.thread_id for hit in found.hits] == [thread]
    assert "frontdesk search reindex" in (found.degraded or "")
    searching.index.lost = False
    searching.clock.advance(RETRY)
    await searching.request_rebuilding()
    await searching.indexer.run()
    searching.clock.advance(RETRY)
    await searching.indexer.run()
    assert await searching.rows("search_outbox") == []
    assert len(await searching.threads_of("cat", "semantic")) == 2


async def test_an_embedder_that_is_away_is_waited_for(database_url: str) -> None:
    embedder = MeaningEmbedder()
    embedder.away = True
    async with open_searching(database_url, embedder=embedder) as searching:
        thread, _ = await searching.say("cat")
        await searching.indexer.run()
        assert await searching.threads_of("cat", "text") == [thread]
        with pytest.raises(UnavailableError):
            await searching.find("cat", "semantic")
        assert (await searching.find("cat")).degraded is not None
        embedder.away = False
        searching.clock.advance(RETRY)
        await searching.indexer.run()
        assert await searching.threads_of("cat", "semantic") == [thread]
        assert await searching.rows("search_outbox") == []


async def test_a_purge_leaves_nothing(searching: Searching) -> None:
    thread, _ = await searching.say("cat")
    await searching.indexer.run()
    await searching.core.threads.delete(searching.core.user, thread, purge=True)
    assert await searching.rows("search_entries") == []
    assert await searching.threads_of("cat") == []
    await searching.indexer.run()
    assert searching.index.held() == set()
    assert await searching.rows("search_outbox") == []


async def test_another_model_is_told_and_replaced_without_a_gap(database_url: str) -> None:
    index = ExactIndex()
    async with open_searching(database_url, index=index) as before:
        old, _ = await before.say("cat of old")
        await before.indexer.run()
        user = before.core.user
    async with open_searching(database_url, index=index, embedder=MeaningEmbedder("others"), user=user) as searching:
        with pytest.raises(SearchIndexError, match=r"meanings .* others .*frontdesk search reindex"):
            await searching.find("cat", "semantic")
        new, _ = await searching.say("cat of now")
        await searching.indexer.run()
        assert set(await searching.threads_of("cat")) == {old, new}
        await searching.request_rebuilding()
        searching.clock.advance(RETRY)
        await searching.indexer.run()
        assert set(await searching.threads_of("cat", "semantic")) == {old, new}
        searching.clock.advance(A_WHILE)
        await searching.indexer.run()
        assert [collection.model for collection in index.collections] == ["others"]
        assert [(row.state, row.model) for row in await searching.rows("search_indexes")] == [("live", "others")]


async def test_a_rebuilding_goes_on_where_another_process_died(searching: Searching) -> None:
    threads = {(await searching.say(f"cat {number}"))[0] for number in range(80)}
    await searching.indexer.run()
    await searching.request_rebuilding()
    assert await searching.indexer.rebuild()
    survivor = searching.another_indexer()
    assert not await survivor.rebuild()
    put = searching.index.puts
    searching.clock.advance(A_WHILE)
    await survivor.run()
    assert searching.index.puts - put == 80 - 32
    assert set(await searching.threads_of("cat", "semantic", limit=100)) == threads


async def test_changes_reach_the_old_generation_and_the_new_one(searching: Searching) -> None:
    kept, message = await searching.say("cat")
    gone, _ = await searching.say("cat too")
    await searching.indexer.run()
    await searching.request_rebuilding()
    assert await searching.indexer.rebuild()
    await searching.core.messages.change(searching.core.user, kept, message, text="printer", status=None)
    await searching.core.threads.delete(searching.core.user, gone, purge=False)
    added, _ = await searching.say("kitten")
    assert await searching.indexer._drain.step()
    assert await searching.threads_of("cat", "semantic") == [added]
    assert [len(entries) for entries in searching.index.collections.values()] == [2, 2]
    await searching.indexer.run()
    assert await searching.threads_of("cat", "semantic") == [added]
    assert await searching.threads_of("printer", "semantic") == [kept]


async def test_a_change_between_the_two_looks_of_a_rebuilding_is_not_lost(searching: Searching) -> None:
    thread, message = await searching.say("cat")
    gone, _ = await searching.say("cat too")
    await searching.indexer.run()
    await searching.request_rebuilding()

    async def change() -> None:
        await searching.core.messages.change(searching.core.user, thread, message, text="printer", status=None)
        await searching.core.threads.delete(searching.core.user, gone, purge=False)
        assert await searching.another_indexer()._drain.step()

    searching.index.before_put = change
    await searching.indexer.run()
    assert await searching.threads_of("cat", "semantic") == []
    assert await searching.threads_of("printer", "semantic") == [thread]
    assert await searching.rows("search_outbox") == []


async def test_what_was_said_before_search_was_on_is_found(searching: Searching) -> None:
    thread, _ = await searching.say("cat")
    await searching.core.database.write(lambda connection: connection.exec_driver_sql("DELETE FROM search_outbox"))
    await searching.indexer.run()
    for mode in ("text", "semantic", "regex"):
        assert await searching.threads_of("cat", mode) == [thread]
