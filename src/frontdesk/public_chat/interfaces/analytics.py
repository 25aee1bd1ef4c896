"""The figures of an interface over the last day, week or month, computed where the rows are.

Sessions are those that began in the period; messages are what visitors sent in it. Erased sessions leave the first,
while the second are mere counts by the hour and stay.
"""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from sqlalchemy import Connection, func, select

from frontdesk.public_chat.interfaces.models import chat_interface_hours as hours
from frontdesk.public_chat.sessions.models import chat_interface_sessions as sessions

_MOST_REFERRERS = 10
HOURS_OF_DAY = 24


class Period(StrEnum):
    day = "day"
    week = "week"
    month = "month"


_DAYS = {Period.day: 1, Period.week: 7, Period.month: 30}


class Referrer(msgspec.Struct, frozen=True):
    referrer: str
    sessions: int


class Analytics(msgspec.Struct, frozen=True, kw_only=True):
    """`duration_seconds` is the mean from a session's first moment to its latest message; `messages_by_hour` has one
    count for each hour of the day in UTC.
    """

    since: datetime
    until: datetime
    sessions: int
    unique_visitors: int
    messages: int
    messages_per_session: float
    duration_seconds: float
    top_referrers: list[Referrer]
    messages_by_hour: list[int]


def analytics(connection: Connection, interface_id: str, period: Period, *, now: datetime) -> Analytics:
    since = now - timedelta(days=_DAYS[period])
    begun = (sessions.c.interface_id == interface_id) & (sessions.c.created_at >= since)
    totals = connection.execute(
        select(
            func.count(),
            func.count(sessions.c.visitor_key.distinct()),
            func.coalesce(func.avg(sessions.c.message_count), 0),
            func.coalesce(func.avg(sessions.c.duration_seconds), 0),
        ).where(begun)
    ).one()
    by_hour = _messages_by_hour(connection, interface_id, since=since)
    number = func.count()
    referrers = connection.execute(
        select(sessions.c.referrer, number)
        .where(begun, sessions.c.referrer.is_not(None))
        .group_by(sessions.c.referrer)
        .order_by(number.desc(), sessions.c.referrer)
        .limit(_MOST_REFERRERS)
    )
    return Analytics(
        since=since,
        until=now,
        sessions=totals[0],
        unique_visitors=totals[1],
        messages=sum(by_hour),
        messages_per_session=round(float(totals[2]), 2),
        duration_seconds=round(float(totals[3]), 1),
        top_referrers=[Referrer(referrer, count) for referrer, count in referrers],
        messages_by_hour=by_hour,
    )


def _messages_by_hour(connection: Connection, interface_id: str, *, since: datetime) -> list[int]:
    """Of whole hours, so that the first one counts if it ended within the period."""
    within = (hours.c.interface_id == interface_id) & (hours.c.hour > since - timedelta(hours=1))
    found = [0] * HOURS_OF_DAY
    for hour, messages in connection.execute(select(hours.c.hour, hours.c.messages).where(within)):
        found[hour.hour] += messages
    return found
