"""Tools that the back end describes itself, in its OpenAPI document."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import uniform
from typing import Any

import msgspec
import structlog
import yaml

from frontdesk.adapters.tool_source.back_end import BackEnd, BackEndResponse
from frontdesk.adapters.tool_source.http import HttpToolSource
from frontdesk.adapters.tool_source.openapi_document import OpenApiError, openapi_tools
from frontdesk.agents.tools.declarations import DeclaredOpenApi, DeclaredTool
from frontdesk.errors import ConfigurationError
from frontdesk.ports.tool_source import CallContext, LeftOut, SourceStatus, Tool, ToolCallError, ToolOutput

FETCH_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.5
LAST_PAUSE_SECONDS = 30.0
MAX_DOCUMENT_BYTES = 8_388_608
_OK = 200

_logger = structlog.get_logger(__name__)
Found = tuple[list[DeclaredTool], list[LeftOut]]


class OpenApiToolSource:
    """The operations of one document. One that is fetched is fetched again after the back end has been away.

    Until it has been read for the first time there are no tools; afterwards the last one read holds.
    """

    def __init__(self, declared: DeclaredOpenApi, back_end: BackEnd, *, max_response_bytes: int) -> None:
        """The back end is closed with the source."""
        self._declared = declared
        self._back_end = back_end
        self._http = HttpToolSource((), back_end, max_response_bytes=max_response_bytes)
        self._left_out: Sequence[LeftOut] = ()
        self._problem: str | None = "the document has not been read"
        self._wanted = asyncio.Event()
        self._fetching: asyncio.Task[None] | None = None

    def tools(self) -> Sequence[Tool]:
        return self._http.tools()

    def status(self) -> SourceStatus:
        problem = self._http.status().problem or self._problem
        return SourceStatus(name="openapi", problem=problem, left_out=self._left_out)

    async def call(self, name: str, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        try:
            return await self._http.call(name, arguments, context)
        except ToolCallError as error:
            self._look_again(error)
            raise

    @asynccontextmanager
    async def forward(
        self, name: str, arguments: Mapping[str, Any], context: CallContext
    ) -> AsyncIterator[BackEndResponse]:
        try:
            async with self._http.forward(name, arguments, context) as forwarded:
                yield forwarded
        except ToolCallError as error:
            self._look_again(error)
            raise

    async def open(self) -> None:
        if self._declared.file is not None:
            self._take(await asyncio.to_thread(self._read_file, self._declared.file))
        elif self._back_end.configured:
            await self._fetch_once()
            self._fetching = asyncio.create_task(self._fetch_when_wanted())

    async def aclose(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            with suppress(asyncio.CancelledError):
                await self._fetching
        await self._http.aclose()

    def _look_again(self, error: ToolCallError) -> None:
        if error.kind == "backend_unreachable":
            self._wanted.set()

    async def _fetch_when_wanted(self) -> None:
        while True:
            await self._wanted.wait()
            pause = FIRST_PAUSE_SECONDS
            while self._wanted.is_set():
                await asyncio.sleep(uniform(pause / 2, pause))  # noqa: S311  no secret
                pause = min(pause * 2, LAST_PAUSE_SECONDS)
                await self._fetch_once()

    async def _fetch_once(self) -> None:
        """Leaves `_wanted` set when the document could not be had."""
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                content = await self._fetch(self._declared.path or "/")
            found = await asyncio.to_thread(self._parse, content)
        except (ToolCallError, OpenApiError, TimeoutError) as error:
            problem = str(error) or f"it did not come within {FETCH_SECONDS:g} s"
            if problem != self._problem:
                _logger.warning("the OpenAPI document cannot be had", reason=problem)
            self._problem = problem
            self._wanted.set()
        else:
            self._wanted.clear()
            self._take(found)

    async def _fetch(self, path: str) -> bytes:
        content = bytearray()
        sending = self._back_end.send(
            "GET", path, headers={"accept": "application/json"}, body=None, patience=FETCH_SECONDS
        )
        async with sending as response:
            if response.status != _OK:
                raise OpenApiError(f"the back end answers {response.status} for its OpenAPI document")
            async for piece in response.body():
                content += piece
                if len(content) > MAX_DOCUMENT_BYTES:
                    raise OpenApiError(f"the OpenAPI document is larger than {MAX_DOCUMENT_BYTES} bytes")
        return bytes(content)

    def _read_file(self, path: str) -> Found:
        try:
            found = self._parse(Path(path).read_bytes())
        except (OSError, OpenApiError) as error:
            raise ConfigurationError(f"CHAT_TOOLS_FILE: openapi: {path}: {error}") from error
        missing = {name for name in self._declared.include if "*" not in name} - {tool.name for tool in found[0]}
        if missing:
            reasons = [f"{one.name}: {one.reason}" for one in found[1] if one.name in missing]
            raise ConfigurationError(
                f"CHAT_TOOLS_FILE: openapi: {path}: include: {', '.join(reasons) or 'no operation is ' + missing.pop()}"
            )
        return found

    def _parse(self, content: bytes) -> Found:
        try:
            document = msgspec.json.decode(content)
        except (ValueError, RecursionError):
            document = _parsed_yaml(content)
        return openapi_tools(document, self._declared)

    def _take(self, found: Found) -> None:
        declared, self._left_out = found
        self._problem = None
        self._http.declare(declared)
        for one in self._left_out:
            _logger.warning("an operation is no tool", tool=one.name, reason=one.reason)


def _parsed_yaml(content: bytes) -> Any:
    try:
        return yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise OpenApiError("it is neither JSON nor YAML") from error
