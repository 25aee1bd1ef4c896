"""The wire of an agent's runtime: what is sent for a step, and what its server-sent events mean.

Calls that the runtime makes itself, once somebody has approved them, get a prefix to their ids, so that the decision
and a later result of the same id are two things.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from frontdesk.adapters.language_model.agent_chunks import AgentChunks
from frontdesk.adapters.language_model.openai_wire import status_kind
from frontdesk.ports.language_model import ModelCallError, ModelChunks, ModelRequest

MAX_CALLS = 32
_DECISION = "approval_"
_RESULT = "result_"
_LONGEST_ID = 48  # with its prefix, as long as a call's id may be
_DETAILS = {
    "connect": "The agent's runtime cannot be reached",
    "timeout_first_byte": "The agent's runtime did not begin to answer in time",
    "timeout_between_bytes": "The agent's runtime fell silent in the middle of an answer",
    "reset": "The agent's runtime broke off the answer",
    "rate_limited": "The agent's runtime is receiving too many requests",
    "refused": "The agent's runtime refused the request",
    "server_error": "The agent's runtime failed",
    "bad_response": "The agent's runtime answered in a form that is not understood",
    "bad_frame": "The agent's runtime sent a message that is not understood",
    "error_in_stream": "The agent's runtime reported an error in the middle of an answer",
}


class _Message(msgspec.Struct, gc=False):
    """The fields of all messages; other fields, and messages of another type, are skipped."""

    type: str | None = None
    token: str | None = None
    is_final: bool = False
    call_id: str | None = None
    tool_name: str | None = None
    arguments: dict[str, Any] | None = None
    requires_approval: bool = False
    status: str | None = None


_decode = msgspec.json.Decoder(_Message).decode


def failure(kind: str, *, status: int | None = None) -> ModelCallError:
    """A failure in our own words: the runtime's may hold keys and addresses."""
    return ModelCallError(kind, _DETAILS[kind], status=status)


def status_failure(status: int) -> ModelCallError:
    """What a status other than 200 means."""
    return failure(status_kind(status), status=status)


def bodies(request: ModelRequest) -> list[bytes]:
    """What the runtime has not been told: the results of the last step's calls, or else the user's message."""
    results = _trailing_results(request)
    said = next((one for one in reversed(request.messages) if one["role"] == "user"), None)
    if not results:
        message = {"type": "user_message", "content": "" if said is None else said["content"]}
        return [msgspec.json.encode({"session_id": request.thread_id, **message})]
    return [msgspec.json.encode({"session_id": request.thread_id, **_brought(result)}) for result in results]


def cancel(thread_id: str) -> bytes:
    return msgspec.json.encode({"session_id": thread_id, "type": "cancel"})


def asked_since_user(request: ModelRequest) -> set[str]:
    """The ids of the calls that this answer has made so far."""
    asked: set[str] = set()
    for message in request.messages:
        if message["role"] == "user":
            asked.clear()
        asked.update(call["id"] for call in message.get("tool_calls") or ())
    return asked


class RemoteWire:
    """The events of one step, as chunks. `asked` are the ids of the answer's earlier calls: none comes again. With
    `to_client` its calls are the client's to make, and otherwise those of our tools.
    """

    def __init__(self, chunks: AgentChunks, asked: Collection[str], *, to_client: bool = False) -> None:
        self._chunks = chunks
        self._to_client = to_client
        self._asked = set(asked)

    failure = staticmethod(failure)

    def read_events(self, events: list[bytes]) -> tuple[ModelChunks | None, ModelCallError | None, bool]:
        texts: list[str] = []
        called: list[ModelChunks] = []
        error, over = None, False
        for data in events:
            if not data:
                continue
            try:
                over = self._read(_decode(data), texts, called)
            except ModelCallError as failed:
                error = failed
            except (msgspec.DecodeError, UnicodeDecodeError) as failed:
                error = failure("bad_frame")
                error.__cause__ = failed
            if over or error is not None:
                break
        return self._together(texts, called), error, over

    def _read(self, message: _Message, texts: list[str], called: list[ModelChunks]) -> bool:
        """Whether it is the last."""
        if message.type == "error" or (message.type is None and message.status in {"failed", "error"}):
            raise failure("error_in_stream")
        if message.type == "tool_call":
            called.append(self._call(message))
        elif message.type == "assistant_message" or (message.type is None and message.token is not None):
            if message.token is None:
                raise failure("bad_frame")
            if message.token:
                texts.append(message.token)
            return message.is_final
        return message.type is None and message.status is not None

    def _call(self, message: _Message) -> ModelChunks:
        own, name = message.call_id or "", message.tool_name or ""
        call_id = _our_id(own, decision_only=message.requires_approval)
        usable = own.isascii() and own.isprintable() and 0 < len(own) <= _LONGEST_ID and call_id not in self._asked
        if not usable or not name or self._chunks.calls >= MAX_CALLS:
            raise failure("bad_frame")
        self._asked.add(call_id)
        arguments = msgspec.json.encode(message.arguments or {}).decode()
        return self._chunks.call(
            call_id, name, arguments, decision_only=message.requires_approval, to_client=self._to_client
        )

    def _together(self, texts: list[str], called: list[ModelChunks]) -> ModelChunks | None:
        parts = [self._chunks.text(texts), *called] if texts else called
        if len(parts) <= 1:
            return parts[0] if parts else None
        return ModelChunks(
            [data for part in parts for data in part.data],
            "".join(texts),
            len(texts),
            finish_reason=parts[-1].finish_reason,
            tool_calls=[call for part in parts for call in part.tool_calls],
        )


def _our_id(own: str, *, decision_only: bool) -> str:
    if decision_only:
        return _DECISION + own
    return _RESULT + own if own.startswith((_DECISION, _RESULT)) else own


def _trailing_results(request: ModelRequest) -> list[Mapping[str, Any]]:
    results: list[Mapping[str, Any]] = []
    for message in reversed(request.messages):
        if message["role"] != "tool":
            break
        results.append(message)
    return results[::-1]


def _brought(result: Mapping[str, Any]) -> dict[str, Any]:
    call_id, content = result["tool_call_id"], result["content"]
    error = _error(content)
    if call_id.startswith(_DECISION):
        decision = msgspec.json.decode(content) if error is None else {"decision": "reject", "feedback": error}
        return {"type": "hitl_decision", "call_id": call_id.removeprefix(_DECISION), **decision}
    told = {"result": content} if error is None else {"error": error}
    return {"type": "tool_result", "call_id": call_id.removeprefix(_RESULT), **told}


class _Fault(msgspec.Struct):
    code: str
    message: str


class _Failed(msgspec.Struct, forbid_unknown_fields=True):
    error: _Fault


def _error(content: str) -> str | None:
    """The message of a failed call."""
    try:
        return msgspec.json.decode(content, type=_Failed).error.message
    except msgspec.DecodeError:
        return None
