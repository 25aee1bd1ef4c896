"""Connections between two requests: how long they are kept, what becomes of a request that comes as one is closed."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from frontdesk.http import server as http_server
from frontdesk.http.server import GatewayProtocol

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = b"HTTP/1.1 204 No Content\r\n"
SECONDS = 20


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


class Line:
    """A client's connection, written to without the loop's help, and the server's end of it."""

    def __init__(self, client: socket.socket, server: uvicorn.Server) -> None:
        self.client = client
        self._server = server

    async def accepted(self) -> GatewayProtocol:
        async with asyncio.timeout(SECONDS):
            while not self._server.server_state.connections:  # noqa: ASYNC110  the loop's doing
                await asyncio.sleep(0)
        (protocol,) = self._server.server_state.connections
        assert isinstance(protocol, GatewayProtocol)
        return protocol

    async def read(self) -> bytes:
        """Empty at the end."""
        async with asyncio.timeout(SECONDS):
            return await asyncio.get_running_loop().sock_recv(self.client, 65_536)

    async def exchange(self) -> bytes:
        self.client.sendall(REQUEST)
        return await self.read()


@asynccontextmanager
async def _line() -> AsyncIterator[Line]:
    config = uvicorn.Config(_nothing, http=GatewayProtocol, lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, listening.getsockname())
        try:
            yield Line(client, server)
        finally:
            server.should_exit = True
            await serving


async def test_a_connection_that_is_idle_for_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(http_server, "IDLE_SECONDS", 0.4)
    async with _line() as line:
        assert (await line.exchange()).startswith(ANSWER)
        assert (await line.exchange()).startswith(ANSWER)
        assert await line.read() == b""


async def test_so_is_one_whose_last_body_came_after_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "IDLE_SECONDS", 0.0)
    async with _line() as line:
        line.client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
        assert (await line.read()).startswith(ANSWER)
        line.client.sendall(b"{}")
        protocol = await line.accepted()
        async with asyncio.timeout(SECONDS):
            while not protocol._in_head:  # noqa: ASYNC110  the loop's doing
                await asyncio.sleep(0)
        protocol._check_time()
        assert await line.read() == b""


async def test_it_is_not_closed_on_a_request_that_the_loop_has_not_read_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "IDLE_SECONDS", 0.0)
    async with _line() as line:
        assert (await line.exchange()).startswith(ANSWER)
        protocol = await line.accepted()
        line.client.sendall(REQUEST)
        protocol._check_time()
        assert (await line.read()).startswith(ANSWER)
        protocol._check_time()
        assert await line.read() == b""


@pytest.mark.parametrize("before", [0, 1])
async def test_a_server_that_leaves_answers_what_has_come_and_closes(before: int) -> None:
    async with _line() as line:
        for _ in range(before):
            assert (await line.exchange()).startswith(ANSWER)
        protocol = await line.accepted()
        line.client.sendall(REQUEST)
        protocol.shutdown()
        answer = await line.read()
        assert answer.startswith(ANSWER)
        assert b"\r\nconnection: close\r\n" in answer
        assert await line.read() == b""


async def test_a_server_that_leaves_closes_what_is_idle() -> None:
    async with _line() as line:
        assert (await line.exchange()).startswith(ANSWER)
        (await line.accepted()).shutdown()
        assert await line.read() == b""
