"""Sockets whose clients take nothing, or next to nothing, cost little, are closed in time and can resume (R20)."""

import asyncio
import json
import random
import socket
from contextlib import AsyncExitStack, suppress
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed

from chaos import slow_readers
from chaos.findings import Findings
from chaos.slow_readers import ANSWER_SECONDS, LARGE, PATIENCE_SECONDS, RECEIVE_BUFFER, expect_bounded, pace
from harness.server import Server
from harness.sockets import Socket, open_socket, text_of
from harness.threads_client import ThreadsClient
from harness.transcript import whole

SETTINGS = {**slow_readers.SETTINGS, "gateway__sockets_per_caller": 1_000}
DRIBBLE_SECONDS = 0.6  # for a message of about 600 bytes


async def prove_slow_sockets(server: Server, *, readers: int) -> Findings:
    """Half of them read nothing at all, the others about 1 KB/s, of an answer of about 2 MB."""
    findings = Findings("slow sockets")
    client = await server.user("slow-sockets")
    paced = await pace(client)
    thread_id = await client.new_thread()
    execution_id = await client.begin(thread_id, LARGE)
    complete = await whole(client, thread_id, execution_id, seconds=ANSWER_SECONDS)
    resident, cut_before = server.resident_bytes, await server.metric("frontdesk_streams_cut_total")
    begun = perf_counter()
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(await _slow(server, client, thread_id)) for _ in range(readers)]
        dribbling = [asyncio.create_task(_dribble(one)) for one in sockets[::2]]
        held = server.unsent_bytes
        paced_meanwhile = await pace(client)
        grown = server.resident_bytes - resident
        cut = await server.settled("frontdesk_streams_cut_total", cut_before + readers, seconds=5 * PATIENCE_SECONDS)
        seconds = perf_counter() - begun
        for task in dribbling:
            task.cancel()
        await asyncio.gather(*dribbling, return_exceptions=True)
        for one in random.sample(sockets, min(readers, 5)):
            said = await _rest(server, client, thread_id, one)
            findings.expect("who resumed got other words", when=said == complete.text)
    open_now = await server.settled("frontdesk_sockets_open", 0, seconds=5)
    findings.expect(f"{cut - cut_before} of {readers} were closed", when=cut - cut_before == readers)
    findings.expect(f"{open_now} sockets are still open", when=open_now == 0)
    each = (max(0, grown) + held) / readers
    expect_bounded(findings, each, paced=paced, paced_meanwhile=paced_meanwhile)
    findings.counts |= {
        "sockets": readers,
        "KB a socket": each / 1024,
        "of them in the kernel": held / readers / 1024,
        "seconds until all were closed": seconds,
        "others, ms between tokens p99": paced_meanwhile * 1000,
    }
    return findings


async def _slow(server: Server, client: ThreadsClient, thread_id: str) -> Any:
    """A socket whose client takes in as little as the kernel permits, before it is opened."""
    connection = socket.socket()
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    place = urlsplit(server.url)
    await asyncio.get_running_loop().sock_connect(connection, (place.hostname, place.port))
    slow = {"sock": connection, "max_queue": 1, "ping_interval": None, "close_timeout": 0.1}
    return open_socket(server.url, thread_id, query="?after=0", headers=client.headers, **slow)


async def _dribble(one: Socket) -> None:
    with suppress(ConnectionClosed):
        while True:
            one.messages.append(json.loads(await one.connection.recv()))
            await asyncio.sleep(DRIBBLE_SECONDS)


async def _rest(server: Server, client: ThreadsClient, thread_id: str, one: Socket) -> str:
    """What a client sees in all who comes again behind the last message that reached it."""
    with suppress(ConnectionClosed):
        await one.closed(seconds=ANSWER_SECONDS)
    after = one.messages[-1]["seq"] if one.messages else 0
    async with open_socket(server.url, thread_id, query=f"?after={after}", headers=client.headers) as again:
        return text_of([*one.messages, *await again.answer(seconds=ANSWER_SECONDS)])
