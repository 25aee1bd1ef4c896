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
    any_,
    cast,
    column,
    func,
    or_,
    select,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from frontdesk.identity.principal import Principal
from frontdesk.retrieval.literals import All, Need
from frontdesk.retrieval.models import messages, search_entries, threads
from frontdesk.retrieval.trigrams import owner_mark

_search_grams = table("search_grams", column("rowid"))


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

    @property
    def is_plain(self) -> bool:
        """All of their own is asked for."""
        return self.principal.products is None and self.principal.agents is None and self.filters == Filters()


class Match(msgspec.Struct, frozen=True):
    """A message that was found; a higher score is a better one."""

    message_id: str
    thread_id: str
    score: float


def list_by_trigrams(connection: Connection, scope: Scope, needs: All, *, limit: int) -> list[str]:
    """Ids of the asker's messages that hold what is needed, or of all when nothing is, the newest first. Which of them
    may be seen now is told by `list_texts`.
    """
    statement = select(search_entries.c.message_id)
    if needs.needs and _on_postgres(connection):
        # A plan for these trigrams: one for all of them would take each for as rare as any other.
        connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))
        statement = statement.where(_holds([owner_mark(scope.principal.id)]), _grams_on_postgres(needs))
    elif needs.needs:
        terms = f'"{owner_mark(scope.principal.id)}" AND {_grams_on_sqlite(needs)}'
        # Not a join: SQLite would ask the full text once for each of the owner's messages.
        holding = select(_search_grams.c.rowid).where(text("search_grams MATCH :terms").bindparams(terms=terms))
        statement = statement.where(search_entries.c.id.in_(holding))
    statement = statement.where(search_entries.c.user_id == scope.principal.id)
    if not scope.is_plain:
        with_message = messages.c.id == search_entries.c.message_id
        statement = visible(connection, statement.join_from(search_entries, messages, with_message), scope)
    return list(connection.scalars(statement.order_by(search_entries.c.message_id.desc()).limit(limit)))


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


def list_texts(connection: Connection, scope: Scope, message_ids: Collection[str]) -> dict[str, tuple[str, str]]:
    """Thread and text of those that the asker may see now."""
    statement = select(messages.c.id, messages.c.thread_id, messages.c.text).where(_one_of(connection, message_ids))
    rows = connection.execute(visible(connection, statement, scope)).all()
    return {row.id: (row.thread_id, row.text) for row in rows}


def _one_of(connection: Connection, message_ids: Collection[str]) -> ColumnElement[bool]:
    """One value on PostgreSQL, where a statement of its own for each count would be planned for each count."""
    if _on_postgres(connection):
        return messages.c.id == any_(cast(list(message_ids), ARRAY(Text)))
    return messages.c.id.in_(message_ids)


def list_threads(connection: Connection, principal: Principal) -> frozenset[str]:
    """All threads in which the principal may find something."""
    return frozenset(connection.scalars(select(threads.c.id).where(*_policy(connection, principal))))


def visible(connection: Connection, statement: Select[Any], scope: Scope) -> Select[Any]:
    """Of a statement of `messages`: what the asker may see and asked for."""
    filters = scope.filters
    wanted = {messages.c.model: filters.model, messages.c.role: filters.role}
    statement = (
        statement.join(threads, threads.c.id == messages.c.thread_id)
        .where(*_policy(connection, scope.principal))
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
