from collections.abc import Mapping

from sqlalchemy import Connection, Date, bindparam, select, text

from frontdesk.identity.principal import Principal
from frontdesk.identity.usage.models import Spent, UsageDay, usage_days

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


def list_days(connection: Connection, caller: Principal) -> dict[UsageDay, Spent]:
    """All that the caller has used, by day and model."""
    mine = (usage_days.c.caller_kind == caller.kind.value, usage_days.c.caller_id == caller.id)
    rows = connection.execute(select(usage_days).where(*mine).order_by(usage_days.c.day, usage_days.c.model))
    return {
        UsageDay(caller.kind, caller.id, row.day, row.model): Spent(
            row.prompt_tokens, row.completion_tokens, row.requests
        )
        for row in rows
    }
