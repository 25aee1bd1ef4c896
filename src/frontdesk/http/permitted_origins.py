"""The origins whose pages may call from a browser (Fetch, 3.2), as the configuration names them."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send


class PermittedOrigins:
    """Pages of `origins` call with tokens and never with cookies. What stands below the path `apart` says itself which
    pages may, and is passed on as it came.
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str], apart: str) -> None:
        self._app = app
        self._apart = apart
        self._permitting = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=["Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-Id"],
            max_age=600,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_apart = scope["type"] == "http" and scope["path"].startswith(self._apart)
        await (self._app if is_apart else self._permitting)(scope, receive, send)
