"""The words and trigrams of messages, in the database: how they are made, written and taken away."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, TextClause, delete, insert, select, text

from frontdesk.retrieval.models import IndexedMessage, messages, search_entries, threads
from frontdesk.retrieval.trigrams import fold, owner_mark, trigrams_of
from frontdesk.retrieval.words import stems_of

# PostgreSQL's bounds of a tsvector: positions of one word, and the highest.
_MAX_POSITIONS = 255
_MAX_POSITION = 16_383
_CHANGES = text("SELECT total_changes()")
_MERGES = (
    text("INSERT INTO search_words(search_words, rank) VALUES ('merge', :pages)"),
    text("INSERT INTO search_grams(search_grams, rank) VALUES ('merge', :pages)"),
)
_MERGED_PAGES = 200
_WORK = 2  # changes that a merge of one index does not reach when it has nothing left to do


class Analysis(msgspec.Struct, frozen=True):
    """What there is to index of a message; made outside of any transaction, since it takes long."""

    message_id: str
    user_id: str
    stems: list[str]
    folded: str
    trigrams: list[str]


def analyse(found: Sequence[IndexedMessage]) -> list[Analysis]:
    """Blocking: milliseconds for each."""
    return [_analysis(message) for message in found]


def _analysis(message: IndexedMessage) -> Analysis:
    folded = fold(message.text)
    return Analysis(message.id, message.user_id, stems_of(message.text), folded, sorted(trigrams_of(folded)))


def put(connection: Connection, analyses: Sequence[Analysis]) -> None:
    """Replaces what there was of them. A message that has been erased meanwhile is left out."""
    if not analyses:
        return
    remove(connection, [each.message_id for each in analyses])
    wanted = select(messages.c.id).where(messages.c.id.in_([each.message_id for each in analyses]))
    there = set(connection.scalars(wanted))
    row = _postgres_row if connection.dialect.name == "postgresql" else _sqlite_row
    if rows := [row(each) for each in analyses if each.message_id in there]:
        connection.execute(insert(search_entries), rows)


def remove(connection: Connection, message_ids: Collection[str]) -> None:
    if message_ids:
        connection.execute(delete(search_entries).where(search_entries.c.message_id.in_(message_ids)))


def remove_threads(connection: Connection, thread_ids: Collection[str]) -> None:
    of_threads = select(messages.c.id).where(messages.c.thread_id.in_(thread_ids))
    connection.execute(delete(search_entries).where(search_entries.c.message_id.in_(of_threads)))


def forget_removed(connection: Connection, *, begin: bool) -> bool:
    """A bounded part of writing the index of words anew without what was removed from it; False when that is done.

    SQLite's index keeps a removed text's words until its segments are merged (https://sqlite.org/fts5.html, 6.9).
    """
    if connection.dialect.name != "sqlite":
        return False
    pages = -_MERGED_PAGES if begin else _MERGED_PAGES
    worked = [_merge(connection, merge, pages) for merge in _MERGES]
    return begin or any(worked)


def _merge(connection: Connection, merge: TextClause, pages: int) -> bool:
    """Whether there was something to do."""
    before = int(connection.scalar(_CHANGES) or 0)
    connection.execute(merge, {"pages": pages})
    return int(connection.scalar(_CHANGES) or 0) - before >= _WORK


def list_indexable(connection: Connection, message_ids: Collection[str]) -> list[IndexedMessage]:
    """Those of the messages that belong into an index: said, ended, and in a thread that is not deleted."""
    return _read(connection, indexable().where(messages.c.id.in_(message_ids)))


def list_behind(connection: Connection, cursor: str | None, *, limit: int) -> list[IndexedMessage]:
    """In the order of their ids."""
    statement = indexable() if cursor is None else indexable().where(messages.c.id > cursor)
    return _read(connection, statement.order_by(messages.c.id).limit(limit))


def list_live_threads(connection: Connection, thread_ids: Collection[str]) -> set[str]:
    return set(
        connection.scalars(select(threads.c.id).where(threads.c.id.in_(thread_ids), threads.c.is_deleted.is_(False)))
    )


def indexable() -> Any:
    """An answer that is still being made is indexed when it ends."""
    under_way = (messages.c.role == "assistant") & messages.c.status.in_(["queued", "running"])
    return (
        select(messages, threads.c.user_id)
        .join_from(messages, threads, threads.c.id == messages.c.thread_id)
        .where(threads.c.is_deleted.is_(False), messages.c.text != "", ~under_way)
    )


def _read(connection: Connection, statement: Any) -> list[IndexedMessage]:
    names = IndexedMessage.__struct_fields__
    return [IndexedMessage(**{name: row[name] for name in names}) for row in connection.execute(statement).mappings()]


def _sqlite_row(analysis: Analysis) -> dict[str, Any]:
    return {
        "message_id": analysis.message_id,
        "user_id": analysis.user_id,
        "words": " ".join(analysis.stems),
        "grams": owner_mark(analysis.user_id) + analysis.folded,
    }


def _postgres_row(analysis: Analysis) -> dict[str, Any]:
    places: dict[str, list[str]] = {}
    for position, stem in enumerate(analysis.stems, start=1):
        known = places.setdefault(stem, [])
        if len(known) < _MAX_POSITIONS:
            known.append(str(min(position, _MAX_POSITION)))
    lexemes = [f"'{stem}':{','.join(known)}" for stem, known in places.items()]
    return {
        "message_id": analysis.message_id,
        "user_id": analysis.user_id,
        "words": " ".join([f"'{owner_lexeme(analysis.user_id)}'", *lexemes]),
        "grams": [owner_mark(analysis.user_id), *analysis.trigrams],
    }


def owner_lexeme(user_id: str) -> str:
    """Among the words, so that one index finds an owner's words; no stem has this character."""
    return f"@{user_id}"
