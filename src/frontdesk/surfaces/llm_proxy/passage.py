"""An answer's bytes on their way through. They are looked at by the read, never by the token: what is searched for is
the end of an event, the one event that tells the usage, and failures, whose texts are the provider's own.
"""

import re
from typing import Any, Protocol

import msgspec

from frontdesk.http.openai_errors import error_body
from frontdesk.identity.usage.models import Spent
from frontdesk.kit.server_sent_events import EventParser
from frontdesk.ports.language_model import ModelCallError
from frontdesk.surfaces.llm_proxy.asking import BYTES_PER_TOKEN

MAX_EVENT_BYTES = 1_048_576
_FAILED = 502
_BORDERS = (b"\n\n", b"\r\n\r\n")
_EVENT = re.compile(rb".*?(?:\n\n|\r\n\r\n)|.+", re.DOTALL)
_USAGE, _ERROR = b'"prompt_tokens"', b'"error"'
_KEPT_BYTES = 8192
_PROMPT = re.compile(rb'"prompt_tokens"\s*:\s*(\d{1,12})')
_COMPLETION = re.compile(rb'"completion_tokens"\s*:\s*(\d{1,12})')


class Passage(Protocol):
    def feed(self, data: bytes) -> bytes:
        """What of it, and of what was held back before, goes on now. Raises `ModelCallError`."""
        ...

    def close(self) -> bytes:
        """What the end lets go on."""
        ...

    def failed(self, error: ModelCallError) -> bytes | None:
        """What tells the reader that the answer broke off; None where nothing can."""
        ...

    def spent(self, prompt_tokens: int) -> Spent:
        """What was used, as the provider said; else what came, and this estimate of the prompt."""
        ...


class EventPassage:
    """A stream of events; only whole ones go on. With `hides_usage` the last, which has usage and no choices, stays."""

    def __init__(self, *, hides_usage: bool) -> None:
        self._hides_usage = hides_usage
        self._held = b""
        self._events = 0
        self._usage: Spent | None = None

    def feed(self, data: bytes) -> bytes:
        if self._held:
            data = self._held + data
        end = max((found + len(border) for border in _BORDERS if (found := data.rfind(border)) >= 0), default=0)
        if end == len(data):
            self._held = b""
        else:
            self._held, data = data[end:], data[:end]
            if len(self._held) > MAX_EVENT_BYTES:
                raise ModelCallError("bad_frame", "The model provider sent an event that is too large")
        self._events += data.count(b"data:")
        if _USAGE in data or _ERROR in data:
            return self._looked_through(data)
        return data

    def close(self) -> bytes:
        rest, self._held = self._held, b""
        return self._looked_through(rest) if _USAGE in rest or _ERROR in rest else rest

    def failed(self, error: ModelCallError) -> bytes:
        self._held = b""
        return _event_of(error)

    def spent(self, prompt_tokens: int) -> Spent:
        if self._usage is not None:
            return self._usage
        # One for each token, as providers send them, behind the one that opens the answer.
        return Spent(prompt_tokens, max(self._events - 1, 0))

    def _looked_through(self, events: bytes) -> bytes:
        return b"".join(self._let_through(event) for event in _EVENT.findall(events))

    def _let_through(self, event: bytes) -> bytes:
        has_usage = _USAGE in event
        if not has_usage and _ERROR not in event:
            return event
        told = _decoded(event)
        if told is None or told.get("error"):
            return _event_of(_reported(told))
        usage = told.get("usage")
        if has_usage and isinstance(usage, dict):
            self._usage = _spent(usage)
            return b"" if self._hides_usage and told.get("choices") == [] else event
        return event


class WholePassage:
    """A body in one piece: it goes on as it comes. `answers` is whether what comes back is made of tokens."""

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers
        self._bytes = 0
        self._first = self._last = b""

    def feed(self, data: bytes) -> bytes:
        if len(self._first) < _KEPT_BYTES:
            self._first += data[: _KEPT_BYTES - len(self._first)]
        self._last = (self._last + data)[-_KEPT_BYTES:]
        self._bytes += len(data)
        return data

    def close(self) -> bytes:
        return b""

    def failed(self, error: ModelCallError) -> None:  # noqa: ARG002  nothing can be said within a body
        return None

    def spent(self, prompt_tokens: int) -> Spent:
        """Texts have their quotes escaped, so that what is found is a member of the answer."""
        for kept in (self._last, self._first):
            start = kept.rfind(b'"usage"')
            if start >= 0 and (prompt := _PROMPT.search(kept, start)):
                completion = _COMPLETION.search(kept, start)
                return Spent(int(prompt[1]), int(completion[1]) if completion else 0)
        return Spent(prompt_tokens, self._bytes // BYTES_PER_TOKEN if self._answers else 0)


def _decoded(event: bytes) -> dict[str, Any] | None:
    parser = EventParser(max_event_bytes=2 * MAX_EVENT_BYTES)
    data = parser.feed(event) + parser.close()
    try:
        value = msgspec.json.decode(b"".join(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _event_of(error: ModelCallError) -> bytes:
    return b"data: " + error_body(error.detail, status=_FAILED, code=error.kind) + b"\n\n"


def _reported(told: dict[str, Any] | None) -> ModelCallError:
    """In our own words: the provider's may hold keys and addresses."""
    if told is None:
        return ModelCallError("bad_frame", "The model provider sent an event that is not understood")
    return ModelCallError("error_in_stream", "The model provider reported an error in the middle of an answer")


def _spent(usage: dict[str, Any]) -> Spent:
    counts = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    prompt, completion = (count if isinstance(count, int) and count > 0 else 0 for count in counts)
    return Spent(prompt, completion)
