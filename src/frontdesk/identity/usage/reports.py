"""What was used, as it is told: to each caller their own, to administrators everybody's."""

from collections.abc import Sequence
from datetime import date, timedelta

import msgspec
from sqlalchemy import Connection

from frontdesk.database import Database
from frontdesk.errors import ForbiddenError
from frontdesk.identity.principal import Principal
from frontdesk.identity.usage import repository
from frontdesk.identity.usage.models import CallerUsage, Spent, UsageDay
from frontdesk.kit.clock import Clock
from frontdesk.kit.paging import Page


class OwnUsage(msgspec.Struct, frozen=True):
    """`days` is a page of `total` rows, the latest day first; `used` is the sum of all of them."""

    since: date
    days: Sequence[tuple[UsageDay, Spent]]
    used: Spent
    total: int


class EverybodysUsage(msgspec.Struct, frozen=True):
    """`callers` is a page of `total`, whoever used most first; `used` is the sum of all."""

    since: date
    callers: Sequence[CallerUsage]
    used: Spent
    total: int


class UsageReports:
    """`days` is how many days (UTC) are told of, today the last of them. What ended a moment ago may be missing."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def own(self, caller: Principal, *, days: int, page: Page) -> OwnUsage:
        since = self._since(days)

        def work(connection: Connection) -> OwnUsage:
            found = repository.list_days(connection, caller, since=since, limit=page.limit, offset=page.offset)
            used, total = repository.sum_days(connection, caller, since=since)
            return OwnUsage(since, found, used, total)

        return await self._database.read(work)

    async def everybodys(self, caller: Principal, *, days: int, page: Page) -> EverybodysUsage:
        """Raises `ForbiddenError` for who is no administrator."""
        if not caller.is_admin:
            raise ForbiddenError("Only administrators see what others have used")
        since = self._since(days)

        def work(connection: Connection) -> EverybodysUsage:
            found = repository.list_callers(connection, since=since, limit=page.limit, offset=page.offset)
            used, total = repository.sum_callers(connection, since=since)
            return EverybodysUsage(since, found, used, total)

        return await self._database.read(work)

    def _since(self, days: int) -> date:
        return self._clock.now().date() - timedelta(days=days - 1)
