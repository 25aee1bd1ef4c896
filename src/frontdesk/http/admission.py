"""Which requests are begun when more come than can be served. What is turned away is told so at once, before anything
else is done for it.

Requests of a lane have a number of places. Who finds none waits in the lane's queue. That may fill up in a burst; one
that stands for `PATIENCE_SECONDS` is kept short until nobody has waited for as long, since waiting in it helps nobody.
Why: docs/decisions/0012-overload-is-turned-away-at-the-door.md.
"""

import asyncio
import math
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from frontdesk.observability.measurements import Measurements

ADMISSION = "frontdesk.admission"
PLACE = "frontdesk.place"
PATIENCE_SECONDS = 0.5
_URGENT_WAITING = 4096
_URGENT_PATIENCE_SECONDS = 3.0
_STANDING_SHARE = 4  # of the places: as many may wait in a queue that does not get empty


class Place:
    """One request in its lane. `begin` returns False when nobody is there any more. `waited` is in seconds."""

    __slots__ = ("_holds", "_lane", "begin", "came_at", "refuse", "waited")

    def __init__(self, lane: "Lane", *, begin: Callable[[], bool], refuse: Callable[[], None]) -> None:
        self._lane = lane
        self._holds = False
        self.begin = begin
        self.refuse = refuse
        self.came_at = 0.0
        self.waited = 0.0

    def take(self) -> None:
        """Whether it is free or not: who has been let in goes on."""
        if not self._holds:
            self._holds = True
            self._lane.taken += 1

    def leave(self) -> None:
        """What is left of the request needs no place, or waits for its client. Doing it twice is fine."""
        if self._holds:
            self._holds = False
            self._lane.taken -= 1
            self._lane.call_in()

    @contextmanager
    def left(self) -> Iterator[None]:
        self.leave()
        try:
            yield
        finally:
            self.take()


class Lane:
    """`on_shed` is told of each request that is turned away. `standing` is the bound of a queue that stays."""

    def __init__(
        self, *, places: int, waiting: int, standing: int, patience: float, on_shed: Callable[[], None]
    ) -> None:
        self.taken = 0
        self._places = places
        self._most_waiting = waiting
        self._standing = min(standing, waiting)
        self._patience = patience
        self._on_shed = on_shed
        self._queue: deque[Place] = deque()
        self._queued_since = self._emptied_at = -math.inf
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def enter(self, begin: Callable[[], bool], refuse: Callable[[], None]) -> Place:
        """Calls one of both, once, now or when it is decided."""
        place = Place(self, begin=begin, refuse=refuse)
        if self.taken < self._places and not self._queue:
            self._let_in(place)
            return place
        loop = asyncio.get_running_loop()
        place.came_at = loop.time()
        if not self._queue and place.came_at - self._emptied_at > self._patience:
            self._queued_since = place.came_at
        if len(self._queue) >= self._room(place.came_at):
            self._turn_away(place)
            return place
        self._queue.append(place)
        if self._timer is None:
            self._timer = loop.call_later(self._patience, self._expire)
        return place

    def call_in(self) -> None:
        """As many as there are places."""
        if not self._queue:
            return
        now = asyncio.get_running_loop().time()
        while self._queue and self.taken < self._places:
            place = self._queue.popleft()
            place.waited = now - place.came_at
            self._let_in(place)
        self._note_empty(now)

    def _room(self, now: float) -> int:
        return self._most_waiting if now - self._queued_since < self._patience else self._standing

    def _note_empty(self, now: float) -> None:
        if not self._queue:
            self._emptied_at = now

    def _let_in(self, place: Place) -> None:
        if place.begin():
            place.take()

    def _turn_away(self, place: Place) -> None:
        self._on_shed()
        place.refuse()

    def _expire(self) -> None:
        """Turn away who has waited too long, and look again when the next one has."""
        loop = asyncio.get_running_loop()
        self._timer = None
        now = loop.time()
        while self._queue and self._queue[0].came_at <= now - self._patience:
            self._turn_away(self._queue.popleft())
        self._note_empty(now)
        if self._queue:
            self._timer = loop.call_at(self._queue[0].came_at + self._patience, self._expire)


class Admission:
    """Paths in `exempt` are always served; those that `urgent` matches have a lane of their own, and a longer queue."""

    def __init__(
        self,
        *,
        places: int,
        waiting: int,
        exempt: Collection[str],
        urgent: re.Pattern[str],
        measurements: Measurements,
    ) -> None:
        self._exempt = frozenset(exempt)
        self._is_urgent = urgent.fullmatch
        self._ordinary = Lane(
            places=places,
            waiting=waiting,
            standing=places // _STANDING_SHARE,
            patience=PATIENCE_SECONDS,
            on_shed=measurements.shedding("ordinary"),
        )
        self._urgent = Lane(
            places=places,
            waiting=_URGENT_WAITING,
            standing=_URGENT_WAITING,
            patience=_URGENT_PATIENCE_SECONDS,
            on_shed=measurements.shedding("urgent"),
        )

    @property
    def taken(self) -> int:
        return self._ordinary.taken + self._urgent.taken

    @property
    def waiting(self) -> int:
        return self._ordinary.waiting + self._urgent.waiting

    def lane(self, path: str) -> Lane | None:
        """None for what is never turned away."""
        if path in self._exempt:
            return None
        return self._urgent if self._is_urgent(path) else self._ordinary
