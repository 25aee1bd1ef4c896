"""Answers questions: one row for each thread, best first, of what the asker may see at this moment."""

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum
from time import monotonic

import msgspec

from frontdesk.database import Database
from frontdesk.errors import (
    ConfigurationError,
    OverloadedError,
    SearchDisabledError,
    SearchIndexError,
    UnavailableError,
)
from frontdesk.retrieval import repository
from frontdesk.retrieval.fusion import fused
from frontdesk.retrieval.likeness import Likeness
from frontdesk.retrieval.patterns import Pattern, compile_pattern
from frontdesk.retrieval.repository import Match, Scope
from frontdesk.retrieval.snippets import Snippet, cut_snippet
from frontdesk.retrieval.word_search import list_by_words
from frontdesk.retrieval.words import asked_stems, word_spans

REGEX_SECONDS = 2.0
MAX_STEMS = 64
_MATCHES = 150  # of the words; at least as many for each thread that is wanted
_MATCHES_OF_THREAD = 4
_CANDIDATES = (200, 2_000, 20_000)  # asked for more and more, until enough of them match
_TEXTS = 200
_PATTERNS_AT_ONCE = 2
_ALIKE = 60  # threads by meaning that are fused at least


class Mode(StrEnum):
    hybrid = "hybrid"
    semantic = "semantic"
    text = "text"
    regex = "regex"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """`text` is a pattern in the mode `regex`. `limit` and `offset` count threads."""

    scope: Scope
    text: str
    mode: Mode
    limit: int
    offset: int

    @property
    def wanted(self) -> int:
        return self.offset + self.limit


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """The thread's best message. `score` is comparable within one answer only."""

    thread_id: str
    message_id: str
    score: float
    snippet: Snippet
    matched_by: list[str]


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """`degraded` says what was left out and why; `complete` is False when time ran out before all was looked at."""

    hits: list[Hit]
    complete: bool = True
    degraded: str | None = None


class _Ranked(msgspec.Struct, frozen=True):
    """One match of each thread, best first, and which ways found the thread."""

    matches: list[Match]
    matched_by: Mapping[str, list[str]]
    complete: bool = True
    degraded: str | None = None


class SearchService:
    """`enabled` is False where search is off: every question is refused then."""

    def __init__(self, *, database: Database, likeness: Likeness, enabled: bool) -> None:
        self._database = database
        self._likeness = likeness
        self._enabled = enabled
        self._patterns = asyncio.Semaphore(_PATTERNS_AT_ONCE)

    async def search(self, question: Question) -> Findings:
        """Raises `SearchDisabledError`, `BadRegexError`, and, in the mode `semantic`, `SearchIndexError`."""
        if not self._enabled:
            raise SearchDisabledError
        pattern = compile_pattern(question.text) if question.mode is Mode.regex else None
        ranked = await self._rank(question, pattern)
        page = ranked.matches[question.offset : question.wanted]
        texts = await self._database.read(
            lambda connection: repository.list_texts(connection, question.scope, [each.message_id for each in page])
        )
        shown = [each for each in page if each.message_id in texts]
        snippets = await asyncio.to_thread(
            _snippets, question.text, [texts[each.message_id][1] for each in shown], pattern
        )
        hits = [
            Hit(
                thread_id=match.thread_id,
                message_id=match.message_id,
                score=match.score,
                snippet=snippet,
                matched_by=ranked.matched_by[match.thread_id],
            )
            for match, snippet in zip(shown, snippets, strict=True)
        ]
        return Findings(hits=hits, complete=ranked.complete, degraded=ranked.degraded)

    async def _rank(self, question: Question, pattern: Pattern | None) -> _Ranked:
        if pattern is not None:
            return await self._by_pattern(question, pattern)
        if question.mode is Mode.text:
            return _alone(await self._by_words(question), Mode.text)
        if question.mode is Mode.semantic:
            found = await self._likeness.find(question.scope, question.text, wanted=question.wanted)
            return msgspec.structs.replace(_alone(found.matches, Mode.semantic), degraded=found.notice)
        return await self._by_both(question)

    async def _by_both(self, question: Question) -> _Ranked:
        by_likeness = asyncio.create_task(
            self._likeness.find(question.scope, question.text, wanted=max(question.wanted, _ALIKE))
        )
        try:
            by_words = await self._by_words(question)
        except BaseException:
            by_likeness.cancel()
            raise
        try:
            found = await by_likeness
        except (SearchIndexError, UnavailableError, ConfigurationError) as error:
            words_alone = _alone(by_words, Mode.text)
            return msgspec.structs.replace(words_alone, degraded=f"Searched by words alone: {error.detail}")
        matches, matched_by = fused(found.supported, by_words, looked_at=_ALIKE)
        return _Ranked(matches, matched_by, degraded=found.notice)

    async def _by_words(self, question: Question) -> list[Match]:
        stems = await asyncio.to_thread(asked_stems, question.text, limit=MAX_STEMS)
        if not stems:
            return []
        limit = max(_MATCHES, _MATCHES_OF_THREAD * question.wanted)
        return _best_of_threads(
            await self._database.read(lambda connection: list_by_words(connection, question.scope, stems, limit=limit))
        )

    async def _by_pattern(self, question: Question, pattern: Pattern) -> _Ranked:
        until = monotonic() + REGEX_SECONDS
        try:
            async with asyncio.timeout(REGEX_SECONDS):
                await self._patterns.acquire()
        except TimeoutError as error:
            raise OverloadedError("Too many regular expressions are searched for", retry_after=2) from error
        try:
            found, complete = await self._match(question, pattern, until=until)
        finally:
            self._patterns.release()
        return _Ranked(found, {match.thread_id: [Mode.regex.value] for match in found}, complete)

    async def _match(self, question: Question, pattern: Pattern, *, until: float) -> tuple[list[Match], bool]:
        """The newest matching message of each thread, no more threads than are wanted, and whether time sufficed."""
        found: dict[str, Match] = {}
        looked_at = 0
        for count in _CANDIDATES:
            candidates = await self._database.read(
                lambda connection: repository.list_by_trigrams(connection, question.scope, pattern.needs, limit=count)  # noqa: B023  awaited here
            )
            for start in range(looked_at, len(candidates), _TEXTS):
                complete = await self._match_texts(
                    question, pattern, candidates[start : start + _TEXTS], found=found, until=until
                )
                if len(found) >= question.wanted or not complete:
                    return list(found.values()), complete
            if len(candidates) < count:
                return list(found.values()), True
            looked_at = count
        return list(found.values()), False

    async def _match_texts(
        self, question: Question, pattern: Pattern, candidates: Sequence[str], *, found: dict[str, Match], until: float
    ) -> bool:
        """Whether there was time for all of them."""
        texts = await self._database.read(
            lambda connection: repository.list_texts(connection, question.scope, candidates)
        )
        in_order = [(each, texts[each][1]) for each in candidates if each in texts and texts[each][0] not in found]
        matching, complete = await asyncio.to_thread(pattern.matching, in_order, until=until)
        for message_id in matching:
            thread_id = texts[message_id][0]
            found.setdefault(thread_id, Match(message_id, thread_id, 1.0))
        return complete


def _alone(matches: Sequence[Match], mode: Mode) -> _Ranked:
    return _Ranked(list(matches), {match.thread_id: [mode.value] for match in matches})


def _best_of_threads(matches: Sequence[Match]) -> list[Match]:
    best: dict[str, Match] = {}
    for match in matches:
        best.setdefault(match.thread_id, match)
    return list(best.values())


def _snippets(question: str, texts: Sequence[str], pattern: Pattern | None) -> list[Snippet]:
    if pattern is not None:
        return [cut_snippet(text, pattern.spans(text)) for text in texts]
    stems = set(asked_stems(question, limit=MAX_STEMS))
    return [cut_snippet(text, word_spans(text, stems)) for text in texts]
