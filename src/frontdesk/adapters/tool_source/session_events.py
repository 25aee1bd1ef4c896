"""A session's events from the back end over HTTP, at a path of its own below `API_BASE_URL`."""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec

from frontdesk.adapters.tool_source.answer_text import read_output
from frontdesk.adapters.tool_source.back_end import BackEnd
from frontdesk.ports.back_end_events import CursorRefusedError, ReportedPage
from frontdesk.ports.tool_source import ToolCallError

PATH = "/api/v1/sessions/events"
_PATIENCE_SECONDS = 10.0
_MOST_BYTES = 4_194_304
_OK = 200
_REFUSALS = frozenset({400, 410, 422})
_decode = msgspec.json.Decoder(ReportedPage).decode


class HttpBackEndEvents:
    """The back end is closed with it."""

    def __init__(self, back_end: BackEnd) -> None:
        self._back_end = back_end

    @property
    def configured(self) -> bool:
        return self._back_end.configured

    async def ask(self, session_id: str, *, since: str | None, headers: Mapping[str, str]) -> ReportedPage:
        query = {"session_id": session_id} | ({} if since is None else {"since": since})
        sent = {**headers, "accept": "application/json", "x-agent-session-id": session_id}
        try:
            async with (
                asyncio.timeout(_PATIENCE_SECONDS),
                self._back_end.send(
                    "GET", f"{PATH}?{urlencode(query)}", headers=sent, body=None, patience=_PATIENCE_SECONDS
                ) as response,
            ):
                output = await read_output(response, _MOST_BYTES)
        except TimeoutError as error:
            raise ToolCallError("backend_timeout", "The back end took too long", was_made=True) from error
        if since is not None and output.status in _REFUSALS:
            raise CursorRefusedError("backend_bad_response", "The back end does not know the cursor", was_made=True)
        if output.status != _OK:
            raise ToolCallError("backend_bad_response", f"The back end answered {output.status}", was_made=True)
        try:
            return _decode(output.content)
        except msgspec.MsgspecError as error:
            raise ToolCallError(
                "backend_bad_response", "The back end's answer is not understood", was_made=True
            ) from error

    async def aclose(self) -> None:
        await self._back_end.aclose()
