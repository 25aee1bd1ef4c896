"""What the provider says when it does not answer, as far as it may be passed on: its words may hold keys
and addresses.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from frontdesk.errors import ProviderError, ProviderUnauthorizedError
from frontdesk.http.openai_errors import MEDIA_TYPE, error_body
from frontdesk.ports.language_model import ModelCallError
from frontdesk.ports.model_relay import RelayedAnswer

MAX_BYTES = 65_536
_MAX_MESSAGE = 2000
_EXPLAINED = frozenset({400, 404, 409, 413, 415, 422})  # the caller's own fault, which they must be able to mend
_OURS = frozenset({401, 403, 407})
_NAME = re.compile(r"[\w.\[\]/-]{1,128}")
_KEY = re.compile(
    r"\b(?:sk|pk|rk|key|token|bearer)[-_ ][\w.~+/=-]{8,}|\b[\w.-]*:\d{2,5}\b|\b\d+\.\d+\.\d+\.\d+\b", re.IGNORECASE
)
_WORDS = {429: "The model provider is receiving too many requests", 503: "The model provider is not available"}
_CLIENT_ERROR, _SERVER_ERROR = 400, 500


async def refusal(answer: RelayedAnswer, *, headers: Mapping[str, str], secret: str | None) -> Response:
    """The answer as a refusal in OpenAI's shape, under its own status. `secret` is the provider's key.

    Raises `ProviderUnauthorizedError` when the fault is the gateway's key, and `ProviderError` for what is no refusal.
    """
    status = answer.status
    try:
        if status in _OURS:
            raise ProviderUnauthorizedError
        if status < _CLIENT_ERROR:
            raise ProviderError("The model provider answered in a form that is not understood")
        error = _error(await _body(answer))
    finally:
        answer.leave()
    names = {name: _name(error.get(name)) for name in ("param", "code")}
    names["code"] = names["code"] or ("provider_failed" if status >= _SERVER_ERROR else None)
    return Response(error_body(_message(error, status, secret), status=status, **names), status, headers, MEDIA_TYPE)


def _message(error: dict[str, Any], status: int, secret: str | None) -> str:
    told = error.get("message")
    if status not in _EXPLAINED or not isinstance(told, str) or not told:
        refused = "The model provider failed" if status >= _SERVER_ERROR else "The model provider refused the request"
        return _WORDS.get(status, refused)
    if secret:
        told = told.replace(secret, "[removed]")
    return _KEY.sub("[removed]", told)[:_MAX_MESSAGE]


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and _NAME.fullmatch(value) and not _KEY.search(value) else None


def _error(body: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    error = value.get("error", value) if isinstance(value, dict) else {}
    return error if isinstance(error, dict) else {"message": error}


async def _body(answer: RelayedAnswer) -> bytes:
    """Nothing, when it is too large or breaks off."""
    collected = _Collected()
    answer.read(collected)
    return await collected.whole


class _Collected:
    def __init__(self) -> None:
        self.whole: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._pieces = bytearray()

    def feed(self, data: bytes) -> None:
        self._pieces += data
        if len(self._pieces) > MAX_BYTES and not self.whole.done():
            self.whole.set_result(b"")

    def end(self, error: ModelCallError | None) -> None:
        if not self.whole.done():
            self.whole.set_result(b"" if error else bytes(self._pieces))
