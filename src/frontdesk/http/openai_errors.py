"""Failures in OpenAI's shape, for the paths that are OpenAI's API: its official clients make their exceptions of it."""

from typing import Any

import msgspec

from frontdesk.errors import FrontdeskError

PREFIX = "/v1"
MEDIA_TYPE = "application/json"
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {
    "bad_internal_key": "invalid_api_key",
    "bad_token": "invalid_api_key",
    "unauthenticated": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
}
_SERVER_ERROR = 500


def speaks_openai(path: str) -> bool:
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def error_body(message: str, *, status: int, param: str | None = None, code: str | None = None) -> bytes:
    """`type` follows from the status. `code` is one of ours or of OpenAI's, and OpenAI's word where it has another."""
    kind = _TYPES.get(status, "server_error" if status >= _SERVER_ERROR else "invalid_request_error")
    named = None if code is None else _CODES.get(code, code)
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": param, "code": named}})


def body_of(error: FrontdeskError) -> bytes:
    return error_body(error.detail, status=error.status, param=_param(error.extra), code=error.code)


def _param(extra: dict[str, Any]) -> str | None:
    """The member of the body, or the field, that is at fault."""
    if "param" in extra:
        return str(extra["param"])
    errors = extra.get("errors") or [{}]
    return ".".join(str(part) for part in errors[0].get("loc", ())[1:]) or None
