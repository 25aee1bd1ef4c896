"""The poller of a session over a scripted back end: when it asks, and what its readers are given."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from frontdesk.conversation.sessions.reports import BackEndReports, Report, ReportFollower
from frontdesk.kit.clock import SystemClock
from frontdesk.ports.back_end_events import CursorRefusedError, ReportedPage
from frontdesk.ports.tool_source import ToolCallError

PERIOD = 0.02


@dataclass
class ScriptedEvents:
    """A back end with so many events; `failure` is raised while it is set."""

    events: list[dict[str, Any]] = field(default_factory=list)
    page: int = 100
    failure: Exception | None = None
    asked: list[tuple[str | None, dict[str, str]]] = field(default_factory=list)
    asked_at: list[float] = field(default_factory=list)
    configured: bool = True

    def report(self, kind: str, **more: Any) -> None:
        self.events.append({"type": kind, "cursor": f"c{len(self.events) + 1}", **more})

    async def ask(self, session_id: str, *, since: str | None, headers: Mapping[str, str]) -> ReportedPage:
        assert session_id == "s"
        self.asked.append((since, dict(headers)))
        self.asked_at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        begin = 0 if since is None else int(since.removeprefix("c"))
        events = self.events[begin : begin + self.page]
        return ReportedPage(events, f"c{begin + len(events)}")

    async def aclose(self) -> None:
        pass


@pytest.fixture
async def back_end() -> ScriptedEvents:
    return ScriptedEvents()


@pytest.fixture
async def reports(back_end: ScriptedEvents) -> AsyncIterator[BackEndReports]:
    polling = BackEndReports(back_end, period=PERIOD, clock=SystemClock())
    yield polling
    await polling.aclose()


def follow(reports: BackEndReports, name: str = "t") -> ReportFollower:
    follower = reports.follow("s", headers={"authorization": name})
    assert follower is not None
    return follower


async def taken(follower: ReportFollower, holds: Callable[[list[Report]], bool]) -> list[Report]:
    found: list[Report] = []
    async with asyncio.timeout(30):
        while not holds(found):
            found += follower.take()
            await asyncio.sleep(0.005)
    return found


def cursors(found: list[Report]) -> list[str]:
    return [event["cursor"] for report in found for event in report.events if "cursor" in event]


async def test_events_come_in_order_in_rows_of_their_kind(back_end: ScriptedEvents, reports: BackEndReports) -> None:
    follower = follow(reports)
    await follower.known(patience=5)
    for kind in ("pipeline", "pipeline", "job", "other", "job"):
        back_end.report(kind, job_id="j")
    found = await taken(follower, lambda found: len(cursors(found)) == 5)
    assert cursors(found) == ["c1", "c2", "c3", "c4", "c5"]
    assert [report.kind for report in found][:4] == ["pipeline", "job", "pipeline", "job"]
    assert found[-1].cursor == "c5"
    follower.close()


async def test_what_was_before_is_known_and_not_told_again(back_end: ScriptedEvents, reports: BackEndReports) -> None:
    back_end.page = 2
    for number in range(7):
        back_end.report("job", job_id=f"j{number % 2}", state=number)
    follower = follow(reports)
    await taken(follower, lambda _: len(back_end.asked) >= 5)
    known = await follower.known(patience=5)
    assert [(job["job_id"], job["state"]) for job in known.jobs] == [("j1", 5), ("j0", 6)]
    assert known.cursor == "c7"
    assert follower.take() == ()
    follower.close()


@pytest.mark.parametrize("seen", ["", "c1", "c3", "c5"])
async def test_a_reader_goes_on_where_it_was_in_a_process_that_knows_nothing(
    back_end: ScriptedEvents, reports: BackEndReports, seen: str
) -> None:
    for _ in range(5):
        back_end.report("pipeline")
    follower = follow(reports)
    follower.resume(seen)
    back_end.report("pipeline")
    behind = int(seen.removeprefix("c") or 0)
    found = await taken(follower, lambda found: len(cursors(found)) == 6 - behind)
    assert cursors(found) == [f"c{number}" for number in range(behind + 1, 7)]
    follower.close()


async def test_a_place_that_is_nowhere_is_gone(back_end: ScriptedEvents, reports: BackEndReports) -> None:
    back_end.report("pipeline")
    follower = follow(reports)
    follower.resume("nowhere")
    await taken(follower, lambda _: follower.gone)
    follower.close()


async def test_one_poller_asks_in_the_latest_readers_name_and_none_without_readers(
    back_end: ScriptedEvents, reports: BackEndReports
) -> None:
    readers = [follow(reports, f"t{number}") for number in range(10)]
    await taken(readers[0], lambda _: len(back_end.asked) == 5)
    assert back_end.asked[-1][1] == {"authorization": "t9"}
    for reader in readers:
        reader.close()
    counted = len(back_end.asked)
    await asyncio.sleep(PERIOD * 5)
    assert len(back_end.asked) == counted
    again = follow(reports)
    await taken(again, lambda _: len(back_end.asked) > counted)
    assert back_end.asked[-1][0] == back_end.asked[counted - 1][0] == "c0"
    again.close()


async def test_failure_is_told_once_and_the_end_of_it_too(back_end: ScriptedEvents, reports: BackEndReports) -> None:
    follower = follow(reports)
    await follower.known(patience=5)
    back_end.failure = ToolCallError("backend_unreachable", "away", was_made=False)
    begun = len(back_end.asked)
    found = await taken(follower, lambda _: len(back_end.asked) >= begun + 4)
    assert [report.events for report in found] == [[{"status": "unavailable", "code": "backend_unreachable"}]]
    back_end.failure = None
    back_end.report("pipeline")
    found = await taken(follower, lambda found: len(cursors(found)) == 1)
    assert [report.kind for report in found] == ["backend", "pipeline"]
    assert found[0].events == [{"status": "available"}]
    follower.close()


async def test_pauses_grow_while_the_back_end_fails(back_end: ScriptedEvents, reports: BackEndReports) -> None:
    back_end.failure = ToolCallError("backend_timeout", "slow", was_made=True)
    follower = follow(reports)
    await taken(follower, lambda _: len(back_end.asked_at) >= 6)
    pauses = [later - earlier for earlier, later in pairwise(back_end.asked_at)]
    # After n failures at least half of 2^n periods, whatever the machine adds.
    assert all(pause >= PERIOD * 2**number / 2 for number, pause in enumerate(pauses, start=1))
    follower.close()


async def test_a_back_end_that_forgot_the_cursor_is_asked_from_the_start(
    back_end: ScriptedEvents, reports: BackEndReports
) -> None:
    back_end.report("pipeline")
    follower = follow(reports)
    await follower.known(patience=5)
    back_end.failure = CursorRefusedError("backend_bad_response", "unknown", was_made=True)
    await taken(follower, lambda _: follower.gone)
    back_end.failure = None
    asked = len(back_end.asked)
    await taken(follower, lambda _: len(back_end.asked) > asked)
    assert back_end.asked[asked][0] is None
    follower.close()


async def test_without_a_back_end_nobody_is_followed() -> None:
    polling = BackEndReports(ScriptedEvents(configured=False), period=PERIOD, clock=SystemClock())
    assert polling.follow("s", headers={}) is None
    await polling.aclose()
