from collections.abc import Mapping
from datetime import date

from sqlalchemy import BigInteger, Column, ColumnElement, Connection, Date, bindparam, cast, func, select, text

from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.identity.usage.models import CallerUsage, Spent, UsageDay, usage_days

# One statement that both databases know.
_ADD = text(
    "INSERT INTO usage_days (caller_kind, caller_id, day, model, requests, prompt_tokens, completion_tokens)"
    " VALUES (:caller_kind, :caller_id, :day, :model, :requests, :prompt_tokens, :completion_tokens)"
    " ON CONFLICT (caller_kind, caller_id, day, model) DO UPDATE SET"
    " requests = usage_days.requests + excluded.requests,"
    " prompt_tokens = usage_days.prompt_tokens + excluded.prompt_tokens,"
    " completion_tokens = usage_days.completion_tokens + excluded.completion_tokens"
).bindparams(bindparam("day", type_=Date))


def add(connection: Connection, batch: Mapping[UsageDay, Spent]) -> None:
    """In one order always, so that two processes never wait for each other's rows."""
    for key in sorted(batch, key=lambda key: (key.caller_kind, key.caller_id, key.day, key.model)):
        spent = batch[key]
        values = {
            "caller_kind": key.caller_kind.value,
            "caller_id": key.caller_id,
            "day": key.day,
            "model": key.model,
            "requests": spent.requests,
            "prompt_tokens": spent.prompt_tokens,
            "completion_tokens": spent.completion_tokens,
        }
        connection.execute(_ADD, values)


def list_days(
    connection: Connection, caller: Principal, *, since: date, limit: int, offset: int
) -> list[tuple[UsageDay, Spent]]:
    """What the caller has used, by day and model, the latest day first."""
    statement = (
        select(usage_days)
        .where(*_own(caller, since))
        .order_by(usage_days.c.day.desc(), usage_days.c.model)
        .limit(limit)
        .offset(offset)
    )
    return [
        (
            UsageDay(caller.kind, caller.id, row.day, row.model),
            Spent(row.prompt_tokens, row.completion_tokens, row.requests),
        )
        for row in connection.execute(statement)
    ]


def sum_days(connection: Connection, caller: Principal, *, since: date) -> tuple[Spent, int]:
    """All of that together, and how many rows it is."""
    row = connection.execute(select(*_SUMS, func.count()).where(*_own(caller, since))).one()
    return Spent(row[0], row[1], row[2]), row[3]


def list_callers(connection: Connection, *, since: date, limit: int, offset: int) -> list[CallerUsage]:
    """Whoever used most tokens first."""
    kind, caller_id = usage_days.c.caller_kind, usage_days.c.caller_id
    statement = (
        select(kind, caller_id, *_SUMS)
        .where(usage_days.c.day >= since)
        .group_by(kind, caller_id)
        .order_by((_PROMPT + _COMPLETION).desc(), kind, caller_id)
        .limit(limit)
        .offset(offset)
    )
    return [
        CallerUsage(PrincipalKind(row[0]), row[1], Spent(row[2], row[3], row[4]))
        for row in connection.execute(statement)
    ]


def sum_callers(connection: Connection, *, since: date) -> tuple[Spent, int]:
    """All of that together, and how many callers it is."""
    mine = usage_days.c.day >= since
    callers = select(usage_days.c.caller_kind, usage_days.c.caller_id).where(mine).distinct().subquery()
    row = connection.execute(select(*_SUMS).where(mine)).one()
    return Spent(row[0], row[1], row[2]), int(connection.scalar(select(func.count()).select_from(callers)) or 0)


def _sum(column: Column[int]) -> ColumnElement[int]:
    return cast(func.coalesce(func.sum(column), 0), BigInteger)  # PostgreSQL sums whole numbers as decimals


_PROMPT, _COMPLETION = _sum(usage_days.c.prompt_tokens), _sum(usage_days.c.completion_tokens)
_SUMS = (_PROMPT, _COMPLETION, _sum(usage_days.c.requests))


def _own(caller: Principal, since: date) -> tuple[ColumnElement[bool], ...]:
    is_own = (usage_days.c.caller_kind == caller.kind.value, usage_days.c.caller_id == caller.id)
    return *is_own, usage_days.c.day >= since
