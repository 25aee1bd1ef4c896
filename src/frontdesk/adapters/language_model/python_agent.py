"""Agents that are Python functions of the events in `frontdesk.agents.events`."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pkgutil import resolve_name
from typing import Any, cast

import msgspec
import structlog

from frontdesk.adapters.language_model.agent_chunks import AgentChunks
from frontdesk.adapters.language_model.agent_parts import PART_EVENTS, answer_part
from frontdesk.adapters.language_model.streamed_answer import Take
from frontdesk.agents.events import Activity, AgentFunction, Event, Text, ToolCall, UsageReport
from frontdesk.agents.runtimes_file import DeclaredPythonAgent
from frontdesk.errors import ConfigurationError
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import new_id
from frontdesk.ports.language_model import CallActivity, ModelCallError, ModelChunks, ModelRequest, Usage

CLOSE_SECONDS = 2.0
_LAST_CALL = "last_"  # leads the id of a call behind which the answer ends
_BREATH = 64  # events; one that never awaits would keep the loop from everybody else

_logger = structlog.get_logger(__name__)


def imported_agent(declared: DeclaredPythonAgent) -> Any:
    """The object, an agent of either form. Raises `ConfigurationError` with the file, the entry and the reason."""
    found = _imported(declared.path, declared.place)
    if not inspect.isasyncgenfunction(found) and not is_of_sdk(found):
        raise ConfigurationError(
            f"{declared.place}: {declared.path} is neither an asynchronous generator function "
            "nor an Agent of the OpenAI Agents SDK"
        )
    return found


def imported_actions(declared: DeclaredPythonAgent) -> AgentFunction | None:
    """The function that answers actions, if one is declared. Raises as `imported_agent` does."""
    if declared.actions is None:
        return None
    found: AgentFunction = _imported(declared.actions, declared.place)
    if not inspect.isasyncgenfunction(found):
        raise ConfigurationError(f"{declared.place}: {declared.actions} is no asynchronous generator function")
    return found


def with_actions(agent: AgentFunction, actions: AgentFunction | None) -> AgentFunction:
    """What is done with widgets goes to `actions`, what is said to the agent."""
    if actions is None:
        return agent
    return lambda request: agent(request) if request.action is None else actions(request)


def _imported(path: str, place: str) -> Any:
    try:
        return resolve_name(path)
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise ConfigurationError(f"{place}: {path} cannot be imported: {error}") from error


def is_of_sdk(found: Any) -> bool:
    """Told by its class's name, so that the SDK is imported only where one of its agents is."""
    return any((one.__module__, one.__name__) == ("agents.agent", "Agent") for one in type(found).__mro__)


class PythonAgent:
    """Each step is a call of the function, in a task of its own: nobody waits for one that is slow to be cancelled.

    Whatever the function raises is `agent_failed`, logged here and told to no client, except a `ModelCallError`, which
    is what it says. `close` is called at the end.
    """

    def __init__(
        self, function: AgentFunction, *, name: str, clock: Clock, close: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._function = function
        self._name = name
        self._clock = clock
        self._close = close
        self._running: set[asyncio.Task[None]] = set()

    async def stream(self, request: ModelRequest, take: Take) -> None:
        chunks = AgentChunks(model=request.model or self._name, clock=self._clock)
        if _has_ended(request):
            take(chunks.finish(Usage()))
            return
        step = _Step(chunks, take)
        task = asyncio.create_task(step.run(self._function(request)))
        self._running.add(task)
        task.add_done_callback(self._settle)
        try:
            await asyncio.wait({task})
        finally:
            step.is_left = True
            task.cancel()
        if step.refusal is not None:
            raise step.refusal
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if isinstance(error, ModelCallError):
            raise error
        if error is not None:
            _logger.warning("an agent failed", agent=self._name, exc_info=error)
            raise ModelCallError("agent_failed", "The agent failed") from error

    async def stop(self, thread_id: str) -> None:
        """Its function was cancelled with the call."""

    async def models(self) -> list[dict[str, Any]]:
        """None: which models it asks is the function's own business."""
        return []

    async def aclose(self) -> None:
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=CLOSE_SECONDS)
        if self._close is not None:
            await self._close()

    def _settle(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # of one that was left, nobody else asks


class _Step:
    """`refusal` is what `take` raised, `is_left` once nobody listens any more."""

    def __init__(self, chunks: AgentChunks, take: Take) -> None:
        self._chunks = chunks
        self._give = take
        self._usage: Usage | None = None
        self.refusal: BaseException | None = None
        self.is_left = False

    async def run(self, events: AsyncIterator[Event]) -> None:
        heard = 0
        try:
            async with aclosing(cast("Any", events)):
                async for event in events:
                    if self.is_left or (self._chunks.calls and not isinstance(event, ToolCall | UsageReport)):
                        break
                    self._hear(event)
                    heard += 1
                    if heard % _BREATH == 0:
                        await asyncio.sleep(0)
        except SystemExit as error:
            raise RuntimeError("it tried to end the program") from error
        if not self.is_left:
            self._take(self._chunks.finish(self._usage))

    def _hear(self, event: Event) -> None:
        if isinstance(event, Text):
            if _text(event.text):
                self._take(self._chunks.text([event.text]))
        elif isinstance(event, ToolCall):
            kind = _LAST_CALL if event.is_last else "call_"
            self._take(self._chunks.call(f"{kind}{new_id()}", _text(event.name), _json(event.arguments)))
        elif isinstance(event, Activity):
            self._take(self._chunks.activity(_activity(event)))
        elif isinstance(event, UsageReport):
            self._use(event)
        elif isinstance(event, PART_EVENTS):
            self._take(self._chunks.part(answer_part(event)))
        else:
            raise TypeError(f"{type(event).__name__} is no event of an agent")

    def _use(self, report: UsageReport) -> None:
        used = self._usage or Usage()
        prompt = used.prompt_tokens + report.prompt_tokens
        completion = used.completion_tokens + report.completion_tokens
        self._usage = Usage(prompt, completion, prompt + completion)

    def _take(self, chunks: ModelChunks) -> None:
        try:
            self._give(chunks)
        except BaseException as error:
            self.refusal = error
            raise


def _has_ended(request: ModelRequest) -> bool:
    """Whether the last thing that happened is the result of a call behind which nothing comes."""
    last = request.messages[-1] if request.messages else {}
    return last.get("role") == "tool" and str(last.get("tool_call_id")).startswith(_LAST_CALL)


def _activity(event: Activity) -> CallActivity:
    result = event.result
    if result is not None and not isinstance(result, str):
        result = _json(result)
    return CallActivity(_text(event.call_id), _text(event.tool), _json(event.arguments), event.state, result)


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is no text")
    return value
