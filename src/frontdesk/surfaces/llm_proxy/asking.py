"""What a caller asks of the provider: read as far as it has to be known here, every other member as it was written."""

from typing import Any, TypeVar

import msgspec

from frontdesk.errors import BadRequestError, MalformedJsonError

BYTES_PER_TOKEN = 4  # of English text; what an answer's real count takes the place of
UNSTATED_ANSWER_TOKENS = 1024  # set aside for an answer whose length the caller did not bound
T = TypeVar("T")
_read_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Asked(msgspec.Struct, frozen=True):
    """`body` is what the provider is sent. With `hides_usage` its last chunk, which the caller did not ask for, is kept
    from them. Tokens are estimates: of the prompt, and of all that is set aside.
    """

    body: bytes
    model: str
    hides_usage: bool
    prompt_tokens: int
    reserved_tokens: int


def read_chat(body: bytes) -> Asked:
    """Raises `MalformedJsonError` and `BadRequestError`."""
    members = _members(body)
    model = _model(members)
    hides_usage = bool(_value(members, "stream", bool)) and not _asks_for_usage(members)
    if hides_usage:
        options = _value(members, "stream_options", dict[str, Any]) or {}
        members["stream_options"] = msgspec.Raw(msgspec.json.encode({**options, "include_usage": True}))
    length = _value(members, "max_completion_tokens", int) or _value(members, "max_tokens", int)
    answers = max(_value(members, "n", int) or 1, 1)
    prompt = _estimate(body)
    return Asked(
        body=msgspec.json.encode(members),
        model=model,
        hides_usage=hides_usage,
        prompt_tokens=prompt,
        reserved_tokens=prompt + max(length or UNSTATED_ANSWER_TOKENS, 0) * answers,
    )


def read_embeddings(body: bytes) -> Asked:
    """Raises `MalformedJsonError` and `BadRequestError`."""
    members, prompt = _members(body), _estimate(body)
    return Asked(msgspec.json.encode(members), _model(members), False, prompt, prompt)


def _estimate(body: bytes) -> int:
    return -(-len(body) // BYTES_PER_TOKEN)


def _members(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _read_members(body)
    except msgspec.ValidationError as error:
        raise BadRequestError("The body must be a JSON object") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedJsonError from error


def _model(members: dict[str, msgspec.Raw]) -> str:
    model = _value(members, "model", str)
    if not model:
        raise BadRequestError("The request must name a model", param="model")
    return model


def _asks_for_usage(members: dict[str, msgspec.Raw]) -> bool:
    options = _value(members, "stream_options", dict[str, Any]) or {}
    return options.get("include_usage") is True


def _value(members: dict[str, msgspec.Raw], name: str, kind: type[T]) -> T | None:
    """None when it is left out or null. Raises `BadRequestError` when it is anything else than `kind`."""
    raw = members.get(name)
    if raw is None or bytes(raw) == b"null":
        return None
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequestError(f"{name} is not of the right type", param=name) from error
