"""Tools that are Python functions, named in the catalogue's file by where they are imported from."""

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from pkgutil import resolve_name
from typing import Any

import structlog
from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import ArgsKwargs, PydanticSerializationError, to_json

from frontdesk.adapters.tool_source.threads import Threads
from frontdesk.agents.tools.arguments import ArgumentCheck
from frontdesk.agents.tools.declarations import DeclaredFunction
from frontdesk.errors import ConfigurationError
from frontdesk.ports.tool_source import CallContext, SourceStatus, Tool, ToolCallError, ToolOutput

THREADS = 16
CLOSE_SECONDS = 2.0
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

_logger = structlog.get_logger(__name__)


class PythonToolSource:
    """Plain functions run in `THREADS` threads, asynchronous ones in the event loop. What they raise ends the call.

    The message of a `ValueError` is told to the model, of anything else only that it happened. A function in a thread
    cannot be stopped: after its timeout it goes on, and nobody waits for it.
    """

    def __init__(self, declared: Sequence[DeclaredFunction], *, max_output_bytes: int) -> None:
        """Imports the functions. Raises `ConfigurationError` for one that can't be imported or described."""
        self._functions: dict[str, _Function] = {}
        for one in declared:
            function = _Function(one)
            if function.tool.name in self._functions:
                raise ConfigurationError(
                    f"CHAT_TOOLS_FILE: python: {one.function}: the name {function.tool.name} is taken already"
                )
            self._functions[function.tool.name] = function
        self._tools = tuple(function.tool for function in self._functions.values())
        self._max_output_bytes = max_output_bytes
        self._threads = Threads(THREADS)
        self._running: set[asyncio.Task[Any]] = set()

    def tools(self) -> Sequence[Tool]:
        return self._tools

    def status(self) -> SourceStatus:
        return SourceStatus(name="python")

    async def call(self, name: str, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:  # noqa: ARG002  the port's
        function = self._functions.get(name)
        if function is None:
            raise ToolCallError("unknown_tool", f"There is no tool {name!r}", was_made=False)
        task = asyncio.create_task(self._run(function, arguments))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            await asyncio.wait({task}, timeout=function.tool.timeout)
        finally:
            task.cancel()
        return self._outcome(function.tool, task)

    async def open(self) -> None:
        pass

    async def aclose(self) -> None:
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=CLOSE_SECONDS)

    async def _run(self, function: "_Function", arguments: Mapping[str, Any]) -> str:
        if function.is_async:
            result = await function.call(arguments)
        else:
            result = await self._threads.run(partial(function.call, arguments))
        return _text(result)

    def _outcome(self, tool: Tool, task: asyncio.Task[str]) -> ToolOutput:
        if not task.done():
            raise ToolCallError("backend_timeout", f"The tool took longer than {tool.timeout:g} s", was_made=True)
        if task.cancelled():
            raise ToolCallError("tool_failed", "The tool was cancelled", was_made=True)
        if (error := task.exception()) is not None:
            raise _failure(tool, error) from error
        content = task.result()
        if len(content.encode(errors="replace")) > self._max_output_bytes:
            detail = f"The tool's output is larger than {self._max_output_bytes} bytes"
            raise ToolCallError("backend_response_too_large", detail, was_made=True)
        return ToolOutput(content=content)


class _Function:
    def __init__(self, declared: DeclaredFunction) -> None:
        function = _imported(declared.function)
        self.is_async = inspect.iscoroutinefunction(function)
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(function)
            parameters = {"properties": {}, **self._adapter.json_schema()}
            ArgumentCheck(parameters)
        except (PydanticUserError, ValueError, TypeError, NameError) as error:
            raise ConfigurationError(f"CHAT_TOOLS_FILE: python: {declared.function}: {error}") from error
        self.tool = Tool(
            name=declared.name or function.__name__,
            description=inspect.getdoc(function) or declared.function,
            parameters=parameters,
            requires_approval=declared.requires_approval,
            retry_safe=declared.retry_safe,
            timeout=declared.timeout,
        )

    def call(self, arguments: Mapping[str, Any]) -> Any:
        """The result, or the coroutine that brings it. The arguments become what the type hints say."""
        return self._adapter.validate_python(ArgsKwargs((), dict(arguments)))


def _imported(path: str) -> Any:
    try:
        function = resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"CHAT_TOOLS_FILE: python: {path}: it cannot be imported: {error}") from error
    if not inspect.isfunction(function):
        raise ConfigurationError(f"CHAT_TOOLS_FILE: python: {path}: it is not a function")
    if unnamed := [one.name for one in inspect.signature(function).parameters.values() if one.kind not in _BY_NAME]:
        raise ConfigurationError(f"CHAT_TOOLS_FILE: python: {path}: {unnamed[0]} cannot be given by name")
    return function


def _text(result: Any) -> str:
    if result is None:
        return ""
    return result if isinstance(result, str) else to_json(result).decode()


def _failure(tool: Tool, error: BaseException) -> ToolCallError:
    if isinstance(error, ToolCallError):
        return error
    _logger.warning("a tool failed", tool=tool.name, exc_info=error)
    if isinstance(error, PydanticSerializationError):
        return ToolCallError("backend_bad_response", "The tool's output is not text and not JSON", was_made=True)
    if isinstance(error, ValidationError) and error.title.startswith("call["):
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = "/".join(map(str, fault["loc"]))
        return ToolCallError("invalid_arguments", f"/{place}: {fault['msg']}", was_made=False)
    detail = str(error) if isinstance(error, ValueError) else f"The tool failed: {type(error).__name__}"
    return ToolCallError("tool_failed", detail, was_made=True)
