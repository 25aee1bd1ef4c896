"""What searches ask the database. Who asks is part of every query: their own threads, live, and permitted to them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    or_,
    select,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY

from frontdesk.identity.principal import Principal
from frontdesk.retrieval.entries import owner_lexeme
from frontdesk.retrieval.literals import All, Need
from frontdesk.retrieval.models import messages, search_entries, threads
from frontdesk.retrieval.trigrams import owner_mark

_search_words = table("search_words", column("rowid"))
_search_grams = table("search_grams", column("rowid"))
_NORMALISED = 1  # ts_rank: divided by 1 + the logarithm of the length


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """All that is given must hold. `since` and `until` are inclusive, of the message's creation."""

    model: str | None = None
    role: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Scope(msgspec.Struct, frozen=True):
    """Who asks, and of which messages."""

    principal: Principal
    filters: Filters


class Match(msgspec.Struct, frozen=True):
    """A message that was found; a higher score is a better one."""

    message_id: str
    thread_id: str
    score: float


def list_by_words(
    connection: Connection, scope: Scope, stems: Sequence[str], *, all_of_them: bool, limit: int
) -> list[Match]:
    """The messages with all of the stems, or with any, best first."""
    statement = _by_words_on_postgres if _on_postgres(connection) else _by_words_on_sqlite
    rows = connection.execute(
        _visible(connection, statement(scope, stems, all_of_them=all_of_them), scope).limit(limit)
    )
    return [Match(row.id, row.thread_id, float(row.score)) for row in rows]


def _by_words_on_sqlite(scope: Scope, stems: Sequence[str], *, all_of_them: bool) -> Select[Any]:
    joined = (" AND " if all_of_them else " OR ").join(f'"{stem}"' for stem in stems)
    terms = f'user_id : "{scope.principal.id}" AND words : ({joined})'
    rank: ColumnElement[float] = literal_column("bm25(search_words, 0.0, 1.0)")  # lower is better
    return (
        select(messages.c.id, messages.c.thread_id, (-rank).label("score"))
        .join_from(_search_words, search_entries, search_entries.c.id == _search_words.c.rowid)
        .where(text("search_words MATCH :terms").bindparams(terms=terms))
        .order_by(rank, messages.c.id.desc())
    )


def _by_words_on_postgres(scope: Scope, stems: Sequence[str], *, all_of_them: bool) -> Select[Any]:
    joined = (" & " if all_of_them else " | ").join(f"'{stem}'" for stem in stems)
    asked = _tsquery("asked", joined)
    of_owner = _tsquery("of_owner", f"'{owner_lexeme(scope.principal.id)}' & ({joined})")
    score = func.ts_rank(search_entries.c.words, asked, _NORMALISED)
    return (
        select(messages.c.id, messages.c.thread_id, score.label("score"))
        .select_from(search_entries)
        .where(search_entries.c.words.op("@@")(of_owner))
        .order_by(score.desc(), messages.c.id.desc())
    )


def _tsquery(name: str, value: str) -> ColumnElement[Any]:
    return cast(cast(bindparam(name, value, type_=Text), Text), TSQUERY)


def list_by_trigrams(connection: Connection, scope: Scope, needs: All, *, limit: int) -> list[str]:
    """Ids of the messages that hold what is needed, the newest first; of all, when nothing is."""
    statement = select(messages.c.id).select_from(search_entries)
    if needs.needs and _on_postgres(connection):
        statement = statement.where(_holds([owner_mark(scope.principal.id)]), _grams_on_postgres(needs))
    elif needs.needs:
        terms = f'"{owner_mark(scope.principal.id)}" AND {_grams_on_sqlite(needs)}'
        # Not a join: SQLite would ask the full text once for each of the owner's messages.
        holding = select(_search_grams.c.rowid).where(text("search_grams MATCH :terms").bindparams(terms=terms))
        statement = statement.where(search_entries.c.id.in_(holding))
    newest_first = _visible(connection, statement, scope).order_by(search_entries.c.message_id.desc())
    return list(connection.scalars(newest_first.limit(limit)))


def _grams_on_sqlite(need: Need) -> str:
    if isinstance(need, str):
        return '"' + need.replace('"', '""') + '"'
    joint = " AND " if isinstance(need, All) else " OR "
    return "(" + joint.join(_grams_on_sqlite(inner) for inner in need.needs) + ")"


def _grams_on_postgres(need: Need) -> ColumnElement[bool]:
    if isinstance(need, str):
        return _holds([need])
    if not isinstance(need, All):
        return or_(*[_grams_on_postgres(inner) for inner in need.needs])
    single = [inner for inner in need.needs if isinstance(inner, str)]
    others = [_grams_on_postgres(inner) for inner in need.needs if not isinstance(inner, str)]
    return and_(*([_holds(single)] if single else []), *others)


def _holds(grams: Sequence[str]) -> ColumnElement[bool]:
    return search_entries.c.grams.op("@>")(cast(list(grams), ARRAY(Text)))


def list_visible(connection: Connection, scope: Scope, message_ids: Collection[str]) -> dict[str, str]:
    """The threads of those of the messages that the asker may see now, by the message's id."""
    statement = select(messages.c.id, messages.c.thread_id).select_from(search_entries)
    statement = _visible(connection, statement, scope).where(messages.c.id.in_(message_ids))
    return {row.id: row.thread_id for row in connection.execute(statement)}


def list_texts(connection: Connection, scope: Scope, message_ids: Collection[str]) -> dict[str, tuple[str, str]]:
    """Thread and text of those that the asker may see now."""
    statement = select(messages.c.id, messages.c.thread_id, messages.c.text).select_from(search_entries)
    statement = _visible(connection, statement, scope).where(messages.c.id.in_(message_ids))
    return {row.id: (row.thread_id, row.text) for row in connection.execute(statement)}


def list_threads(connection: Connection, principal: Principal) -> frozenset[str]:
    """All threads in which the principal may find something."""
    return frozenset(connection.scalars(select(threads.c.id).where(*_policy(connection, principal))))


def _visible(connection: Connection, statement: Select[Any], scope: Scope) -> Select[Any]:
    """Of a statement from `search_entries`: what the asker may see and asked for."""
    filters = scope.filters
    wanted = {messages.c.model: filters.model, messages.c.role: filters.role}
    statement = (
        statement.join(messages, messages.c.id == search_entries.c.message_id)
        .join(threads, threads.c.id == messages.c.thread_id)
        .where(search_entries.c.user_id == scope.principal.id, *_policy(connection, scope.principal))
        .where(*[place == value for place, value in wanted.items() if value is not None])
    )
    if filters.since is not None:
        statement = statement.where(messages.c.created_at >= filters.since)
    if filters.until is not None:
        statement = statement.where(messages.c.created_at <= filters.until)
    return statement


def _policy(connection: Connection, principal: Principal) -> list[ColumnElement[bool]]:
    """What `identity.access` decides of one thread, of all of them at once."""
    conditions = [threads.c.user_id == principal.id, threads.c.is_deleted.is_(False)]
    for key, permitted in (("product_id", principal.products), ("agent_id", principal.agents)):
        if permitted is not None:
            conditions.append(_permits(connection, key, permitted))
    return conditions


def _permits(connection: Connection, key: str, permitted: frozenset[str]) -> ColumnElement[bool]:
    value = threads.c.metadata[key].as_string()
    if _on_postgres(connection):
        kind = func.jsonb_typeof(threads.c.metadata[key])
        return or_(value.is_(None), (kind == "string") & value.in_(sorted(permitted)))
    kind = func.json_type(threads.c.metadata, f"$.{key}")
    return or_(value.is_(None), (kind == "text") & value.in_(sorted(permitted)))


def _on_postgres(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"
