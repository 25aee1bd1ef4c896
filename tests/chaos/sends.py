"""One key, one message, one answer (R6), and one order of messages for everybody (R26)."""

import asyncio
import random
import secrets
from typing import Any

from chaos.findings import Findings
from chaos.footing import Footing
from harness.model_stub import ModelStub
from harness.server import Server
from harness.threads_client import LOST, Reply, ThreadsClient
from harness.transcript import POLL_SECONDS, Transcript, follow, numbered, read

ANSWER_SECONDS = 60.0
TOKENS = 20


async def prove_one_effect(server: Server, stub: ModelStub, *, rounds: int, parallel: int = 100) -> Findings:
    """So many requests with one key at the same moment, half of the rounds on the streaming route."""
    findings = Findings("parallel sends with one key")
    client, other = await server.user("sends"), await server.user("other")
    for number in range(rounds):
        name = f"once{number}-{secrets.token_hex(4)}"
        body = {"text": name, "model": f"scripted?tokens={TOKENS}&key={name}"}
        thread_id = await client.new_thread()
        burst = _burst_of_streams if number % 2 else _burst
        await burst(findings, client, thread_id, body, parallel)
        await _judge_round(findings, client, stub, thread_id, name)
        path = f"/threads/{thread_id}/messages{'/stream' if number % 2 else ''}"
        changed = await client.ask("POST", path, {**body, "text": "another"}, key=name)
        refused = changed.status == 422 and changed.body["code"] == "idempotency_key_reused"
        findings.expect(f"another body was {changed.status}: {changed.body}", when=refused)
        elsewhere = await other.send(await other.new_thread(), name, key=name, model="scripted?tokens=0")
        independent = elsewhere.status == 201 and not elsewhere.replayed
        findings.expect(f"another user's same key was {elsewhere}", when=independent)
    findings.counts |= {"rounds": rounds, "requests": rounds * parallel}
    return findings


async def _burst(
    findings: Findings, client: ThreadsClient, thread_id: str, body: dict[str, Any], parallel: int
) -> None:
    replies = await asyncio.gather(*(client.send(thread_id, key=body["text"], **body) for _ in range(parallel)))
    statuses = sorted({reply.status for reply in replies})
    findings.expect(f"answered {statuses}", when=statuses == [201])
    findings.expect("answers differ", when=all(reply.body == replies[0].body for reply in replies))
    fresh = sum(not reply.replayed for reply in replies)
    findings.expect(f"{fresh} of {parallel} were not marked as replayed", when=fresh == 1)


async def _burst_of_streams(
    findings: Findings, client: ThreadsClient, thread_id: str, body: dict[str, Any], parallel: int
) -> None:
    async def one() -> tuple[bool, Transcript]:
        transcript = Transcript()
        async with (
            asyncio.timeout(ANSWER_SECONDS),
            client.stream(thread_id, key=body["text"], **body) as stream,
        ):
            findings.expect(f"a stream was {stream.status}", when=stream.status == 200)
            await read(stream, transcript)
            return stream.headers.get("idempotent-replayed") == "true", transcript

    read_all = await asyncio.gather(*(one() for _ in range(parallel)))
    fresh = sum(not replayed for replayed, _ in read_all)
    findings.expect(f"{fresh} of {parallel} streams were not marked as replayed", when=fresh == 1)
    findings.expect("streams differ", when=all(seen.text == numbered(TOKENS) for _, seen in read_all))
    findings.expect("streams' bytes differ", when=len({bytes(seen.frames) for _, seen in read_all}) == 1)


async def _judge_round(findings: Findings, client: ThreadsClient, stub: ModelStub, thread_id: str, name: str) -> None:
    stored = [message async for message in client.messages(thread_id)]
    users = [message for message in stored if message["role"] == "user"]
    findings.expect(f"{len(stored)} messages for one key", when=len(stored) == 2 and len(users) == 1)
    transcript = Transcript()
    await follow(client, thread_id, users[0]["execution_id"], transcript, seconds=ANSWER_SECONDS)
    calls = await stub.calls(name)
    findings.expect(f"{len(calls)} model calls for one key", when=len(calls) == 1)


async def prove_one_effect_across_kills(
    server: Server, stub: ModelStub, database: Footing, *, kills: int, parallel: int = 30
) -> Findings:
    """The server is killed during each burst; afterwards everything is asked again with the same keys."""
    findings = Findings("kill between commit and reply")
    client = await server.user("kept")
    answered = repeated = 0
    for number in range(kills):
        thread_id = await client.new_thread()
        names = [f"kept{number}-{place}-{secrets.token_hex(4)}" for place in range(parallel)]
        first: dict[str, Reply] = {}
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(_try_once(client, thread_id, name, first))
            await asyncio.sleep(random.uniform(0.0, 0.25))
            await server.kill_and_restart()
        answered += len(first)
        for name in names:
            reply = await _ask_again(client, thread_id, name)
            repeated += reply.replayed
            kept = name not in first or (first[name].body["id"] == reply.body["id"] and reply.replayed)
            findings.expect(f"{name} was acknowledged and then {reply}", when=kept and reply.status == 201)
        await _judge_kept(findings, client, stub, database, thread_id=thread_id, names=names)
    findings.counts |= {
        "kills": kills,
        "sends": kills * parallel,
        "answered before the kill": answered,
        "stored, and replayed after it": repeated,
    }
    return findings


def _kept_body(name: str) -> dict[str, Any]:
    return {"model": f"scripted?tokens=2&key={name}", "if_active": "queue"}


async def _try_once(client: ThreadsClient, thread_id: str, name: str, first: dict[str, Reply]) -> None:
    try:
        first[name] = await client.send(thread_id, name, key=name, **_kept_body(name))
    except LOST:
        return


async def _ask_again(client: ThreadsClient, thread_id: str, name: str) -> Reply:
    async with asyncio.timeout(ANSWER_SECONDS):
        while True:
            reply = await client.send(thread_id, name, key=name, **_kept_body(name))
            if reply.status != 503:
                return reply
            await asyncio.sleep(POLL_SECONDS)


async def _judge_kept(
    findings: Findings,
    client: ThreadsClient,
    stub: ModelStub,
    database: Footing,
    *,
    thread_id: str,
    names: list[str],
) -> None:
    stored = [message async for message in client.messages(thread_id)]
    users = {message["text"]: message["execution_id"] for message in stored if message["role"] == "user"}
    findings.expect(
        f"{len(stored)} messages for {len(names)} keys", when=len(stored) == 2 * len(names) == 2 * len(users)
    )
    for name, execution_id in users.items():
        transcript = Transcript()
        await follow(client, thread_id, execution_id, transcript, seconds=ANSWER_SECONDS)
        findings.expect(f"{name} ended {transcript.state}", when=transcript.text == numbered(2))
        calls = len(await stub.calls(name))
        attempts = (await database.rows(f"SELECT attempt FROM executions WHERE id = '{execution_id}'"))[0][0]  # noqa: S608  our own id
        findings.expect(f"{calls} model calls in {attempts} attempts: {name}", when=1 <= calls <= attempts)


async def prove_one_order(server: Server, *, sends: int, tabs: int = 2, pagers: int = 2) -> Findings:
    """Tabs send into one thread at once while others page through it: everybody sees one order."""
    findings = Findings("two tabs, one order")
    client = await server.user("tabs")
    thread_id = await client.new_thread()
    walks: list[list[str]] = []
    sending = True

    async def tab(name: str) -> None:
        for number in range(sends // tabs):
            body = {"model": "scripted?tokens=1", "if_active": "queue"}
            reply = await client.send(thread_id, f"{name} {number}", **body)
            findings.expect(f"a send was {reply}", when=reply.status == 201)

    async def pager() -> None:
        while sending:
            walks.append([message["id"] async for message in client.messages(thread_id, limit=7)])

    async with asyncio.TaskGroup() as group:
        paging = [group.create_task(pager()) for _ in range(pagers)]
        await asyncio.gather(*(tab(f"tab {number}") for number in range(tabs)))
        sending = False
        await asyncio.gather(*paging)
    stored = [message async for message in client.messages(thread_id)]
    order = [message["id"] for message in stored]
    findings.expect(f"{len(order)} messages of {sends} sends", when=len(order) == 2 * (sends // tabs) * tabs)
    findings.expect("ids and places disagree", when=order == sorted(order, reverse=True))
    for walk in walks:
        start = order.index(walk[0]) if walk else len(order)
        findings.expect("a reader of pages skipped or repeated", when=walk == order[start:])
    _judge_tabs(findings, stored, tabs)
    last = next(message for message in stored if message["role"] == "user")
    await follow(client, thread_id, last["execution_id"], Transcript(), seconds=ANSWER_SECONDS + sends / 10)
    unfinished = [m["id"] async for m in client.messages(thread_id) if m["status"] != "completed"]
    findings.expect(f"{len(unfinished)} messages without an answer", when=not unfinished)
    findings.counts |= {"sends": sends, "walks through the pages": len(walks)}
    return findings


def _judge_tabs(findings: Findings, stored: list[dict[str, Any]], tabs: int) -> None:
    """Each tab's messages are in the order in which it sent them."""
    texts = [message["text"] for message in reversed(stored) if message["role"] == "user"]
    for number in range(tabs):
        own = [text for text in texts if text.startswith(f"tab {number} ")]
        wanted = [f"tab {number} {place}" for place in range(len(own))]
        findings.expect(f"tab {number}'s messages are out of order", when=own == wanted)
