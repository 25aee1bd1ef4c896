"""The provider's answer to its reader: what one read brought is written in that read's own callback."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from frontdesk.errors import FrontdeskError
from frontdesk.http.event_stream import SERVER_WIRE, OpenStreams, Wire, holder_of
from frontdesk.identity.holders import Holder
from frontdesk.ports.language_model import ModelCallError
from frontdesk.ports.model_relay import RelayedAnswer
from frontdesk.surfaces.llm_proxy.passage import Passage

_logger = structlog.get_logger(__name__)


class PassedOn(Response):
    """Owns the provider's answer. A reader that leaves ends it at the provider, and one that is slow slows the provider
    down: no more is read than is taken. `settle` is called once it has ended, and before its reader is told of the end.

    Needs a server that gives its `Wire`.
    """

    def __init__(
        self,
        answer: RelayedAnswer,
        passage: Passage,
        streams: OpenStreams,
        *,
        headers: dict[str, str],
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        self.background = None
        self.status_code = answer.status
        self.is_endless = False
        self.holder: Holder | None = None
        self.blocked_since: float | None = None
        self.wrote_at = 0.0
        self._answer = answer
        self._passage = passage
        self._streams = streams
        self._extra_headers = headers
        self._settle = settle
        loop = asyncio.get_running_loop()
        self._time = loop.time
        self._ended: asyncio.Future[None] = loop.create_future()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  it reads no more
        self._wire: Wire = scope[SERVER_WIRE]
        self.holder = holder_of(scope)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._extra_headers.items()]
        self._streams.add(self)
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
            self._wire.watch(self._on_change)
            self._answer.read(self)
            self._on_change()
            await self._ended
        finally:
            self._streams.remove(self)
            self._answer.leave()
            await self._settle()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def feed(self, data: bytes) -> None:
        """What one read of the provider's connection brought."""
        if self._ended.done():
            return
        try:
            self._write(self._passage.feed(data))
        except ModelCallError as error:
            self.end(error)

    def end(self, error: FrontdeskError | None) -> None:
        if self._ended.done():
            return
        if error is None:
            self._write(self._passage.close())
        else:
            self._break_off(error)
        self._ended.set_result(None)

    def wake(self) -> None:
        """Nothing is put between the provider's words."""

    def send_away(self) -> None:
        """The server ends. There is no other place where this answer goes on."""
        self.end(ModelCallError("interrupted", "The server is going away"))

    def cut(self) -> None:
        self._wire.reset()

    def revoke(self) -> None:
        if self._wire.paused:
            self._wire.reset()
        self.end(ModelCallError("revoked", "The credential does not count any more"))

    def readmit(self, holder: Holder) -> None:
        """Which agents and products somebody may use says nothing of models."""

    def _break_off(self, error: FrontdeskError) -> None:
        _logger.warning("a proxied answer broke off", kind=getattr(error, "kind", error.code))
        said = self._passage.failed(error) if isinstance(error, ModelCallError) else None
        if said is None:  # the head has left: only an end without an end can tell
            self._wire.abort()
        else:
            self._write(said)

    def _write(self, data: bytes) -> None:
        if not data or self._wire.lost:
            return
        self._wire.write(data)
        self.wrote_at = self._time()
        if self._wire.paused:
            self.blocked_since = self.blocked_since or self.wrote_at
            self._answer.hold()

    def _on_change(self) -> None:
        """The reader has caught up or is lost."""
        if self._wire.lost:
            if not self._ended.done():
                self._ended.set_result(None)
        elif not self._wire.paused:
            self.blocked_since = None
            self._answer.go_on()
