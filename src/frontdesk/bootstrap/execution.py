"""Who makes the answers: in this process, or Temporal's workers."""

from typing import Protocol

from frontdesk.adapters.execution_engine.local import LocalExecutionEngine
from frontdesk.adapters.execution_engine.runner import ExecutionRunner
from frontdesk.adapters.tool_source.attachments import AttachmentSearch
from frontdesk.agents.tools.answer_tools import AnswerTools
from frontdesk.agents.tools.catalogue import ToolCatalogue
from frontdesk.bootstrap.agents import default_agent
from frontdesk.bootstrap.extras import extra
from frontdesk.bootstrap.parts import Parts
from frontdesk.conversation.asking import Asking
from frontdesk.conversation.executions.stopping import Stopper
from frontdesk.conversation.grounding import Grounding
from frontdesk.conversation.housekeeping import Housekeeping
from frontdesk.conversation.tool_calls.making import ToolCaller
from frontdesk.conversation.turn import Turn
from frontdesk.ports.execution_engine import ExecutionEngine
from frontdesk.public_chat.sessions.repository import find_visit


class Engine(ExecutionEngine, Protocol):
    """An engine as the program that owns it sees it. `running` counts what runs in this process."""

    @property
    def running(self) -> int: ...

    async def open(self) -> None: ...

    async def aclose(self) -> None: ...


def execution_engine(parts: Parts, housekeeping: Housekeeping) -> Engine:
    settings = parts.settings
    if settings.temporal_address is None:
        return LocalExecutionEngine(
            database=parts.database,
            runner=execution_runner(parts),
            housekeeping=housekeeping,
            clock=parts.clock,
            tick=settings.engine_tick_seconds,
        )
    with extra("temporal", "CHAT_TEMPORAL_ADDRESS"):
        from frontdesk.adapters.execution_engine.temporal import TemporalExecutionEngine  # noqa: PLC0415  an extra
        from frontdesk.adapters.execution_engine.temporal_calls import TemporalCalls  # noqa: PLC0415  an extra
    return TemporalExecutionEngine(
        calls=TemporalCalls(
            address=settings.temporal_address, namespace=settings.temporal_namespace, clock=parts.clock
        ),
        namespace=settings.temporal_namespace,
        database=parts.database,
        housekeeping=housekeeping,
        clock=parts.clock,
        tick=settings.engine_tick_seconds,
    )


def execution_runner(parts: Parts, *, patience: float | None = None) -> ExecutionRunner:
    settings = parts.settings
    return ExecutionRunner(
        database=parts.database,
        turn=_turn(parts),
        stopper=Stopper(database=parts.database, log=parts.log, clock=parts.clock, limits=parts.limits),
        clock=parts.clock,
        concurrency=settings.engine_concurrency,
        lease=settings.execution_lease_seconds,
        tick=settings.engine_tick_seconds,
        context_messages=settings.llm_context_messages,
        find_visit=find_visit,
        patience=patience,
        default_agent=default_agent(settings, parts.runtimes, parts.tools),
    )


def _turn(parts: Parts) -> Turn:
    settings = parts.settings
    caller = ToolCaller(
        database=parts.database,
        log=parts.log,
        tools=AnswerTools(ToolCatalogue([AttachmentSearch(parts.files.documents)]), parts.tools),
        clock=parts.clock,
        measurements=parts.measurements,
    )
    asking = Asking(
        log=parts.log,
        model_of=parts.runtimes.model_of,
        models=parts.models,
        caller=caller,
        clock=parts.clock,
        measurements=parts.measurements,
    )
    return Turn(
        database=parts.database,
        log=parts.log,
        asking=asking,
        caller=caller,
        grounding=Grounding(database=parts.database, log=parts.log, documents=parts.files.documents),
        clock=parts.clock,
        limits=parts.limits,
        measurements=parts.measurements,
        heartbeat=settings.heartbeat_seconds,
        max_attempts=settings.engine_max_attempts,
    )
