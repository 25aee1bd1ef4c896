"""Who is let in, who waits and who is turned away."""

import asyncio
import re
from collections.abc import Callable
from functools import partial

import pytest

from frontdesk.app import build_http
from frontdesk.http.admission import Admission, Lane, Place
from frontdesk.http.server import _OVERLOADED
from frontdesk.observability.measurements import Measurements
from frontdesk.settings import Settings
from frontdesk.surfaces.operations import routes as operations
from frontdesk.surfaces.threads_api import messages

FOREVER = 3600.0


class Door:
    """A lane and what became of those who came, by their names."""

    def __init__(self, *, waiting: int = 0, patience: float = FOREVER) -> None:
        self.let_in: list[str] = []
        self.turned_away: list[str] = []
        self.gone: set[str] = set()
        self.shed = 0
        self.refused = asyncio.Event()
        self.lane = Lane(places=2, waiting=waiting, patience=patience, on_shed=self._count)

    def come(self, names: str) -> list[Place]:
        return [self.lane.enter(partial(self._begin, name), partial(self._refuse, name)) for name in names]

    def _begin(self, name: str) -> bool:
        if name in self.gone:
            return False
        self.let_in.append(name)
        return True

    def _refuse(self, name: str) -> None:
        self.turned_away.append(name)
        self.refused.set()

    def _count(self) -> None:
        self.shed += 1


async def test_who_finds_no_place_waits_and_who_finds_no_room_is_turned_away() -> None:
    door = Door(waiting=2)
    first, second, *_ = door.come("abcde")
    assert (door.let_in, door.turned_away, door.shed) == (["a", "b"], ["e"], 1)
    first.leave()
    second.leave()
    assert (door.let_in, door.lane.taken, door.lane.waiting) == (["a", "b", "c", "d"], 2, 0)


async def test_a_place_is_left_once() -> None:
    door = Door(waiting=4)
    first, *_ = door.come("abcd")
    first.leave()
    first.leave()
    assert (door.let_in, door.lane.taken) == (["a", "b", "c"], 2)


async def test_who_waits_for_a_client_makes_room_and_goes_on_after() -> None:
    door = Door(waiting=4)
    first, second, third = door.come("abc")
    with first.left():
        assert door.let_in == ["a", "b", "c"]
    assert door.lane.taken == 3
    third.leave()
    door.come("d")
    assert door.let_in == ["a", "b", "c"], "one is over the bound"
    second.leave()
    assert (door.let_in, door.lane.taken) == (["a", "b", "c", "d"], 2)


async def test_who_is_gone_holds_nobody_up() -> None:
    door = Door(waiting=4)
    first, *_ = door.come("abcde")
    door.gone = {"c", "d"}
    first.leave()
    assert (door.let_in, door.lane.taken, door.shed) == (["a", "b", "e"], 2, 0)


async def test_who_has_waited_too_long_is_turned_away() -> None:
    door = Door(waiting=4, patience=0.02)
    door.come("abcdef")
    async with asyncio.timeout(20):
        while door.lane.waiting:
            await door.refused.wait()
            door.refused.clear()
    assert (door.let_in, door.turned_away) == (["a", "b"], ["c", "d", "e", "f"])


async def test_nobody_waits_whose_turn_will_not_come_soon() -> None:
    door = Door(waiting=100, patience=0.1)
    for _ in range(100):  # each place was held for a second: ten times as long as anybody is to wait
        door.lane.note_held(1.0)
    first, *_ = door.come("abcd")
    assert (door.lane.waiting, door.turned_away) == (1, ["d"])
    first.leave()
    for _ in range(100):
        door.lane.note_held(0.001)
    door.come("efg")
    assert (door.lane.waiting, door.turned_away) == (3, ["d"])


async def test_a_queue_that_was_emptied_may_fill_up_again() -> None:
    door = Door(waiting=2)
    for _ in range(3):
        places = door.come("abcd")
        assert door.turned_away == []
        for place in places:
            place.leave()
    assert door.lane.taken == 0


@pytest.fixture
async def lane_of() -> Callable[[str], Lane | None]:
    urgent = re.compile("/api" + messages.URGENT_PATHS)
    return Admission(places=2, waiting=2, exempt=operations.PATHS, urgent=urgent, measurements=Measurements()).lane


async def test_operations_are_never_turned_away_and_stops_and_resumes_have_their_own_lane(
    lane_of: Callable[[str], Lane | None],
) -> None:
    exempt, urgent = set(), set()
    for path in build_http(Settings(_env_file=None)).openapi()["paths"]:
        lane = lane_of(path)
        if lane is None:
            exempt.add(path)
        elif lane is not lane_of("/anything"):
            urgent.add(path)
    execution = "/api/threads/{thread_id}/executions/{execution_id}"
    assert exempt == {"/health", "/health/ready", "/metrics"}
    assert urgent == {f"{execution}/stream", f"{execution}/cancel"}


def test_who_asks_openais_api_is_turned_away_in_its_shape() -> None:
    for close in (True, False):
        for openais, member in ((True, b'{"error":{"message"'), (False, b'"code":"overloaded"')):
            for answer in _OVERLOADED[close, openais]:
                assert answer.startswith(b"HTTP/1.1 503 ")
                assert b"retry-after: " in answer
                assert member in answer
