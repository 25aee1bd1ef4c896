"""Figures of the session gateway: feeds and their polls, the cost of an invocation, the memory of what passes through.

    PYTHONPATH=src:tests python -m chaos.sessions [--small]

The served program, the recording back end and this client are three processes on one machine.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from harness.processes import SOURCE, Process
from harness.server import Server, serve
from harness.sessions import write_tools
from harness.sse_client import SseStream, open_sse
from harness.tool_sources import BackEndStub

TESTS = Path(__file__).parents[1]
BACK_END_MILLISECONDS = range(300, 701)  # were it the same each time, whoever has been late once would stay together
MEGABYTES = 50
POLL_SECONDS = 3.0


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _told(name: str, value: float, limit: float, unit: str) -> bool:
    fits = value <= limit
    sys.stdout.write(f"{name:<46} {value:8.2f} {unit:<3} (at most {limit:g}) {'ok' if fits else 'MISSED'}\n")
    sys.stdout.flush()
    return fits


async def _ask(server: Server, path: str, body: dict[str, Any], session_id: str | None = None) -> tuple[int, bytes]:
    headers = {} if session_id is None else {"X-Agent-Session-Id": session_id}
    async with server.session.post(server.url + path, json=body, headers=headers) as response:
        return response.status, await response.read()


async def _sessions(server: Server, count: int) -> list[str]:
    return [json.loads((await _ask(server, "/chat/sessions", {}))[1])["id"] for _ in range(count)]


class _Watched:
    """A feed that notes when each message came."""

    def __init__(self, stream: SseStream) -> None:
        self.came: dict[str, float] = {}
        self.ready = asyncio.Event()
        self._stream = stream

    async def read(self) -> None:
        async for event in self._stream:
            now = time.perf_counter()
            if event.type == "snapshot":
                self.ready.set()
            elif event.type == "message" and event.data is not None:
                self.came[json.loads(event.data)["content"]] = now


async def measure_feeds(server: Server, stub: BackEndStub, *, sessions: int, each: int, seconds: float) -> bool:
    ids = await _sessions(server, sessions)
    async with AsyncExitStack() as stack:
        feeds: dict[str, list[_Watched]] = {}
        reading = []
        for session_id in ids:
            url = f"{server.url}/chat/sessions/{session_id}/events"
            feeds[session_id] = [_Watched(await stack.enter_async_context(open_sse(url))) for _ in range(each)]
            reading += [asyncio.create_task(feed.read()) for feed in feeds[session_id]]
        await asyncio.gather(*(feed.ready.wait() for of in feeds.values() for feed in of))
        before, begun = await stub.counts(), time.perf_counter()
        sent: dict[str, tuple[str, float]] = {}
        while time.perf_counter() - begun < seconds:
            session_id, text = ids[len(sent) % sessions], f"m{len(sent)}"
            sent[text] = (session_id, time.perf_counter())
            path = f"/chat/sessions/{session_id}/messages"
            assert (await _ask(server, path, {"role": "user", "content": text}))[0] == 201
            await asyncio.sleep(0.05)
        after, took = await stub.counts(), time.perf_counter() - begun
        polls = [after[session_id] - before[session_id] for session_id in ids]
        await asyncio.sleep(1)
        late = [(feed.came[text] - at) * 1000 for text, (of, at) in sent.items() for feed in feeds[of]]
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
    sys.stdout.write(f"{sessions * each} feeds, {sessions} sessions, {len(sent)} messages, {took:.0f} s\n")
    most = max(polls) / (took / POLL_SECONDS + 1)
    met = [
        _told("polls per session and period, at the most", most, 1.0, ""),
        _told("own message at every feed, median", statistics.median(late), 50, "ms"),
        _told("own message at every feed, 95th percentile", _percentile(late, 0.95), 50, "ms"),
    ]
    return all(met)


async def measure_invocations(server: Server, *, at_once: int, rounds: int) -> bool:
    """Over what the same back end takes by itself, asked in the same way over HTTP/1.1 connections that are kept.

    A call's own time at the back end is known and differs, and is taken off either way.
    """
    ids = await _sessions(server, at_once)

    async def through(session_id: str, milliseconds: int) -> None:
        body = {"arguments": {"number": milliseconds}}
        status, answer = await _ask(server, "/agent/tools/slow/invoke", body, session_id)
        assert status == 200, answer

    async def direct(_session_id: str, milliseconds: int) -> None:
        url = f"{server.settings['api_base_url']}/sleep/{milliseconds}"
        async with server.session.post(url, json={}) as response:
            await response.read()

    async def timed(one: Any, session_id: str) -> float:
        milliseconds, begun = random.choice(BACK_END_MILLISECONDS), time.perf_counter()
        await one(session_id, milliseconds)
        return (time.perf_counter() - begun) * 1000 - milliseconds

    async def run(one: Any) -> list[float]:
        async def caller(number: int) -> list[float]:
            await asyncio.sleep(number / at_once * BACK_END_MILLISECONDS[-1] / 1000)  # not all in one moment
            return [await timed(one, ids[number]) for _ in range(rounds)]

        return [took for taken in await asyncio.gather(*map(caller, range(at_once))) for took in taken]

    await run(through)
    own, busy = await run(direct), server.cpu_seconds
    all_ = await run(through)
    sys.stdout.write(f"the gateway's CPU: {(server.cpu_seconds - busy) / len(all_) * 1000:.2f} ms a call\n")
    spread = f"{BACK_END_MILLISECONDS[0]} to {BACK_END_MILLISECONDS[-1]} ms"
    sys.stdout.write(f"{at_once} calls at once, {len(all_)} in all, {spread} each at the back end\n")
    met = [
        _told("added to a call, median", statistics.median(all_) - statistics.median(own), 3, "ms"),
        _told("added to a call, 95th percentile", _percentile(all_, 0.95) - _percentile(own, 0.95), 8, "ms"),
    ]
    return all(met)


async def measure_passing(server: Server) -> bool:
    (session_id,) = await _sessions(server, 1)
    path = "/agent/tools/flood/invoke"
    await _ask(server, path, {"number": 1_000_000}, session_id)
    before, most = server.resident_bytes, 0
    headers = {"X-Agent-Session-Id": session_id}
    received = 0
    async with server.session.post(
        server.url + path, json={"number": MEGABYTES * 1_000_000}, headers=headers
    ) as response:
        async for piece in response.content.iter_any():
            received += len(piece)
            if received % 7 == 0:
                await asyncio.sleep(0.002)  # a reader that is not the fastest
            most = max(most, server.resident_bytes)
    assert received == MEGABYTES * 1_000_000, received
    return _told(f"memory while {MEGABYTES} MB pass", (most - before) / 1_000_000, 10, "MB")


async def main(*, small: bool) -> bool:
    folder = Path(tempfile.mkdtemp())
    paths = {"PYTHONPATH": f"{SOURCE}:{TESTS}"}
    with Process("harness.back_end_stub", "0", log=folder / "stub.log", environment=paths) as process:
        stub = BackEndStub(process.ready_line()["url"])
        async with serve(
            database_url=f"sqlite:///{folder / 'app.db'}",
            model_url="http://127.0.0.1:9/v1",
            directory=folder,
            api_base_url=stub.url,
            tools_file=write_tools(folder),
            session_poll_seconds=POLL_SECONDS,
            tool_max_response_bytes=100_000_000,
            log_level="WARNING",
        ) as server:
            met = [
                await measure_passing(server),
                await measure_invocations(server, at_once=50, rounds=3 if small else 20),
                await measure_feeds(
                    server, stub, sessions=10 if small else 50, each=10, seconds=10.0 if small else 30.0
                ),
            ]
    return all(met)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="chaos.sessions", description=__doc__)
    parser.add_argument("--small", action="store_true", help="a tenth of the feeds, a seventh of the calls")
    sys.exit(0 if asyncio.run(main(small=parser.parse_args().small)) else 1)
