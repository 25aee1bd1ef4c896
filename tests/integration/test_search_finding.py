"""What searches find, on each database: the four modes, their filters and pages, and what is nobody else's business."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from frontdesk.errors import BadRegexError
from frontdesk.kit.clock import SystemClock
from frontdesk.ports.vector_index import Neighbour
from frontdesk.retrieval import word_search
from harness.conversations import a_user
from harness.searching import Searching, open_searching

MODES = ("hybrid", "semantic", "text", "regex")


@pytest.fixture
async def searching(database_url: str) -> AsyncIterator[Searching]:
    async with open_searching(database_url) as opened:
        yield opened


async def test_words_are_found_by_their_stems_in_english_and_russian(searching: Searching) -> None:
    english, _ = await searching.say("The printers were jammed again")
    russian, _ = await searching.say("Сломанные принтеры снова стоят, а ещё пришёл счёт")
    await searching.indexer.run()
    assert await searching.threads_of("jam printer", "text") == [english]
    assert await searching.threads_of("принтерам", "text") == [russian]
    assert await searching.threads_of("счета", "text") == [russian]
    assert await searching.threads_of("еще", "text") == [russian]
    assert await searching.threads_of("xylophone", "text") == []
    assert await searching.threads_of("?!", "text") == []


async def test_all_words_win_over_some(searching: Searching) -> None:
    both, _ = await searching.say("alpha and beta")
    one, _ = await searching.say("alpha alone")
    await searching.indexer.run()
    assert await searching.threads_of("alpha beta", "text") == [both, one]
    assert set(await searching.threads_of("alpha gamma", "text")) == {both, one}


async def test_meaning_is_found_across_languages(searching: Searching) -> None:
    thread, message = await searching.say("Оплата за апрель не прошла")
    await searching.say("Unrelated words entirely")
    await searching.indexer.run()
    hits = (await searching.find("invoices", "semantic")).hits
    assert [(hit.thread_id, hit.message_id, hit.matched_by) for hit in hits] == [(thread, message, ["semantic"])]
    assert hits[0].score > 0.9
    assert await searching.threads_of("invoices", "text") == []


async def test_hybrid_puts_what_both_find_first(searching: Searching) -> None:
    by_meaning, _ = await searching.say("Счет выставлен")
    by_both, _ = await searching.say("the invoice is here")
    await searching.indexer.run()
    found = await searching.find("invoice")
    assert [hit.thread_id for hit in found.hits] == [by_both, by_meaning]
    assert [hit.matched_by for hit in found.hits] == [["semantic", "text"], ["semantic"]]
    assert [hit.score for hit in found.hits] == [1.0, 0.5], "they are equally alike, and one has the word"
    assert (found.complete, found.degraded) == (True, None)


@pytest.mark.parametrize("candidates", [word_search.CANDIDATES, 2])
async def test_who_has_all_words_comes_before_who_has_one_often(
    searching: Searching, monkeypatch: pytest.MonkeyPatch, candidates: int
) -> None:
    """Also where more have one than can be looked at: these are the newest."""
    long = "a fox " + "and many other animals of the forest " * 20 + "in the snow"
    with_all = {(await searching.say(long))[0] for _ in range(2)}
    with_one = {(await searching.say(text))[0] for text in ("fox, fox, fox", "snow")}
    await searching.indexer.run()
    monkeypatch.setattr(word_search, "CANDIDATES", candidates)
    found = await searching.threads_of("fox snow", "text")
    assert set(found[:2]) == with_all
    assert set(found[2:]) <= with_one
    assert len(found) > 2


async def test_a_thread_is_found_once_with_its_best_message(searching: Searching) -> None:
    thread, _ = await searching.say("a cat, and much more that is said beside it in the same breath and so on")
    _, short = await searching.say("cat", thread_id=thread)
    await searching.indexer.run()
    for mode in ("text", "semantic", "hybrid"):
        hits = (await searching.find("cat", mode)).hits
        assert [(hit.thread_id, hit.message_id) for hit in hits] == [(thread, short)] or mode == "semantic"
        assert len(hits) == 1


async def test_patterns_match_as_re2_does(searching: Searching) -> None:
    texts = {"upper": "see INV-2041, please", "lower": "inv-2041 %_'\"", "russian": "Мой счёт готов"}
    names = {(await searching.say(text))[0]: name for name, text in texts.items()}
    await searching.indexer.run()
    cases: dict[str, set[str]] = {
        r"INV-\d{4}": {"upper"},
        r"(?i)inv-\d{4}": {"upper", "lower"},
        r"^inv": {"lower"},
        r"сч[её]т\s\p{Cyrillic}+": {"russian"},
        r"т\b": set(),  # RE2 knows the bounds of ASCII words
        r"(INV|inv)-[0-9]+": {"upper", "lower"},
        r".": {"upper", "lower", "russian"},
        r"a{3}": set(),
        r"%_'\"": {"lower"},
    }
    for pattern, expected in cases.items():
        assert {names[thread] for thread in await searching.threads_of(pattern, "regex")} == expected, pattern


async def test_a_pattern_shows_where_it_matched(searching: Searching) -> None:
    await searching.say("🙂 the code is INV-2041 and INV-7")
    await searching.indexer.run()
    (hit,) = (await searching.find(r"INV-\d+", "regex")).hits
    assert [hit.snippet.text[start:end] for start, end in hit.snippet.highlights] == ["INV-2041", "INV-7"]
    assert hit.matched_by == ["regex"]


async def test_bad_patterns_are_refused(searching: Searching) -> None:
    for pattern in ("(", r"(\w+)\1", "(?=a)a", "a{1001}", "((a{30}){30}){30}", "x" * 1_001, "[", "*"):
        with pytest.raises(BadRegexError):
            await searching.find(pattern, "regex")


async def test_a_snippet_is_of_the_original_text(searching: Searching) -> None:
    await searching.say("word " * 300 + "and then Сломанные ПРИНТЕРЫ came " + "word " * 300)
    await searching.indexer.run()
    (hit,) = (await searching.find("принтер сломанный", "text")).hits
    shown = [hit.snippet.text[start:end] for start, end in hit.snippet.highlights]
    assert shown == ["Сломанные", "ПРИНТЕРЫ"]
    assert len(hit.snippet.text) <= 240


async def test_filters_hold_in_each_mode(searching: Searching) -> None:
    thread, _ = await searching.say("cat one")
    await searching.core.send(thread, "cat two", model="gpt-9")
    await searching.indexer.run()
    now, hour = SystemClock().now(), timedelta(hours=1)
    for mode in MODES:
        assert await searching.threads_of("cat", mode, model="gpt-9") == [thread]
        assert await searching.threads_of("cat", mode, model="other") == []
        assert await searching.threads_of("cat", mode, role="user") == [thread]
        assert await searching.threads_of("cat", mode, role="assistant") == []
        assert await searching.threads_of("cat", mode, since=now - hour, until=now + hour) == [thread]
        assert await searching.threads_of("cat", mode, since=now + hour) == []
        assert await searching.threads_of("cat", mode, until=now - hour) == []


async def test_pages_have_each_thread_once(searching: Searching) -> None:
    made = {(await searching.say("cat"))[0] for _ in range(7)}
    await searching.indexer.run()
    for mode in MODES:
        pages = [await searching.threads_of("cat", mode, limit=3, offset=offset) for offset in (0, 3, 6, 9)]
        assert [len(page) for page in pages] == [3, 3, 1, 0]
        assert {thread for page in pages for thread in page} == made


async def test_nobody_finds_another_users_threads(searching: Searching) -> None:
    mine, _ = await searching.say("cat")
    await searching.indexer.run()
    for mode in MODES:
        assert await searching.threads_of("cat", mode, user=a_user()) == []
        assert await searching.threads_of("cat", mode) == [mine]


async def test_allow_lists_hold(searching: Searching) -> None:
    plain, _ = await searching.say("cat")
    of_product, _ = await searching.say("cat", product_id="p1")
    odd, _ = await searching.say("cat", product_id=5)
    of_agent, _ = await searching.say("cat", agent_id="a1")
    await searching.indexer.run()
    everything = {plain, of_product, odd, of_agent}
    cases: list[tuple[dict[str, frozenset[str]], set[str]]] = [
        ({}, everything),
        ({"products": frozenset({"p1"})}, {plain, of_product, of_agent}),
        ({"products": frozenset({"5"})}, {plain, of_agent}),
        ({"products": frozenset(), "agents": frozenset()}, {plain}),
        ({"agents": frozenset({"a1", "a2"})}, everything),
    ]
    for mode in MODES:
        for lists, expected in cases:
            user = msgspec.structs.replace(searching.core.user, **lists)
            assert set(await searching.threads_of("cat", mode, user=user)) == expected, (mode, lists)


async def test_a_deleted_thread_is_gone_at_once_and_back_when_it_is_shown_again(searching: Searching) -> None:
    thread, message = await searching.say("cat")
    kept, _ = await searching.say("cat too")
    await searching.indexer.run()
    await searching.core.threads.delete(searching.core.user, thread, purge=False)
    for mode in MODES:
        assert await searching.threads_of("cat", mode) == [kept]
    await searching.indexer.run()
    assert message not in searching.index.held()
    for mode in MODES:
        assert await searching.threads_of("cat", mode) == [kept]
    await searching.core.threads.change(searching.core.user, thread, {"is_deleted": False})
    await searching.indexer.run()
    for mode in MODES:
        assert set(await searching.threads_of("cat", mode)) == {kept, thread}


@pytest.mark.parametrize("mode", ["hybrid", "semantic"])
async def test_a_thread_that_is_deleted_meanwhile_is_not_shown(
    searching: Searching, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Its vector has been found already, and its words."""
    thread, _ = await searching.say("cat")
    kept, _ = await searching.say("cat too")
    await searching.indexer.run()
    nearest = searching.index.nearest

    async def deleting(*given: Any, **named: Any) -> list[Neighbour]:
        found = await nearest(*given, **named)
        await searching.core.threads.delete(searching.core.user, thread, purge=False)
        return found

    monkeypatch.setattr(searching.index, "nearest", deleting)
    assert await searching.threads_of("cat", mode) == [kept]


async def test_an_edit_replaces_what_is_found(searching: Searching) -> None:
    thread, message = await searching.say("cat")
    await searching.indexer.run()
    await searching.core.messages.change(searching.core.user, thread, message, text="printer", status=None)
    await searching.indexer.run()
    for mode in MODES:
        assert await searching.threads_of("cat", mode) == []
        assert await searching.threads_of("printer", mode) == [thread]


async def test_a_rare_word_counts_for_more_than_a_common_one(searching: Searching) -> None:
    rare, _ = await searching.say("a violin, and beside it a lot that is said of other things at the same time")
    for number in range(6):
        await searching.say(f"printer {number}")
    await searching.indexer.run()
    found = await searching.threads_of("printer violin", "text")
    assert (found[0], len(found)) == (rare, 7)


async def test_a_question_of_very_many_words_is_answered(searching: Searching) -> None:
    thread, _ = await searching.say("where the kettle and the lantern are")
    await searching.indexer.run()
    longest = " ".join(["kettle", "lantern", *(f"word{number}" for number in range(1_200))])
    assert len(longest) < 10_000
    assert await searching.threads_of(longest, "text") == [thread]
