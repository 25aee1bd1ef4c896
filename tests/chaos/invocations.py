"""Invocations of tools with whatever a caller can think of: only what is listed reaches the back end (S11).

Canaries stand in every header and cookie, tricks in every argument, other people's sessions, and tools that there are
not. The back end, a process of its own, is asked afterwards what it was sent.
"""

import asyncio
import json
import random
import string
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from yarl import URL

from chaos.findings import Findings
from harness.ports import lasting_port
from harness.processes import Process
from harness.server import Server
from harness.sessions import write_tools
from harness.threads_client import ThreadsClient
from harness.tool_sources import PATHS, BackEndStub

BACK_END_PORTS = range(23100, 23200)
AT_ONCE = 8
CANARY = "canary"
LISTED = {
    "accept",
    "accept-language",
    "authorization",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "idempotency-key",
    "traceparent",
    "x-agent-session-id",
}
HEADERS = (
    "Connection",
    "Forwarded",
    "From",
    "If-Match",
    "If-None-Match",
    "Origin",
    "Proxy-Authorization",
    "Range",
    "Referer",
    "TE",
    "Upgrade-Insecure-Requests",
    "User-Agent",
    "Via",
    "X-Api-Key",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-HTTP-Method-Override",
    "X-Internal-Auth",
    "X-Original-URL",
    "X-User",
    "tracestate",
)
TRICKS = ("..", "%2e%2e", "..%2f", "a/b", "a\\b", "//x", "http://x/", "\u2025", "a\u2044b", "a\r\nHost: x")
PATHS_OF = {"echo": "/echo", "redirect": "/redirect", "heads": "/headers"}


def settings(folder: Path) -> dict[str, object]:
    """For a server whose back end `prove_invocations` starts."""
    url = f"http://127.0.0.1:{lasting_port(BACK_END_PORTS)}"
    return {"tools_file": write_tools(folder), "api_base_url": url, "session_poll_seconds": 60}


async def prove_invocations(server: Server, *, invocations: int) -> Findings:
    url = str(server.settings["api_base_url"])
    log = server.log.with_name("back_end_stub.log")
    with Process("harness.back_end_stub", url.rpartition(":")[2], log=log, environment=PATHS) as process:
        process.ready_line()
        return await _prove(server, BackEndStub(url), invocations=invocations)


async def _prove(server: Server, stub: BackEndStub, *, invocations: int) -> Findings:
    findings, rng = Findings("invocations"), random.Random()
    callers = [await server.user(name) for name in ("ann", "bea")]
    sessions = [await _session(server, caller) for caller in callers]
    left, statuses = iter(range(invocations)), Counter[int]()
    foreign: Counter[int] = Counter()

    async def keep_invoking() -> None:
        for _ in left:
            who = rng.randrange(2)
            is_foreign = rng.random() < 0.1
            session = sessions[1 - who if is_foreign else who]
            status = await _invoke(server, callers[who], session, rng)
            (foreign if is_foreign else statuses)[status] += 1

    await asyncio.gather(*(keep_invoking() for _ in range(AT_ONCE)))
    tokens = {session: caller.headers["Authorization"] for session, caller in zip(sessions, callers, strict=True)}
    reached = 0
    for session in sessions:
        for sent in await stub.of_session(session):
            reached += 1
            findings.faults += _faults(sent, token=tokens[session], host=urlsplit(stub.url).netloc)
    findings.expect(f"foreign sessions were told {dict(foreign)}", when=foreign.keys() <= {404, 422})
    findings.expect(f"server errors: {dict(statuses)}", when=not any(status == 500 for status in statuses))
    findings.expect("fewer requests came than were answered", when=_came(statuses) <= reached)
    findings.expect("hardly anything came", when=reached > invocations / 20)
    findings.counts |= {"invocations": invocations, "of them in foreign sessions": foreign.total(), "came": reached}
    return findings


def _came(statuses: Counter[int]) -> int:
    return statuses[200] + statuses[201]


async def _session(server: Server, caller: ThreadsClient) -> str:
    async with server.session.post(f"{server.url}/chat/sessions", json={}, headers=caller.headers) as made:
        return str((await made.json())["id"])


async def _invoke(server: Server, caller: ThreadsClient, session: str, rng: random.Random) -> int:
    tool = rng.choice(("echo", "item", "item", "item", "redirect", "heads", "nothing", _text(rng) or "x"))
    headers = {name: f"{CANARY}-{_word(rng)}" for name in rng.sample(HEADERS, rng.randrange(len(HEADERS)))}
    headers[f"X-{_word(rng)}"] = CANARY
    headers["Cookie"] = f"a={CANARY}; session_id=kept; {_word(rng)}={CANARY}; SESSION_ID={CANARY}"
    names = rng.sample(("q", "text", "tags", "extra"), max(0, rng.randrange(-3, 3)))
    arguments = {name: _odd(rng) for name in names} | ({"id": _odd(rng)} if tool == "item" else {})
    body: dict[str, Any] = {"arguments": arguments}
    if rng.random() < 0.5:
        headers["X-Agent-Session-Id"] = session
    else:
        body["session_id"] = session
    url = URL(f"{server.url}/agent/tools/{quote(tool, safe='')}/invoke", encoded=True)
    content = json.dumps(body).encode()
    named = {**headers, **caller.headers, "Content-Type": "application/json"}
    async with server.session.post(url, data=content, headers=named, allow_redirects=False) as answered:
        await answered.read()
        return answered.status


def _faults(sent: dict[str, Any], *, token: str, host: str) -> list[str]:
    headers = dict(sent["headers"])
    faults = [f"a header that is not listed came: {name}" for name in headers.keys() - LISTED]
    faults += [f"a canary came in {name}" for name, value in headers.items() if CANARY in value.lower()]
    if headers.get("authorization") != token:
        faults.append("another caller's token came")
    if headers.get("host") != host:
        faults.append(f"another host was asked for: {headers.get('host')}")
    if not _is_listed(sent["line"]):
        faults.append(f"another path was asked for: {sent['line']}")
    return faults


def _is_listed(line: str) -> bool:
    """Whether a request went just where its tool's template leads."""
    _, target, version = line.split(" ")
    path = urlsplit(target).path
    if version != "HTTP/1.1" or path in PATHS_OF.values():
        return version == "HTTP/1.1"
    segments = path.split("/")
    return (
        (len(segments), segments[1], segments[-1]) == (4, "items", "parts")
        and not {"/", "\\"} & set(unquote(segments[2]))
        and unquote(segments[2]).strip() not in {"", ".", ".."}
    )


def _odd(rng: random.Random) -> Any:
    return rng.choice((rng.choice(TRICKS), _text(rng), rng.randrange(-(2**63), 2**63), None, [], {}, True, "x" * 5_000))


def _text(rng: random.Random) -> str:
    return "".join(rng.choices(string.printable + "\u2025\uff0f\U0001f600", k=rng.randrange(12)))


def _word(rng: random.Random) -> str:
    return "".join(rng.choices(string.ascii_letters, k=8))
