"""A bound for request bodies, announced or not, whose refusal is a problem document as every other."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from document_api.problems import BodyTooLargeError, render


class BodyLimit:
    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("Content-Length", "0")
        if not length.isdecimal() or int(length) > self._most:
            await render(BodyTooLargeError().problem, {"Connection": "close"})(scope, receive, send)
            return
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._most:
                # The framework lets its own exception through, and takes any other for a body that cannot be parsed.
                raise HTTPException(BodyTooLargeError.status)
            return message

        await self._app(scope, bounded, send)
