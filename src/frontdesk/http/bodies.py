"""Request bodies: bounded in bytes before they are read and in time, and JSON that every later stage can hold.

Text with NUL or lone surrogates cannot be stored or sent on as UTF-8, so it is refused here, once, wherever it stands.
"""

import asyncio
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request

from frontdesk.errors import (
    BadRequestError,
    BodyTimeoutError,
    BodyTooLargeError,
    InvalidRequestError,
    MalformedJsonError,
)

_MAX_DEPTH = 64
_MOST_CONTAINERS = 10_000  # a megabyte of them would hold the loop for half a second
_MOST_DIGITS = 18


async def read_body(request: Request, limit: int, *, seconds: float) -> bytes:
    """Raises `BodyTooLargeError` before reading when the declared length says so, else as soon as `limit` is passed,
    and `BodyTimeoutError` when the whole has not come within `seconds`.
    """
    declared = request.headers.get("content-length")
    if declared is not None and (not declared.isdecimal() or len(declared) > _MOST_DIGITS or int(declared) > limit):
        raise BodyTooLargeError(f"The body may have at most {limit} bytes")
    try:
        async with asyncio.timeout(seconds):
            return await _read(request, limit)
    except ClientDisconnect as error:
        raise BadRequestError("The body ended early") from error
    except TimeoutError as error:
        raise BodyTimeoutError(f"The body must come within {seconds:g} s") from error


async def _read(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise BodyTooLargeError(f"The body may have at most {limit} bytes")
    return bytes(body)


def decode_json(body: bytes) -> Any:
    """Raises `MalformedJsonError`, or `InvalidRequestError` for text that is not storable."""
    containers = _count_containers(body)
    if containers > _MOST_CONTAINERS:
        raise MalformedJsonError(f"The JSON has more than {_MOST_CONTAINERS} arrays and objects")
    try:
        value = msgspec.json.decode(body)
    except RecursionError as error:
        raise MalformedJsonError("The JSON is nested too deeply") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedJsonError from error
    if containers > _MAX_DEPTH:
        _check_depth(value)
    if b"\\u0000" in body:
        _refuse_nul(value, ("body",))
    return value


def _count_containers(body: bytes) -> int:
    """At least as many as there are, and exact, with brackets inside of texts left out, where it comes to matter."""
    count = body.count(b"[") + body.count(b"{")
    if count <= _MOST_CONTAINERS:
        return count
    bare = b"".join(body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    return bare.count(b"[") + bare.count(b"{")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise MalformedJsonError(f"The JSON is nested deeper than {_MAX_DEPTH} levels")


def _children(value: Any) -> list[Any]:
    """The containers directly inside a container; a scalar has none."""
    if isinstance(value, dict):
        return [child for child in value.values() if isinstance(child, dict | list)]
    return [child for child in value if isinstance(child, dict | list)] if isinstance(value, list) else []


def _refuse_nul(value: Any, loc: tuple[str | int, ...]) -> None:
    if isinstance(value, str) and "\x00" in value:
        raise InvalidRequestError(errors=[{"loc": list(loc), "msg": "NUL is not permitted in text", "type": "nul"}])
    if isinstance(value, dict):
        for key, child in value.items():
            _refuse_nul(key, loc)
            _refuse_nul(child, (*loc, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            _refuse_nul(child, (*loc, index))
