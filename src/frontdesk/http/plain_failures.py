"""Failures as `{"success": false, "error": TEXT, "code": CODE}`, for surfaces whose clients know no problem documents.

What else a failure has (`errors`, `remaining`) stands beside that; its status and header fields are the same.
"""

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from frontdesk.errors import FrontdeskError, InvalidRequestError
from frontdesk.http.edge import REFUSAL
from frontdesk.http.problems import FieldError, field_errors, respond
from frontdesk.http.routing import DeclaredRoute

MEDIA_TYPE = "application/json"


class Failure(BaseModel):
    """`errors` names the fields of a request that is not valid, `remaining` is what is left of a limit."""

    success: bool = False
    error: str
    code: str
    errors: list[FieldError] | None = None
    remaining: int | None = None


class PlainFailureRoute(DeclaredRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            request.scope[REFUSAL] = render_plain
            try:
                return await handle(request)
            except FrontdeskError as error:
                return render_plain(error)
            except RequestValidationError as error:
                return render_plain(InvalidRequestError(errors=field_errors(error)))

        return answered


def render_plain(error: FrontdeskError) -> Response:
    body = {"success": False, "error": error.detail, "code": error.code, **error.extra}
    return respond(error, msgspec.json.encode(body), MEDIA_TYPE)
