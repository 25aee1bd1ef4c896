"""Which requests are begun when more come than can be served. What is turned away is told so at once, before anything
else is done for it.

Requests of a lane have a number of places. Who finds none waits in the lane's queue if its turn will come soon, by how
long places were held lately. Why: docs/decisions/0012-overload-is-turned-away-at-the-door.md.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext

from starlette.requests import Request

from frontdesk.observability.measurements import Measurements

ADMISSION = "frontdesk.admission"
PLACE = "frontdesk.place"
PATIENCE_SECONDS = 0.5
_URGENT_WAITING = 4096
_URGENT_PATIENCE_SECONDS = 1.5
_OVERDUE = 2.0  # times the patience: then who waits is turned away all the same
_SMOOTHING = 1 / 16


class Place:
    """One request in its lane. `begin` returns False when nobody is there any more. `waited` is in seconds.

    It keeps neither `begin` nor `refuse` once it is decided: the request keeps its place, and what keeps itself is left
    to the garbage collector, which stops everything else meanwhile.
    """

    __slots__ = ("_begin", "_held", "_lane", "_refuse", "_since", "came_at", "waited")

    def __init__(self, lane: "Lane", *, begin: Callable[[], bool], refuse: Callable[[], None]) -> None:
        self._lane = lane
        self._since: float | None = None
        self._held = 0.0
        self._begin: Callable[[], bool] | None = begin
        self._refuse: Callable[[], None] | None = refuse
        self.came_at = lane.now()
        self.waited = 0.0

    def begin(self) -> None:
        begin, self._begin, self._refuse = self._begin, None, None
        if begin is not None and begin():
            self.take()

    def refuse(self) -> None:
        refuse, self._begin, self._refuse = self._refuse, None, None
        if refuse is not None:
            refuse()

    def take(self) -> None:
        """Whether it is free or not: who has been let in goes on."""
        if self._since is None:
            self._since = self._lane.now()
            self._lane.taken += 1

    def leave(self) -> None:
        """What is left of the request needs no place. Doing it twice is fine."""
        if self._since is not None:
            self._lane.note_held(self._held + self._lane.now() - self._since)
            self._since = None
            self._lane.give_back()

    @contextmanager
    def left(self) -> Iterator[None]:
        """While the request waits for its client."""
        if self._since is not None:
            self._held += self._lane.now() - self._since
            self._since = None
            self._lane.give_back()
        try:
            yield
        finally:
            self.take()


@contextmanager
def waiting_elsewhere(request: Request) -> Iterator[None]:
    """While a request waits for somebody else, others have its place."""
    place: Place | None = request.scope.get(PLACE)
    with nullcontext() if place is None else place.left():
        yield


class Lane:
    """`waiting` is the most that ever wait, and `patience` the seconds that they are to wait at most.

    `on_shed` is told of each request that is turned away.
    """

    def __init__(self, *, places: int, waiting: int, patience: float, on_shed: Callable[[], None]) -> None:
        self.taken = 0
        self.now = asyncio.get_running_loop().time
        self._places = places
        self._most_waiting = waiting
        self._patience = patience
        self._on_shed = on_shed
        self._queue: deque[Place] = deque()
        self._held = 0.0  # seconds, lately
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def enter(self, begin: Callable[[], bool], refuse: Callable[[], None]) -> Place:
        """Calls one of both, once, now or when it is decided."""
        place = Place(self, begin=begin, refuse=refuse)
        if self.taken < self._places and not self._queue:
            place.begin()
        elif len(self._queue) < self._most_waiting and len(self._queue) * self._held <= self._patience * self._places:
            self._queue.append(place)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(self._patience * _OVERDUE, self._expire)
        else:
            self._turn_away(place)
        return place

    def note_held(self, seconds: float) -> None:
        """How long a request held its place in all."""
        self._held += (seconds - self._held) * _SMOOTHING

    def give_back(self) -> None:
        """A place; whose turn it is takes it."""
        self.taken -= 1
        while self._queue and self.taken < self._places:
            place = self._queue.popleft()
            place.waited = self.now() - place.came_at
            place.begin()

    def _turn_away(self, place: Place) -> None:
        self._on_shed()
        place.refuse()

    def _expire(self) -> None:
        """Turn away who has waited too long, and look again when the next one has."""
        self._timer = None
        oldest = self.now() - self._patience * _OVERDUE
        while self._queue and self._queue[0].came_at <= oldest:
            self._turn_away(self._queue.popleft())
        if self._queue:
            self._timer = asyncio.get_running_loop().call_later(self._queue[0].came_at - oldest, self._expire)


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
            patience=PATIENCE_SECONDS,
            on_shed=measurements.shedding("ordinary"),
        )
        self._urgent = Lane(
            places=places,
            waiting=_URGENT_WAITING,
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
