"""The HTTP server's protocol, uvicorn's own, with one thing more: a response may reset its connection.

ASGI has no way to do that, and a reader that takes nothing would keep its buffers for ever.
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from frontdesk.http.event_stream import SERVER_ABORT


class GatewayProtocol(HttpToolsProtocol):
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[SERVER_ABORT] = self.transport.abort  # type: ignore[literal-required]  # an extension of the scope
