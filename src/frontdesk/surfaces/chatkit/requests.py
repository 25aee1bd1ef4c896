"""What a client asks for, held against the protocol's own types before anything is done."""

from typing import Annotated, Any, Literal

from chatkit import types
from pydantic import BaseModel, StringConstraints, TypeAdapter, ValidationError

from frontdesk.errors import BadRequestError, FrontdeskError
from frontdesk.http.bodies import decode_json
from frontdesk.kit.ids import is_id

MAX_TEXT = 200_000
MAX_MODEL = 255
MAX_ATTACHMENTS = 20
_request: TypeAdapter[types.ChatKitReq] = TypeAdapter(types.ChatKitReq)
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)]


class BadChatRequestError(BadRequestError):
    code, title = "bad_request", "The request is not one of the protocol's"


class SimpleMessage(BaseModel):
    role: Literal["user"]
    content: Text


class SimpleRequest(BaseModel):
    """The form without the protocol: one message, in a thread that is there or in a new one."""

    thread_id: str | None = None
    message: SimpleMessage


def parse_request(body: bytes) -> "types.ChatKitReq | SimpleRequest":
    """Raises `BadChatRequestError`, which names the first thing that is wrong."""
    try:
        value = decode_json(body)
    except FrontdeskError as error:
        raise BadChatRequestError(error.detail) from error
    if not isinstance(value, dict):
        raise BadChatRequestError("The body must be an object")
    try:
        if "type" in value:
            return _request.validate_python(value)
        return SimpleRequest.model_validate(value)
    except ValidationError as error:
        raise BadChatRequestError(_first(error)) from error


def text_of(message: types.UserMessageInput) -> str:
    """As the model is given it: what was quoted leads, tags are their text. Raises `BadChatRequestError`."""
    said = "".join(part.text for part in message.content)
    if message.quoted_text:
        quoted = "\n".join(f"> {line}" for line in message.quoted_text.splitlines())
        said = f"{quoted}\n\n{said}"
    if not said.strip() and not message.attachments:
        raise BadChatRequestError("The message is empty")
    if len(said) > MAX_TEXT or len(message.inference_options.model or "") > MAX_MODEL:
        raise BadChatRequestError("The message is too long")
    if len(message.attachments) > MAX_ATTACHMENTS or not all(map(is_id, message.attachments)):
        raise BadChatRequestError("There is no such attachment to send here")
    return said


def kept_of(message: types.UserMessageInput) -> dict[str, Any]:
    """What a message has beside its text; nothing when that is all."""
    kept = message.model_dump(mode="json", exclude_none=True, exclude={"attachments"})
    is_plain = len(message.content) == 1 and isinstance(message.content[0], types.UserMessageTextContent)
    return (
        {} if is_plain and kept.keys() == {"content", "inference_options"} and not kept["inference_options"] else kept
    )


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
