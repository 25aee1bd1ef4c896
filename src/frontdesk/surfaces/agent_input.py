"""What clients and gateways say for an answer. Unknown fields are ignored: they have no effect."""

from typing import Any

import msgspec

from frontdesk.conversation.drafts import Draft
from frontdesk.conversation.messages.models import Role
from frontdesk.conversation.tool_calls.inputs import Decision
from frontdesk.conversation.tool_calls.models import CALL_ID_LENGTH
from frontdesk.errors import FrontdeskError, InvalidRequestError
from frontdesk.http.bodies import decode_json
from frontdesk.surfaces.agent_messages import MOST

LONGEST_CONTENT = 200_000
LONGEST_NAME = 200
INVALID_JSON = "Invalid JSON message"
_ROLES = {"user": Role.user, "system": Role.system}


class BadMessageError(InvalidRequestError):
    """The detail is what the client is told."""

    code, title = "bad_message", INVALID_JSON


class UserMessage(msgspec.Struct, frozen=True):
    draft: Draft


class Cancel(msgspec.Struct, frozen=True):
    """Of whatever is under way."""


class Resume(msgspec.Struct, frozen=True):
    after: int


class ToolResult(msgspec.Struct, frozen=True):
    call_id: str
    content: str
    is_error: bool


class HitlDecision(msgspec.Struct, frozen=True):
    call_id: str
    decision: Decision
    arguments: dict[str, Any] | None
    feedback: str | None


ClientMessage = UserMessage | Cancel | Resume | ToolResult | HitlDecision


def is_name(text: str) -> bool:
    """Whether a session can be called so."""
    return 0 < len(text) <= LONGEST_NAME and text.isprintable()


def parse(text: str) -> ClientMessage:
    """Raises `BadMessageError`."""
    try:
        held = decode_json(text.encode())
    except InvalidRequestError as error:
        raise BadMessageError("Text must not contain NUL") from error
    except (FrontdeskError, UnicodeEncodeError) as error:
        raise BadMessageError(INVALID_JSON) from error
    if not isinstance(held, dict):
        raise BadMessageError(INVALID_JSON)
    return of_object(held)


def of_object(held: dict[str, Any]) -> ClientMessage:
    """A message that was decoded already. Raises `BadMessageError`."""
    kind = held.get("type")
    if kind == "user_message":
        return UserMessage(_draft(held))
    if kind == "tool_result":
        return _tool_result(held)
    if kind == "hitl_decision":
        return _decision(held)
    if kind == "cancel":
        return Cancel()
    if kind == "resume":
        return Resume(parse_after(held.get("after")))
    raise BadMessageError("Missing message type" if kind is None else "Unknown message type")


def parse_after(after: object) -> int:
    """Raises `BadMessageError`."""
    if isinstance(after, bool) or not isinstance(after, int) or not 0 <= after <= MOST:
        raise BadMessageError("after must be the seq of an earlier message")
    return after


def _draft(held: dict[str, Any]) -> Draft:
    content, role = held.get("content"), held.get("role", "user")
    if "content" not in held:
        raise BadMessageError("Missing content")
    if not isinstance(content, str) or not content:
        raise BadMessageError("content must be a text that is not empty")
    if len(content) > LONGEST_CONTENT:
        raise BadMessageError(f"content may have at most {LONGEST_CONTENT} characters")
    if not isinstance(role, str) or role not in _ROLES:
        raise BadMessageError("role must be user or system")
    return Draft(text=content, role=_ROLES[role])


def _tool_result(held: dict[str, Any]) -> ToolResult:
    error = held.get("error")
    if (error is None) == (held.get("result") is None and "result" not in held):
        raise BadMessageError("A tool_result has a result or an error")
    if error is not None:
        if not isinstance(error, str):
            raise BadMessageError("error must be a text")
        return ToolResult(_call_id(held), error, is_error=True)
    result = held["result"]
    content = result if isinstance(result, str) else msgspec.json.encode(result).decode()
    return ToolResult(_call_id(held), content, is_error=False)


def _decision(held: dict[str, Any]) -> HitlDecision:
    arguments, feedback = held.get("modified_arguments"), held.get("feedback")
    if held.get("decision") not in tuple(Decision):
        raise BadMessageError("decision must be approve, edit or reject")
    if arguments is not None and not isinstance(arguments, dict):
        raise BadMessageError("modified_arguments must be an object")
    if feedback is not None and not isinstance(feedback, str):
        raise BadMessageError("feedback must be a text")
    return HitlDecision(_call_id(held), Decision(held["decision"]), arguments, feedback)


def _call_id(held: dict[str, Any]) -> str:
    call_id = held.get("call_id")
    if not isinstance(call_id, str) or not 0 < len(call_id) <= CALL_ID_LENGTH:
        raise BadMessageError(f"call_id must be a text of 1 to {CALL_ID_LENGTH} characters")
    return call_id
