"""An agent's runtime behind HTTP, in a process of its own: it does what the user's message says, and errs on demand.

It keeps its sessions, and answers a repeated `Idempotency-Key` with what it answered the first time.
"""

import asyncio
import json
import socket
import struct
import sys
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from harness.agent_script import call_of, commands, tokens_of, words

SECRET = "sk-runtime-do-not-forward"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
FINAL = {"type": "assistant_message", "token": "", "is_final": True}
Frame = dict[str, Any] | str | float  # a message, a misdeed, or seconds to pass


@dataclass
class Session:
    content: str = ""
    segment: int = 0
    outstanding: set[str] = field(default_factory=set)
    results: list[str] = field(default_factory=list)

    def next_frames(self) -> list[Frame]:
        frames: list[Frame] = []
        for number, (verb, rest) in enumerate(commands(self.content, self.segment)):
            if verb == "say":
                tokens, pause = tokens_of(rest)
                frames += [frame for token in tokens for frame in (_said(token), pause)]
            elif verb == "heard":
                frames += [_said(word) for word in words(self.results)]
            elif verb in {"tool", "approve"}:
                name, arguments = call_of(rest)
                call_id = arguments.pop("call_id", f"c{self.segment}_{number}")
                self.outstanding.add(call_id)
                call = {"call_id": call_id, "tool_name": name, "arguments": arguments}
                frames.append({"type": "tool_call", **call, "requires_approval": verb == "approve"})
            else:
                frames.append(f"{verb} {rest}")
        self.segment += 1
        return frames if self.outstanding else [*frames, FINAL]


class Runtime:
    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._answered: dict[str, list[Frame]] = {}
        self.requests: list[dict[str, Any]] = []

    def frames(self, body: dict[str, Any], key: str) -> list[Frame]:
        if key not in self._answered:
            self._answered[key] = self._new_frames(body)
        return self._answered[key]

    def _new_frames(self, body: dict[str, Any]) -> list[Frame]:
        session = self._sessions.setdefault(body["session_id"], Session())
        if body["type"] == "user_message":
            self._sessions[body["session_id"]] = session = Session(content=body["content"])
            return session.next_frames()
        if body["call_id"] not in session.outstanding:
            return [{"type": "error", "content": f"unknown call {SECRET}"}]
        session.outstanding.discard(body["call_id"])
        told = body.get("result") or body.get("error") or json.dumps(body["decision"])
        session.results.append(told)
        return [] if session.outstanding else session.next_frames()


def _said(token: str) -> dict[str, Any]:
    return {"type": "assistant_message", "token": token, "is_final": False}


class Exchange:
    def __init__(self, runtime: Runtime, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._runtime = runtime
        self._reader = reader
        self._writer = writer
        self._is_bare = False

    async def one(self) -> None:
        line, *fields = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in fields)}
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        url = urlsplit(line.split(" ")[1])
        if url.path == "/stub/requests":
            session = parse_qs(url.query)["session"][0]
            found = [one for one in self._runtime.requests if one["body"]["session_id"] == session]
            await self._answer(200, json.dumps(found).encode())
            return
        record = {"path": url.path, "headers": headers, "body": json.loads(body), "ended": None}
        self._runtime.requests.append(record)
        if headers.get("x-internal-auth") != "the-key":
            await self._answer(401, b'{"detail":"no"}')
            return
        if record["body"]["type"] == "cancel":
            await self._answer(200, b"")
            return
        frames = self._runtime.frames(record["body"], headers["idempotency-key"])
        await self._play(record, frames)

    async def _play(self, record: dict[str, Any], frames: list[Frame]) -> None:
        if frames and isinstance(frames[0], str) and await self._refused(frames[0]):
            return
        self._writer.write(HEAD)
        sending = asyncio.create_task(self._send(frames))
        leaving = asyncio.create_task(self._reader.read(1))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            record["ended"] = "answered" if sending.done() else "closed by client"
            if not sending.done():
                raise ConnectionError
            await sending
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.wait({sending, leaving})

    async def _send(self, frames: list[Frame]) -> None:
        for frame in frames:
            if isinstance(frame, float):
                await self._writer.drain()
                await asyncio.sleep(frame)
            elif isinstance(frame, str):
                await self._misdeed(frame)
            else:
                self._event("message", frame)
        self._event("done", {"status": "completed"})
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def _event(self, name: str, value: dict[str, Any]) -> None:
        if self._is_bare:
            if name == "done":
                return
            value = {key: value[key] for key in ("token", "is_final")}
        line = b"" if self._is_bare else f"event: {name}\n".encode()
        self._chunk(line + b"data: " + json.dumps(value).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self._writer.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def _refused(self, misdeed: str) -> bool:
        verb, _, rest = misdeed.strip().partition(" ")
        if verb == "status":
            location = [("Location", "/agent/message/stream/elsewhere")] if rest.startswith("3") else []
            await self._answer(int(rest), SECRET.encode(), location)
        elif verb == "html":
            await self._answer(200, f"<h1>{SECRET}</h1>".encode(), [("Content-Type", "text/html")])
        elif verb == "drop":
            self._writer.close()
        elif verb == "mute":
            await asyncio.sleep(600)
        else:
            return False
        return True

    async def _misdeed(self, misdeed: str) -> None:
        verb, _, rest = misdeed.strip().partition(" ")
        await self._writer.drain()
        if verb == "raw":
            self._chunk(b"data: " + rest.encode() + b"\n\n")
        elif verb == "bare":
            self._is_bare = True
        elif verb == "beat":
            self._chunk(b": beat\n\n")
        elif verb == "hang":
            await asyncio.sleep(600)
        elif verb == "raise":
            self._event("message", {"type": "error", "content": SECRET})
        elif verb == "cut":
            self._writer.write(b"0\r\n\r\n")
            await self._writer.drain()
            self._writer.close()
        elif verb == "reset":
            sock = self._writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()

    async def _answer(self, status: int, body: bytes, headers: list[tuple[str, str]] | None = None) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers or []]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        await self._writer.drain()


async def main(port: int) -> None:
    runtime = Runtime()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = Exchange(runtime, reader, writer)
        try:
            while not writer.is_closing():
                await exchange.one()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{port}"}) + "\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
