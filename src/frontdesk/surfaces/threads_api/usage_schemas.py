"""What was used of OpenAI's API, on the wire."""

from datetime import date
from typing import Literal

from pydantic import BaseModel

from frontdesk.identity.usage.models import Spent
from frontdesk.identity.usage.reports import EverybodysUsage, OwnUsage
from frontdesk.kit.paging import Page


class UsedOut(BaseModel):
    requests: int
    prompt_tokens: int
    completion_tokens: int


class UsageDayOut(UsedOut):
    day: date
    model: str


class CallerUsageOut(UsedOut):
    """`caller_id` is a user's; of the gateway's own parts, whose kind is `service`, it is `internal`."""

    caller_kind: Literal["user", "service"]
    caller_id: str


class UsageOut(BaseModel):
    """`used` is the sum over all items, also those of other pages."""

    since: date
    used: UsedOut
    items: list[UsageDayOut]
    page: int
    limit: int
    total: int

    @classmethod
    def of(cls, found: OwnUsage, page: Page) -> "UsageOut":
        items = [UsageDayOut(day=day.day, model=day.model, **_used(spent)) for day, spent in found.days]
        used = UsedOut(**_used(found.used))
        return cls(since=found.since, used=used, items=items, page=page.number, limit=page.limit, total=found.total)


class CallersUsageOut(BaseModel):
    """`used` is the sum over all items, also those of other pages."""

    since: date
    used: UsedOut
    items: list[CallerUsageOut]
    page: int
    limit: int
    total: int

    @classmethod
    def of(cls, found: EverybodysUsage, page: Page) -> "CallersUsageOut":
        items = [
            CallerUsageOut.model_validate({"caller_kind": one.kind, "caller_id": one.id, **_used(one.spent)})
            for one in found.callers
        ]
        used = UsedOut(**_used(found.used))
        return cls(since=found.since, used=used, items=items, page=page.number, limit=page.limit, total=found.total)


def _used(spent: Spent) -> dict[str, int]:
    return {
        "requests": spent.requests,
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
    }
