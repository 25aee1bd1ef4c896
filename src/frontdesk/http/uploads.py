"""Bodies that are files, read as they come and no faster than they are taken.

A route that has `StreamedBody` among its dependencies is called before its body is read. Form data is RFC 7578; what
stands before the file are small fields, what stands behind it is ignored.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from fastapi.dependencies.models import Dependant
from starlette.requests import ClientDisconnect, Request

from frontdesk.errors import BadRequestError, BodyTimeoutError, FileTooLargeError, InvalidRequestError
from frontdesk.http.admission import waiting_elsewhere
from frontdesk.http.forms import FORM_BYTES, Form, boundary_of
from frontdesk.http.problems import BODY_OPEN
from frontdesk.http.services import services

_MOST_DIGITS = 18


class FilePart:
    """A form's file. `fields` are those that came before it."""

    def __init__(self, name: str, fields: dict[str, str], chunks: AsyncIterator[bytes]) -> None:
        self.name = name
        self.fields = fields
        self.chunks = chunks


class BodyStream:
    """One request's body, to be read once. `seconds` are for each wait, `whole_seconds` for all of it."""

    def __init__(self, request: Request, *, seconds: float, whole_seconds: float) -> None:
        self._request = request
        self._seconds = seconds
        self._until = asyncio.get_running_loop().time() + whole_seconds
        request.scope[BODY_OPEN] = True

    async def file(self, *, max_bytes: int, field: str = "file") -> FilePart:
        """The file of a form; its chunks are to be taken to their end.

        Raises `FileTooLargeError` when the declared length says so, `InvalidRequestError` when there is no such file,
        `BadRequestError` for what is no form. The chunks raise the last, `FileTooLargeError` and `BodyTimeoutError`.
        """
        form = Form(boundary_of(self._request.headers.get("content-type")), field)
        self._require_length(max_bytes + FORM_BYTES, max_bytes)
        received = self._received()
        async for data in received:
            form.feed(data)
            if form.file_name is not None:
                return FilePart(form.file_name, form.fields, _file_chunks(form, received))
        raise InvalidRequestError(errors=[{"loc": ["body", field], "msg": "Field required", "type": "missing"}])

    async def raw(self, *, max_bytes: int) -> AsyncIterator[bytes]:
        """The body itself. Raises as the chunks of `file` do."""
        self._require_length(max_bytes, max_bytes)
        async for data in self._received():
            yield data

    def _require_length(self, most: int, max_bytes: int) -> None:
        declared = self._request.headers.get("content-length")
        if declared is not None and (not declared.isdecimal() or len(declared) > _MOST_DIGITS or int(declared) > most):
            raise FileTooLargeError(f"The file may have at most {max_bytes} bytes")

    async def _received(self) -> AsyncIterator[bytes]:
        stream = self._request.stream()
        loop = asyncio.get_running_loop()
        while True:
            left = min(self._seconds, self._until - loop.time())
            try:
                with waiting_elsewhere(self._request):
                    async with asyncio.timeout(left):
                        data = await anext(stream, None)
            except ClientDisconnect as error:
                raise BadRequestError("The body ended early") from error
            except TimeoutError as error:
                raise BodyTimeoutError("The body comes too slowly") from error
            if data is None:
                self._request.scope[BODY_OPEN] = False
                return
            if data:
                yield data


async def _file_chunks(form: Form, received: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whatever of the file has been parsed, then what comes. All of the body is read, whatever stands behind it."""
    while True:
        for piece in form.take():
            yield piece
        data = await anext(received, None)
        if data is None:
            break
        form.feed(data)
    if not form.is_whole:
        raise BadRequestError("The form ended early")


async def _body_stream(request: Request) -> BodyStream:
    settings = services(request).settings
    return BodyStream(request, seconds=settings.body_timeout_seconds, whole_seconds=settings.upload_timeout_seconds)


StreamedBody = Annotated[BodyStream, Depends(_body_stream)]


def takes_stream(dependant: Dependant) -> bool:
    """Whether a route reads its body itself."""
    return any(inner.call is _body_stream or takes_stream(inner) for inner in dependant.dependencies)
