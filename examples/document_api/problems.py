"""The one tree of expected failures, and their rendering as problem documents (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"


class FieldError(BaseModel):
    loc: list[str | int]
    msg: str
    type: str


class Problem(BaseModel):
    """`code` is stable, for programs; `errors` names the fields of a request that is not valid."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldError] = []


class DocumentsError(Exception):
    """Something that a caller can be told. `detail` is written for the caller and holds no secret."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.title)
        self.problem = Problem(title=self.title, status=self.status, detail=detail or self.title, code=self.code)


class SessionRequiredError(DocumentsError):
    code, status, title = "session_required", 400, "The header X-Agent-Session-Id is missing or not valid"


class BadCursorError(DocumentsError):
    code, status, title = "bad_cursor", 400, "The cursor was not made by this server"


class UnauthenticatedError(DocumentsError):
    code, status, title = "unauthenticated", 401, "The API key is missing or wrong"
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer realm="documents"'}


class NotFoundError(DocumentsError):
    code, status, title = "not_found", 404, "Not found"


class DriveNotLinkedError(DocumentsError):
    code, status, title = "drive_not_linked", 409, "The session is linked to no folder of the drive"


class DriveFolderRefusedError(DocumentsError):
    code, status, title = "drive_folder_refused", 409, "The folder is not a plain folder inside the drive"


class BodyTooLargeError(DocumentsError):
    code, status, title = "body_too_large", 413, "The body is too large"


class IdempotencyKeyReusedError(DocumentsError):
    code, status, title = "idempotency_key_reused", 422, "The idempotency key was used with another request"


class BadVideoError(DocumentsError):
    code, status, title = "bad_video", 422, "This is neither the address nor the id of a YouTube video"


class ModelFailedError(DocumentsError):
    code, status, title = "model_failed", 502, "The language model gave no usable answer"


class ModelNotConfiguredError(DocumentsError):
    code, status, title = "model_not_configured", 503, "No language model is configured: set DOCUMENTS_LLM_BASE"


class BusyError(DocumentsError):
    code, status, title = "busy", 503, "Too many jobs are under way"
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "5"}


class InterruptedJobError(DocumentsError):
    code, status, title = "interrupted", 503, "The server stops; ask again with the same Idempotency-Key"
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "5"}


def render(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    body = problem.model_dump(exclude_defaults=True) | {"type": problem.type}
    return JSONResponse(body, problem.status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Every failure of the application leaves as a problem document."""
    app.add_exception_handler(DocumentsError, _on_documents_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_defect)


async def _on_documents_error(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, DocumentsError):
        raise TypeError(error)
    return render(error.problem, error.headers)


async def _on_validation_error(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise TypeError(error)
    title = "The request is not valid"
    problem = Problem(title=title, status=422, detail=title, code="validation_error", errors=_fields(error))
    return render(problem)


def _fields(error: RequestValidationError) -> list[FieldError]:
    """Without the input, which may be large and hold what does not belong in an answer."""
    return [FieldError(loc=list(item["loc"]), msg=item["msg"], type=item["type"]) for item in error.errors()]


async def _on_http_exception(_: Request, error: Exception) -> JSONResponse:
    """The framework's own: an unknown path, a wrong method, a body that is too large."""
    if not isinstance(error, HTTPException):
        raise TypeError(error)
    if error.status_code == BodyTooLargeError.status:
        return render(BodyTooLargeError().problem, {"Connection": "close"})
    status = HTTPStatus(error.status_code)
    code = status.name.lower()
    return render(Problem(title=status.phrase, status=status, detail=status.phrase, code=code), error.headers)


async def _on_defect(_: Request, __: Exception) -> JSONResponse:
    return render(DocumentsError().problem)


def responses(*errors: type[DocumentsError]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of what a route can fail with, by status."""
    codes: dict[int, list[str]] = {400: ["session_required"], 422: ["validation_error"], 500: ["internal_error"]}
    for error in errors:
        codes.setdefault(error.status, []).append(error.code)
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": f"Problem: {', '.join(codes[status])}", "content": content} for status in sorted(codes)
    }
