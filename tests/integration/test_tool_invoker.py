"""Calls that a session's holder asks for, over the death of the process that makes them."""

from sqlalchemy import select

from frontdesk.adapters.thread_log.in_process import InProcessThreadLog
from frontdesk.adapters.tool_source.back_end import BackEnd
from frontdesk.adapters.tool_source.http import HttpToolSource
from frontdesk.agents.tools.catalogue import ToolCatalogue
from frontdesk.agents.tools.catalogue_file import parse_tools_file
from frontdesk.conversation.sessions import repository as sessions
from frontdesk.conversation.sessions.invoking import ToolInvoker, Wanted
from frontdesk.conversation.sessions.models import GatewaySession
from frontdesk.conversation.threads import repository as threads
from frontdesk.conversation.threads.service import new_thread
from frontdesk.conversation.tool_calls.models import tool_calls
from frontdesk.database import Database, open_database
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.kit.clock import HeldClock
from frontdesk.kit.ids import new_id
from frontdesk.observability.measurements import Measurements
from frontdesk.ports.thread_log import EventType
from harness.sessions import TOOLS
from harness.tool_sources import BackEndStub


class Process:
    """One process's half of it: what dies with it is its memory."""

    def __init__(self, database: Database, clock: HeldClock, url: str) -> None:
        self.log = InProcessThreadLog(clock=clock, retention=60, retained_bytes=1_000_000, thread_bytes=1_000_000)
        self.back_end = BackEnd(url)
        declared = parse_tools_file(TOOLS, name="tools.yaml").tools
        source = HttpToolSource(declared, self.back_end, max_response_bytes=1_000_000)
        self.invoker = ToolInvoker(
            database=database,
            log=self.log,
            tools=ToolCatalogue([source]),
            clock=clock,
            measurements=Measurements(),
            max_bytes=1_000_000,
        )

    async def aclose(self) -> None:
        await self.back_end.aclose()
        await self.log.aclose()


async def test_a_call_whose_process_died_is_ended_and_not_made_again(
    database_url: str, back_end_stub: BackEndStub
) -> None:
    database, clock = open_database(database_url, pool_size=2, timeout=5), HeldClock()
    dying, surviving = (Process(database, clock, back_end_stub.url) for _ in range(2))
    owner = Principal(kind=PrincipalKind.visitor, id=new_id())
    thread = new_thread(owner, title=None, summary=None, metadata={}, now=clock.now())
    session_id = new_id()
    record = GatewaySession(
        id=session_id, thread_id=thread.id, owner_kind=owner.kind, owner_id=owner.id, created_at=clock.now()
    )
    try:
        await database.write(lambda connection: (threads.add(connection, thread), sessions.add(connection, record)))
        begun = await dying.invoker.begin(None, Wanted(tool="echo", arguments={}, session_id=session_id))
        clock.advance(59)
        assert await surviving.invoker.end_lapsed() == 0  # its lease holds
        clock.advance(2)
        assert await surviving.invoker.end_lapsed() == 1
        assert await surviving.invoker.end_lapsed() == 0
        row = await database.read(
            lambda connection: connection.execute(select(tool_calls).where(tool_calls.c.id == begun.call.id)).one()
        )
        assert (row.state, row.error_code, row.lease_until, row.execution_id) == (
            "failed",
            "outcome_unknown",
            None,
            None,
        )
        assert await back_end_stub.lines(session_id) == []
        (event,) = (await surviving.log.follow(thread.id)).take()
        assert event.type is EventType.tool_call_failed
    finally:
        await dying.aclose()
        await surviving.aclose()
        await database.aclose()
