"""What the back end reports of sessions: one poller for each session of this process, however many read it.

A reader holds a place in what was reported and nothing else. Without readers nothing is asked; what is known is kept
for a while, so that one who returns goes on. A back end that fails is asked less and less often, and readers are told.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby, islice
from random import uniform
from typing import Any

import msgspec

from frontdesk.kit.clock import Clock
from frontdesk.ports.back_end_events import BackEndEvents, CursorRefusedError, ReportedPage
from frontdesk.ports.tool_source import ToolCallError

_KEPT_EVENTS = 1_000  # of each session
_KEPT_JOBS = 500
_KEPT_UPDATES = 100
_KEPT_IDLE = 200  # sessions without readers
_LARGE_PAGE = 100
_LONGEST_PAUSE_SECONDS = 60.0
_MOST_DOUBLINGS = 6
_CURSOR_LENGTH = 500


class Report(msgspec.Struct, frozen=True):
    """Events of one kind in a row: `pipeline`, `job`, or how the `backend` stands. `cursor` is behind the last."""

    kind: str
    events: Sequence[dict[str, Any]]
    cursor: str


class KnownReports(msgspec.Struct, frozen=True):
    """The latest of each job, the latest updates, and how the back end stands."""

    jobs: Sequence[dict[str, Any]] = ()
    pipeline: Sequence[dict[str, Any]] = ()
    backend: dict[str, Any] = msgspec.field(default_factory=lambda: {"status": "not_configured"})
    cursor: str = ""


class BackEndReports:
    """`period` is in seconds."""

    def __init__(self, events: BackEndEvents, *, period: float, clock: Clock) -> None:
        self._events = events
        self._period = period
        self._clock = clock
        self._followed: dict[str, SessionReports] = {}
        self._idle: OrderedDict[str, SessionReports] = OrderedDict()

    def follow(self, session_id: str, *, headers: Mapping[str, str]) -> "ReportFollower | None":
        """None when there is no back end. The back end is asked with the latest reader's `headers`."""
        if not self._events.configured:
            return None
        reports = self._followed.get(session_id) or self._idle.pop(session_id, None)
        if reports is None:
            reports = SessionReports(
                session_id, self._events, period=self._period, clock=self._clock, left=self._set_aside
            )
        self._followed[session_id] = reports
        return reports.follow(headers)

    async def aclose(self) -> None:
        await asyncio.gather(*(reports.aclose() for reports in tuple(self._followed.values())))
        await self._events.aclose()

    def _set_aside(self, reports: "SessionReports") -> None:
        self._idle[reports.session_id] = self._followed.pop(reports.session_id)
        while len(self._idle) > _KEPT_IDLE:
            self._idle.popitem(last=False)


class SessionReports:
    """`left` is called when the last reader has gone."""

    def __init__(
        self,
        session_id: str,
        events: BackEndEvents,
        *,
        period: float,
        clock: Clock,
        left: Callable[["SessionReports"], None],
    ) -> None:
        self.session_id = session_id
        self.number = 0  # of the last event that was kept
        self.asked = asyncio.Event()  # whether the state is the back end's, or could not be had
        self._events = events
        self._period = period
        self._clock = clock
        self._left = left
        self._due = 0.0
        self._failures = 0
        self._failure: str | None = None
        self._whole = False  # whether all pages up to now have been read
        self._headers: Mapping[str, str] = {}
        self._since: str | None = None  # what the back end is asked with
        self._last = ""  # what stands behind the last event that it reported
        self._kept: deque[tuple[str, dict[str, Any], str]] = deque(maxlen=_KEPT_EVENTS)
        self._jobs: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._updates: deque[dict[str, Any]] = deque(maxlen=_KEPT_UPDATES)
        self._readers: set[ReportFollower] = set()
        self._task: asyncio.Task[None] | None = None

    def known(self) -> KnownReports:
        backend = {"status": "available"} if self._failure is None else _unavailable(self._failure)
        return KnownReports(list(self._jobs.values()), list(self._updates), backend, self._last)

    def follow(self, headers: Mapping[str, str]) -> "ReportFollower":
        self._headers = headers
        follower = ReportFollower(self)
        self._readers.add(follower)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return follower

    def leave(self, follower: "ReportFollower") -> None:
        self._readers.discard(follower)
        if not self._readers and self._task is not None:
            self._task.cancel()
            self._task = None
            self._left(self)

    def behind(self, number: int) -> Sequence[tuple[str, dict[str, Any], str]] | None:
        """What was kept behind an event; None when that is not all."""
        skipped = len(self._kept) - (self.number - number)
        return None if skipped < 0 else list(islice(self._kept, skipped, None))

    def find(self, cursor: str) -> int | None:
        """Which event a cursor stands behind; None while that is not known. Raises `LookupError` when it never will."""
        first = self.number - len(self._kept)
        places = [first + place for place, (_, _, at) in enumerate(self._kept, start=1) if at == cursor]
        if places:
            return places[-1]
        if cursor == "" and first == 0:
            return 0
        if cursor == self._last:
            return self.number
        if self._whole:
            raise LookupError
        return None

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._due - self._clock.monotonic())
            try:
                page = await self._events.ask(self.session_id, since=self._since, headers=self._headers)
            except CursorRefusedError:
                self._forget()
                self._fail("backend_bad_response")
            except ToolCallError as error:
                self._fail(error.kind)
            else:
                self._absorb(page)
            self.asked.set()
            for reader in tuple(self._readers):
                if reader.more or reader.waits:
                    reader.ready()

    def _absorb(self, page: ReportedPage) -> None:
        """Pages are asked for at once while they are not the last."""
        if self._failure is not None:
            self._failure, self._failures = None, 0
            self._keep("backend", {"status": "available"})
        last = page.next if page.next is not None else _cursor_of(page.events[-1:], self._since)
        for number, event in enumerate(page.events, start=1):
            own = _cursor_of([event], None)
            self._last = _storable(last if number == len(page.events) else own) or self._last
            self._note(event)
        has_more = bool(page.events) and last != self._since
        self._since = last
        full = has_more and (not self._whole or len(page.events) >= _LARGE_PAGE)
        self._whole = self._whole or not has_more
        self._due = self._clock.monotonic() + (0.0 if full else self._period)

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("type") != "job":
            self._updates.append(event)
            self._keep("pipeline", event)
            return
        name = str(event.get("job_id") or event.get("id") or "")
        self._jobs[name] = event
        self._jobs.move_to_end(name)
        if len(self._jobs) > _KEPT_JOBS:
            self._jobs.popitem(last=False)
        self._keep("job", event)

    def _keep(self, kind: str, event: dict[str, Any]) -> None:
        self._kept.append((kind, event, self._last))
        self.number += 1

    def _fail(self, code: str) -> None:
        if self._failure != code:
            self._failure = code
            self._keep("backend", _unavailable(code))
        self._failures = min(self._failures + 1, _MOST_DOUBLINGS)
        pause = min(_LONGEST_PAUSE_SECONDS, self._period * 2**self._failures)
        self._due = self._clock.monotonic() + uniform(pause / 2, pause)  # noqa: S311  no secret

    def _forget(self) -> None:
        """The back end has begun anew: readers are given all again."""
        self._kept.clear()
        self.number += 1
        self._jobs.clear()
        self._updates.clear()
        self._since, self._last, self._whole = None, "", False


class ReportFollower:
    """A place in a session's reports, once it is found. `gone` when it is not there any more."""

    def __init__(self, reports: SessionReports) -> None:
        self.ready: Callable[[], None] = _nobody_listens
        self.gone = False
        self._reports = reports
        self._number: int | None = None
        self._wanted: str | None = None

    async def known(self, *, patience: float) -> KnownReports:
        """What is known now, and behind it this place; the back end has that many seconds to tell it first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._reports.asked.wait()
        self._number = self._reports.number
        return self._reports.known()

    def resume(self, cursor: str) -> None:
        """Go on behind what a reader has seen, here or elsewhere."""
        self._wanted = cursor
        self._look()

    @property
    def waits(self) -> bool:
        """Whether its place is not found yet."""
        return self._number is None

    @property
    def more(self) -> bool:
        return self._number is not None and self._number < self._reports.number

    def take(self) -> Sequence[Report]:
        self._look()
        if not self.more or self._number is None:
            return ()
        found = self._reports.behind(self._number)
        if found is None:
            self.gone = True
            return ()
        self._number = self._reports.number
        return [_report(kind, list(run)) for kind, run in groupby(found, key=lambda kept: kept[0])]

    def close(self) -> None:
        self.ready = _nobody_listens
        self._reports.leave(self)

    def _look(self) -> None:
        if self._number is None and self._wanted is not None:
            try:
                self._number = self._reports.find(self._wanted)
            except LookupError:
                self.gone = True


def _report(kind: str, run: Sequence[tuple[str, dict[str, Any], str]]) -> Report:
    return Report(kind, [event for _, event, _ in run], run[-1][2])


def _cursor_of(events: Sequence[dict[str, Any]], otherwise: str | None) -> str | None:
    own = events[0].get("cursor") if events else None
    return own if isinstance(own, str) else otherwise


def _storable(cursor: str | None) -> str:
    """As it goes into a reader's own cursor; too long a one is none."""
    return cursor if cursor is not None and len(cursor) <= _CURSOR_LENGTH else ""


def _unavailable(code: str) -> dict[str, Any]:
    return {"status": "unavailable", "code": code}


def _nobody_listens() -> None:
    """Until someone does, what comes is found by taking."""
