"""Moving windows and the days' budgets in this process's memory."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TypeVar

from frontdesk.kit.clock import Clock, seconds_to_midnight
from frontdesk.kit.ids import new_id
from frontdesk.ports.rate_limiter import Allowance, Budget, Limit, Reservation

MAX_KEYS = 100_000
SETTLED_LATE = timedelta(days=1)  # how long after its day a reservation can be settled

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(slots=True)
class _Account:
    """One key's budget on one day: the sum of what was used and what is reserved, and the reservations still open."""

    taken: int = 0
    reserved: dict[str, int] = field(default_factory=dict)


class InProcessRateLimiter:
    """Exact: the moment of every hit that still counts is kept. A key without one takes no memory.

    At most `MAX_KEYS` keys are kept for each limit and for each day; beyond, the one whose last hit or reservation is
    the oldest is forgotten.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[str, OrderedDict[str, deque[float]]] = {}
        self._days: dict[date, OrderedDict[tuple[str, str], _Account]] = {}

    async def hit(self, limit: Limit, key: str) -> Allowance:
        keys = self._windows.setdefault(limit.name, OrderedDict())
        now = self._clock.monotonic()
        self._expire(limit, keys, now)
        hits = keys.get(key) or deque()
        _drop_old(hits, limit, now)
        if len(hits) >= limit.amount:
            return _allowance(limit, hits, now)
        hits.append(now)
        _keep(keys, key, hits)
        return _allowance(limit, hits, now, counted=True)

    async def peek(self, limit: Limit, key: str) -> Allowance:
        now = self._clock.monotonic()
        hits = self._find(limit, key)
        _drop_old(hits, limit, now)
        return _allowance(limit, hits, now, counted=len(hits) < limit.amount)

    async def give_back(self, limit: Limit, key: str) -> None:
        hits = self._find(limit, key)
        if hits:
            hits.pop()
        if not hits:
            await self.reset(limit, key)

    async def reset(self, limit: Limit, key: str) -> None:
        self._windows.get(limit.name, OrderedDict[str, deque[float]]()).pop(key, None)

    async def reserve(self, budget: Budget, key: str, amount: int) -> Reservation:
        now = self._clock.now()
        accounts = self._day(now.date())
        account = accounts.get((budget.name, key)) or _Account()
        reservation_id, allowed = new_id(), account.taken + amount <= budget.amount
        if allowed:
            account.taken += amount
            account.reserved[reservation_id] = amount
            _keep(accounts, (budget.name, key), account)
        return Reservation(
            allowed=allowed,
            remaining=max(budget.amount - account.taken, 0),
            retry_after=0.0 if allowed else seconds_to_midnight(now),
            id=reservation_id,
            budget=budget,
            key=key,
            day=now.date(),
            amount=amount,
        )

    async def settle(self, reservation: Reservation, used: int) -> bool:
        accounts = self._days.get(reservation.day, OrderedDict[tuple[str, str], _Account]())
        account = accounts.get((reservation.budget.name, reservation.key))
        if account is None or reservation.id not in account.reserved:
            return False
        account.taken += used - account.reserved.pop(reservation.id)
        return True

    async def check(self) -> None:
        """Always well."""

    async def aclose(self) -> None:
        self._windows.clear()
        self._days.clear()

    def _day(self, today: date) -> OrderedDict[tuple[str, str], _Account]:
        if today not in self._days:
            for day in [day for day in self._days if day < today - SETTLED_LATE]:
                del self._days[day]
        return self._days.setdefault(today, OrderedDict())

    def _find(self, limit: Limit, key: str) -> deque[float]:
        keys = self._windows.get(limit.name)
        return deque() if keys is None else keys.get(key, deque())

    def _expire(self, limit: Limit, keys: OrderedDict[str, deque[float]], now: float) -> None:
        """Keys stand in the order of their last hits, so those that count no more are all in front."""
        while keys:
            key = next(iter(keys))
            hits = keys[key]
            if hits and hits[-1] > now - limit.seconds:
                return
            del keys[key]


def _keep(kept: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    """As the newest; when there are too many, the oldest leaves."""
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > MAX_KEYS:
        kept.popitem(last=False)


def _drop_old(hits: deque[float], limit: Limit, now: float) -> None:
    while hits and hits[0] <= now - limit.seconds:
        hits.popleft()


def _allowance(limit: Limit, hits: deque[float], now: float, *, counted: bool = False) -> Allowance:
    reset_after = hits[0] + limit.seconds - now if hits else 0.0
    return Allowance(counted, max(limit.amount - len(hits), 0), reset_after, 0.0 if counted else reset_after)
