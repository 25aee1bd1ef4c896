"""WebSockets cut at random and resumed, at any replica and beside an event stream (R2, R4), and frames of any kind
(S13).
"""

import asyncio
import json
import random
import string
from collections.abc import Sequence
from itertools import count
from typing import Any

from websockets.exceptions import InvalidHandshake, WebSocketException

from chaos.findings import Findings
from chaos.topology import Topology
from harness.fault_proxy import FaultProxy, Faults
from harness.server import Server
from harness.sockets import is_end, open_socket, text_of
from harness.threads_client import ThreadsClient
from harness.transcript import whole

ANSWER_SECONDS = 60.0
SEND_AT_ONCE = 100
FRAMES_MEGABYTES = 10.0
LONGEST_PIECE = 6_000
LOST = (OSError, EOFError, WebSocketException, TimeoutError)
SENTINEL = {"type": "user_message", "content": "x", "role": "assistant"}
SCRIPTS = (
    "tokens=150&pause_ms=4",
    "tokens=150&pause_ms=4&unicode=1",
    "tokens=150&pause_ms=4&error_at=120",
    "tokens=600&size=120",
    "tokens=150&pause_ms=4&agent_status=completed",
    "tokens=150&pause_ms=4&reset_at=100",
    "tokens=1",
)


async def prove_socket_cuts(server: Server, *, cuts: int, readers: int = 4) -> Findings:
    """Each answer has a reader of each wire that is left alone, and a socket that is cut until it has seen the end."""
    client = await server.user("socket-cuts")
    return await _prove(client, [server], cuts=cuts, readers=readers)


async def prove_socket_hops(topology: Topology, *, cuts: int, readers: int = 4) -> Findings:
    """As `prove_socket_cuts`, but whoever is cut comes back to any replica."""
    client = await topology.user("socket-hops")
    return await _prove(client, topology.servers, cuts=cuts, readers=readers)


async def _prove(client: ThreadsClient, servers: Sequence[Server], *, cuts: int, readers: int) -> Findings:
    findings = Findings("sockets")
    numbers, tally = count(), count()
    made = 0

    async def keep_cutting(proxies: Sequence[FaultProxy]) -> None:
        nonlocal made
        while made < cuts:
            script = f"scripted?{SCRIPTS[next(numbers) % len(SCRIPTS)]}"
            thread_id = await client.new_thread()
            execution_id = await client.begin(thread_id, script)
            left_alone, stream, (cut, times) = await asyncio.gather(
                _whole(client, random.choice(servers), thread_id),
                whole(client, thread_id, execution_id, seconds=ANSWER_SECONDS),
                _cut_up(client, proxies, thread_id),
            )
            again, more = await _cut_up(client, proxies, thread_id)
            made += times + more
            next(tally)
            for kind, seen in (("live", cut), ("over", again)):
                findings.faults += [f"{script}: {kind}: {fault}" for fault in _faults(seen, left_alone)]
            findings.expect(f"{script}: the event stream says other words", when=stream.text == text_of(left_alone))

    async with asyncio.TaskGroup() as group:
        for _ in range(readers):
            group.create_task(_with_proxies(servers, keep_cutting))
    findings.counts |= {"sockets cut": made, "answers compared": next(tally)}
    return findings


async def _with_proxies(servers: Sequence[Server], work: Any) -> None:
    """Its own, one before each server: what one reader's network does is not another's."""
    proxies = [FaultProxy("127.0.0.1", server.port) for server in servers]
    for proxy in proxies:
        await proxy.__aenter__()
    try:
        await work(proxies)
    finally:
        for proxy in proxies:
            await proxy.__aexit__(None, None, None)


async def _whole(client: ThreadsClient, server: Server, thread_id: str) -> list[dict[str, Any]]:
    async with open_socket(server.url, thread_id, query="?after=0", headers=client.headers) as socket:
        return await socket.answer(seconds=ANSWER_SECONDS)


async def _cut_up(
    client: ThreadsClient, proxies: Sequence[FaultProxy], thread_id: str
) -> tuple[list[dict[str, Any]], int]:
    """All that a reader sees that is cut again and again, and how often it was."""
    seen: list[dict[str, Any]] = []
    times = 0
    async with asyncio.timeout(ANSWER_SECONDS):
        while not seen or not is_end(seen[-1]):
            proxy, size = random.choice(proxies), random.randint(250, LONGEST_PIECE)
            proxy.switch(random.choice((Faults(reset_after=size), Faults(cut_after=size))))
            times += await _read_piece(client, proxy, thread_id, seen)
    return seen, times


async def _read_piece(client: ThreadsClient, proxy: FaultProxy, thread_id: str, seen: list[dict[str, Any]]) -> bool:
    """True when the cut came before the end. Where to go on stands in the address, or is the first message."""
    after = next((message["seq"] for message in reversed(seen) if "seq" in message), 0)
    in_address = random.random() < 0.5 or not after
    query = f"?after={after}" if in_address else ""
    try:
        async with open_socket(
            f"http://127.0.0.1:{proxy.port}", thread_id, query=query, headers=client.headers, close_timeout=0.1
        ) as socket:
            if not in_address:
                await socket.send({"type": "resume", "after": after})
            while not seen or not is_end(seen[-1]):
                seen.append(await socket.next(seconds=ANSWER_SECONDS))
    except (*LOST, InvalidHandshake):
        return True
    return False


def _faults(seen: Sequence[dict[str, Any]], whole_one: Sequence[dict[str, Any]]) -> list[str]:
    """Joined tokens are as good as single ones."""
    faults = []
    if text_of(seen) != text_of(whole_one):
        faults.append(f"other words: {text_of(seen)[-80:]!r} for {text_of(whole_one)[-80:]!r}")
    seqs = [message["seq"] for message in seen]
    if sorted(set(seqs)) != seqs:
        faults.append("places that do not grow")
    if [message for message in seen if is_end(message)] != [whole_one[-1]]:
        faults.append(f"another end: {seen[-1]}")
    return faults


async def prove_frames(server: Server, *, frames: int) -> Findings:
    """Each is answered with an error or closes its socket; the process stays, and answers as before."""
    findings = Findings("frames")
    client = await server.user("frames")
    pid, rng = server.process.pid, random.Random()
    sent = closed = 0
    warm = min(frames // 10, 5_000)
    resident = 0
    while sent < frames:
        if sent >= warm and not resident:
            resident = server.resident_bytes
        async with open_socket(server.url, "frames", headers=client.headers, close_timeout=1) as socket:
            try:
                for _ in range(SEND_AT_ONCE):
                    await socket.send(junk(rng))
                    sent += 1
                await socket.send(SENTINEL)
                await socket.until(lambda message: message.get("content") == "role must be user or system")
            except WebSocketException:
                closed += 1
                code = (await socket.closed())[0]
                findings.expect(f"closed with {code}", when=code in {1003, 1007, 1009})
    async with open_socket(server.url, "framed", headers=client.headers) as socket:
        error = await socket.refusal("{")
    findings.expect(f"answered {error!r}", when=error == "Invalid JSON message")
    findings.expect("another process", when=pid == server.process.pid)
    grown = (server.resident_bytes - resident) / 2**20
    findings.at_most(f"memory grew by {grown:.1f} MB", grown, FRAMES_MEGABYTES)
    broken = server.log.read_text().count("broke")
    findings.expect(f"{broken} failures in the log", when=broken == 0)
    findings.counts |= {"frames": sent, "sockets closed for one": closed, "MB grown": grown}
    return findings


def junk(rng: random.Random) -> str | bytes:
    """A message that is wrong in some way, mostly as JSON."""
    kinds = ["user_message", "cancel", "resume", "tool_result", "hitl_decision", "x", None, 1, {}, []]
    values: list[Any] = [None, "", 0, -1, 2**63, 1.5, [], {}, True, "a" * 70, {"a": [1]}, "approve", "\ud800", "\0"]
    chance = rng.random()
    if chance < 0.001:
        return rng.randbytes(20)
    if chance < 0.3:
        return "".join(rng.choices(string.printable, k=rng.randrange(60)))
    if chance < 0.32:
        return "[" * rng.randrange(1, 5_000)
    names = ["call_id", "result", "error", "decision", "after", "modified_arguments", "feedback", "role"]
    message = {"type": rng.choice(kinds), **{name: rng.choice(values) for name in rng.sample(names, 4)}}
    if message["type"] == "user_message":
        message["content"] = rng.choice([None, "", 5, [], {}])
    if message["type"] == "resume":
        message["after"] = rng.choice([None, -1, 1.5, "1", [], 2**53])
    return json.dumps(message)
