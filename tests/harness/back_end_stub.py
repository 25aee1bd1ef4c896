"""A back end that keeps what came over the wire, byte for byte, and answers as its paths say: a program of its own.

It speaks HTTP/1.1 by hand, so that no library tidies a request line before it is recorded.
"""

import asyncio
import json
import sys
from itertools import count
from typing import Any
from urllib.parse import unquote, urlsplit

Headers = list[tuple[str, str]]
JSON: Headers = [("Content-Type", "application/json")]
PIECE = b"x" * 65_536
_records: list[dict[str, Any]] = []
_connections = count(1)


def openapi() -> dict[str, Any]:
    text = {"type": "string"}
    echo = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Echo"}}}, "required": True}
    number = {"name": "number", "in": "path", "required": True, "schema": {"type": "integer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "stub", "version": "1"},
        "paths": {
            "/echo": {"post": {"operationId": "echo", "requestBody": echo}},
            "/status/{number}": {"post": {"operationId": "fail", "parameters": [number]}},
            "/hang": {"post": {"operationId": "hang"}},
            "/large/{number}": {"get": {"operationId": "large", "parameters": [number]}},
        },
        "components": {
            "schemas": {"Echo": {"type": "object", "properties": {"text": text}, "required": ["text"]}},
        },
    }


class Exchange:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = next(_connections)
        self.record: dict[str, Any] = {}

    async def one(self) -> None:
        head = await self._reader.readuntil(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")[:-2]
        headers = [tuple(part.strip() for part in field.split(":", 1)) for field in fields]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        body = await self._reader.readexactly(length)
        self.record = {
            "line": line,
            "headers": headers,
            "body": body.decode("latin-1"),
            "connection": self._connection,
            "sent": 0,
        }
        path = urlsplit(line.split(" ")[1]).path
        if path == "/stub/requests":
            await self.answer(200, JSON, json.dumps(_records).encode())
            return
        if path != "/openapi.json":
            _records.append(self.record)
        await self._answer_path(path)

    async def _answer_path(self, path: str) -> None:
        name, _, rest = path.removeprefix("/").partition("/")
        handler = getattr(self, f"on_{name.replace('-', '_').replace('.', '_')}", self.on_echo)
        await handler(unquote(rest))

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        await self._writer.drain()

    async def on_echo(self, _rest: str) -> None:
        await self.answer(200, JSON, json.dumps(self.record).encode())

    async def on_openapi_json(self, _rest: str) -> None:
        await self.answer(200, JSON, json.dumps(openapi()).encode())

    async def on_status(self, rest: str) -> None:
        await self.answer(int(rest), JSON, b"" if rest == "204" else json.dumps({"status": int(rest)}).encode())

    async def on_sleep(self, rest: str) -> None:
        """So many milliseconds."""
        await asyncio.sleep(int(rest) / 1000)
        await self.on_echo(rest)

    async def on_api(self, _rest: str) -> None:
        """A session's events: none, ever."""
        await self.answer(200, JSON, json.dumps({"events": [], "next": "0"}).encode())

    async def on_hang(self, _rest: str) -> None:
        await asyncio.sleep(600)

    async def on_half(self, _rest: str) -> None:
        self._writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf")
        await self._writer.drain()
        await asyncio.sleep(600)

    async def on_cut(self, _rest: str) -> None:
        self._writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf")
        self._writer.close()

    async def on_drop(self, _rest: str) -> None:
        self._writer.close()

    async def on_garbage(self, _rest: str) -> None:
        self._writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        self._writer.close()

    async def on_redirect(self, _rest: str) -> None:
        await self.answer(302, [("Location", "/echo/redirected")], b"")

    async def on_binary(self, _rest: str) -> None:
        await self.answer(200, [("Content-Type", "image/png")], b"\x89PNG\x00")

    async def on_wrong_charset(self, _rest: str) -> None:
        await self.answer(200, [("Content-Type", "text/plain")], b"\xff\xfe\xfd")

    async def on_gzip(self, _rest: str) -> None:
        await self.answer(200, [*JSON, ("Content-Encoding", "gzip")], b"\x1f\x8b")

    async def on_headers(self, _rest: str) -> None:
        headers = [
            ("Content-Type", "text/plain"),
            ("Set-Cookie", "session_id=stolen"),
            ("Connection", "x-hop"),
            ("X-Hop", "1"),
            ("Keep-Alive", "timeout=1"),
            ("X-Kept", "2"),
        ]
        await self.answer(201, headers, b"made")

    async def on_large(self, rest: str) -> None:
        """That many bytes, in pieces, without saying how many."""
        self._writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        left = int(rest)
        while left > 0:
            piece = PIECE[:left]
            self._writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await self._writer.drain()
            left -= len(piece)
            self.record["sent"] += len(piece)
        self._writer.write(b"0\r\n\r\n")


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    exchange = Exchange(reader, writer)
    try:
        while not writer.is_closing():
            await exchange.one()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main(port: int) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{port}"}) + "\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
