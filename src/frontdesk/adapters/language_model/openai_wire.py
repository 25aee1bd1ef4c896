"""OpenAI's chat completions as bytes: what a request says, what a chunk holds, what a failure is called."""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import msgspec

from frontdesk.kit.ids import new_id
from frontdesk.ports.language_model import (
    AnswerPart,
    ModelCallError,
    ModelChunks,
    ModelRequest,
    PartKind,
    ToolCallPart,
    Usage,
)

DONE = b"[DONE]"
_URL_LENGTH = 2_000

DETAILS = {
    "connect": "The model provider cannot be reached",
    "timeout_first_byte": "The model provider did not begin to answer in time",
    "timeout_between_bytes": "The model provider fell silent in the middle of an answer",
    "reset": "The model provider broke off the answer",
    "rate_limited": "The model provider is receiving too many requests",
    "refused": "The model provider refused the request",
    "server_error": "The model provider failed",
    "bad_response": "The model provider answered in a form that is not understood",
    "bad_frame": "The model provider sent a chunk that is not understood",
    "error_in_stream": "The model provider reported an error in the middle of an answer",
}


def failure(kind: str, *, retry_after: float | None = None, status: int | None = None) -> ModelCallError:
    """A failure in our own words: the provider's may hold keys and addresses."""
    return ModelCallError(kind, DETAILS[kind], retry_after=retry_after, status=status)


class FunctionPart(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class CallPart(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: FunctionPart | None = None


class Delta(msgspec.Struct, gc=False):
    """What is `Any` is converted where there is some: a provider's own form of it must not cost an answer's text."""

    content: str | None = None
    tool_calls: Any = None
    annotations: Any = None


class UrlCitation(msgspec.Struct, gc=False):
    url: str
    title: str | None = None
    end_index: int | None = None


class Annotation(msgspec.Struct, gc=False):
    url_citation: UrlCitation | None = None


class Choice(msgspec.Struct, gc=False):
    delta: Delta | None = None
    finish_reason: str | None = None


class FrameWithoutUsage(msgspec.Struct, gc=False):
    """The fields of a chunk that anyone asks for; the rest is skipped unread."""

    choices: list[Choice] | None = None
    model: str | None = None
    conversation_id: str | None = None
    agent_status: str | None = None
    error: Any = None


class Frame(FrameWithoutUsage, gc=False):
    usage: Usage | None = None


_decode_frame = msgspec.json.Decoder(Frame).decode
_decode_frame_without_usage = msgspec.json.Decoder(FrameWithoutUsage).decode
_decode_lines = msgspec.json.Decoder(Frame).decode_lines
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def request_body(request: ModelRequest) -> bytes:
    body: dict[str, Any] = {
        "model": request.model,
        "messages": request.messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.conversation_id is not None:
        body["conversation_id"] = request.conversation_id
    if request.tools:
        body["tools"] = request.tools
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    return msgspec.json.encode(body)


def read_events(events: list[bytes]) -> tuple[ModelChunks | None, ModelCallError | None, bool]:
    """`read_chunks` of those before `[DONE]`, and whether that was among them; events without data are none."""
    over = DONE in events
    if over:
        del events[events.index(DONE) :]
    if b"" in events:
        events = [event for event in events if event]
    chunks, error = read_chunks(events) if events else (None, None)
    return chunks, error, over


def read_chunks(events: Sequence[bytes]) -> tuple[ModelChunks | None, ModelCallError | None]:
    """The chunks that lead the events, and the failure that the first of the others is: `bad_frame`, `error_in_stream`.

    All are decoded in one call; only when that fails, or an event holds more or less than one object, one by one.
    """
    if len(events) == 1:
        return _read_singly(events)
    lines = b"\n".join(events)
    try:
        frames: Sequence[FrameWithoutUsage] = _decode_lines(lines)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _read_singly(events)
    if len(frames) != len(events):
        return _read_singly(events)
    if lines.count(b"\n") != len(events) - 1:
        events = _on_one_line(events)
    return _gathered(events, frames)


def read_chunk(data: bytes) -> ModelChunks:
    """One event's data. Raises `ModelCallError`."""
    chunks, error = _read_singly([data])
    if error is not None or chunks is None:
        raise error or failure("bad_frame")
    return chunks


def _read_singly(events: Sequence[bytes]) -> tuple[ModelChunks | None, ModelCallError | None]:
    frames: list[FrameWithoutUsage] = []
    for data in events:
        try:
            frames.append(_read_frame(data))
        except ModelCallError as error:
            chunks, earlier = _gathered(_on_one_line(events[: len(frames)]), frames)
            return chunks, earlier or error
    return _gathered(_on_one_line(events), frames)


def _read_frame(data: bytes) -> FrameWithoutUsage:
    try:
        return _decode_frame(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _without_usage(data)


def _on_one_line(events: Sequence[bytes]) -> Sequence[bytes]:
    """A line break in JSON stands between tokens, never in a string, so that a space says the same."""
    if not any(b"\n" in event for event in events):
        return events
    return [event.replace(b"\n", b" ") for event in events]


def _gathered(
    events: Sequence[bytes], frames: Sequence[FrameWithoutUsage]
) -> tuple[ModelChunks | None, ModelCallError | None]:
    texts: list[str] = []
    calls: list[ToolCallPart] = []
    parts: list[AnswerPart] = []
    finish_reason = model = conversation_id = agent_status = usage = error = None
    for frame in frames:
        if frame.error:
            error = failure("error_in_stream")
            events = events[: frames.index(frame)]
            break
        if frame.choices:
            choice = frame.choices[0]
            if (delta := choice.delta) is not None:
                if delta.content:
                    texts.append(delta.content)
                if delta.tool_calls:
                    calls += _call_parts(delta.tool_calls)
                if delta.annotations:
                    parts += _citations(delta.annotations)
            finish_reason = choice.finish_reason or finish_reason
        conversation_id = frame.conversation_id or conversation_id
        agent_status = frame.agent_status or agent_status
        model = frame.model or model
        usage = getattr(frame, "usage", None) or usage
    if not events:
        return None, error
    said, told = "".join(texts), (finish_reason, model, conversation_id, agent_status, usage)
    return ModelChunks(events, said, len(texts), *told, calls or (), parts=parts or ()), error


def _call_parts(value: Any) -> list[ToolCallPart]:
    """None of a form that is not OpenAI's."""
    try:
        parts = msgspec.convert(value, list[CallPart])
    except msgspec.ValidationError:
        return []
    return [
        ToolCallPart(
            position if part.index is None else part.index,
            part.id or None,
            None if part.function is None else part.function.name or None,
            "" if part.function is None else part.function.arguments or "",
        )
        for position, part in enumerate(parts)
    ]


def _citations(value: Any) -> list[AnswerPart]:
    """OpenAI's annotations that name a page; none of another form."""
    try:
        told = msgspec.convert(value, list[Annotation])
    except msgspec.ValidationError:
        return []
    return [_citation(one.url_citation) for one in told if one.url_citation is not None]


def _citation(cited: UrlCitation) -> AnswerPart:
    source = {"type": "url", "url": cited.url[:_URL_LENGTH], "title": (cited.title or cited.url)[:_URL_LENGTH]}
    index = {} if cited.end_index is None else {"index": cited.end_index}
    return AnswerPart(PartKind.citation, new_id(), {"source": source, **index})


def _without_usage(data: bytes) -> FrameWithoutUsage:
    """For usage in a form of the provider's own: an answer is worth more than its figures."""
    try:
        return _decode_frame_without_usage(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise failure("bad_frame") from error


def whole_answer(body: bytes) -> ModelChunks:
    """The one chunk that says what a `chat.completion` says. Raises `ModelCallError`."""
    try:
        value = _decode_object(body)
        choices = [_as_delta(choice) for choice in value.get("choices") or ()]
    except (msgspec.DecodeError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise failure("bad_response") from error
    chunk = read_chunk(msgspec.json.encode({**value, "object": "chat.completion.chunk", "choices": choices}))
    if not choices:
        raise failure("bad_response")
    return chunk


def _as_delta(choice: dict[str, Any]) -> dict[str, Any]:
    delta = dict(choice.get("message") or {})
    if delta.get("tool_calls"):
        delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(delta["tool_calls"])]
    rest = {key: value for key, value in choice.items() if key != "message"}
    return {**rest, "delta": delta, "finish_reason": choice.get("finish_reason") or "stop"}


def model_list(body: bytes) -> list[dict[str, Any]]:
    """The models of an answer to `GET /models`. Raises `ModelCallError`."""
    try:
        listed: Sequence[Any] = _decode_object(body)["data"]
        named = [model for model in listed if isinstance(model, dict) and isinstance(model.get("id"), str)]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise failure("bad_response") from error
    return [{**model, "object": "model"} for model in named]


def status_failure(status: int, retry_after: str | None) -> ModelCallError:
    """What a status other than 200 means."""
    kind = status_kind(status)
    if kind not in {"rate_limited", "server_error"}:
        return failure(kind, status=status)
    wait = None if retry_after is None else retry_seconds(retry_after, now=datetime.now(UTC))
    return failure(kind, retry_after=wait, status=status)


def status_kind(status: int) -> str:
    """The kind of failure that a status other than 200 is."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limited"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "server_error"
    return "refused" if status >= HTTPStatus.MULTIPLE_CHOICES else "bad_response"


def retry_seconds(header: str, *, now: datetime) -> float | None:
    """`Retry-After` (RFC 9110, 10.2.3) as seconds from `now`; None when it is neither a number nor a date."""
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
