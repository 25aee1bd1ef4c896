"""Many writers of one SQLite database, in two gateways and the command line at once (R18).

Nobody is ever told that the database is locked, and in the end it holds exactly what was acknowledged. Every change is
made with a key, or is the same when made twice, and is asked for again when a kill took its answer away.
"""

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from chaos.findings import Findings, percentile
from chaos.footing import Footing
from chaos.load import orphaned
from harness.command_line import Home
from harness.server import PASSWORD, Server
from harness.threads_client import LOST, Reply, ThreadsClient
from harness.transcript import POLL_SECONDS

SETTINGS = {"execution_lease_seconds": 5, "engine_tick_seconds": 0.5, "engine_max_attempts": 10_000}
PORTS = range(18900, 18960)
ASK_SECONDS = 60.0
THREAD_MESSAGES = 5
QUICK, LASTING = "scripted?tokens=3", "scripted?tokens=500&pause_ms=20"
LOCKED = "locked"


@dataclass
class _Thread:
    """What the database must hold of it: the texts of its messages, by their ids."""

    id: str
    texts: dict[str, str] = field(default_factory=dict)
    title: str | None = None
    is_deleted: bool = False


@dataclass
class _Writing:
    """`at` is one user at each gateway."""

    at: list[ThreadsClient]
    findings: Findings
    threads: list[_Thread] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    stopping: bool = False

    async def write(self) -> None:
        while not self.stopping:
            made = await self._ask("POST", "/threads", {}, 201, key=secrets.token_hex(8))
            thread = _Thread(made.body["id"])
            self.threads.append(thread)
            for _ in range(THREAD_MESSAGES):
                if not self.stopping:
                    await random.choices((self._say, self._edit, self._stop, self._rename), (5, 2, 1, 1))[0](thread)
            await random.choices((self._keep, self._delete, self._erase), (6, 2, 2))[0](thread)

    async def _say(self, thread: _Thread, model: str = QUICK) -> Reply:
        body = {"text": secrets.token_hex(8), "model": model, "if_active": "queue"}
        path = f"/threads/{thread.id}/messages"
        sent = await self._ask("POST", path, body, 201, key=secrets.token_hex(8))
        thread.texts[sent.body["id"]] = body["text"]
        return sent

    async def _edit(self, thread: _Thread) -> None:
        """Once its answer is over: until then it is refused."""
        sent = await self._say(thread)
        text = secrets.token_hex(8)
        path = f"/threads/{thread.id}/messages/{sent.body['id']}"
        await self._end(thread, sent.body["execution_id"])
        await self._ask("PATCH", path, {"text": text}, 200)
        thread.texts[sent.body["id"]] = text

    async def _end(self, thread: _Thread, execution_id: str) -> None:
        path = f"/threads/{thread.id}/messages?limit=100"
        while True:
            page = await self._ask("GET", path, None, 200)
            if all(m["status"] == "completed" for m in page.body["items"] if m["execution_id"] == execution_id):
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _stop(self, thread: _Thread) -> None:
        sent = await self._say(thread, LASTING)
        path = f"/threads/{thread.id}/executions/{sent.body['execution_id']}/cancel"
        await self._ask("POST", path, None, 202, key=secrets.token_hex(8))

    async def _rename(self, thread: _Thread) -> None:
        title = secrets.token_hex(8)
        await self._ask("PATCH", f"/threads/{thread.id}", {"title": title}, 200)
        thread.title = title

    async def _keep(self, thread: _Thread) -> None:
        await self._ask("GET", f"/threads/{thread.id}", None, 200)

    async def _delete(self, thread: _Thread) -> None:
        await self._ask("DELETE", f"/threads/{thread.id}", None, 204, 404)
        thread.is_deleted = True

    async def _erase(self, thread: _Thread) -> None:
        await self._ask("DELETE", f"/threads/{thread.id}?purge=true", None, 204, 404)
        self.threads.remove(thread)
        self.erased.append(thread.id)

    async def _ask(self, method: str, path: str, body: object, *wanted: int, key: str | None = None) -> Reply:
        """At any gateway, again and again until an answer comes."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while True:
            try:
                reply = await random.choice(self.at).ask(method, path, body, key=key, seconds=ASK_SECONDS)
            except LOST:
                assert loop.time() < begun + ASK_SECONDS, "no answer"
                await asyncio.sleep(POLL_SECONDS)
                continue
            if reply.status >= 500:
                self.findings.faults.append(f"{method} was {reply.status}: {reply.body}")
                continue
            assert reply.status in wanted, reply
            self.seconds.append(loop.time() - begun)
            self.counts[method] += 1
            return reply


async def prove_writers(
    server: Server, database: Footing, *, seconds: float, writers: int = 50, kills: int = 0
) -> Findings:
    """`kills` of either gateway, spread over the time."""
    findings = Findings("writers of one SQLite database")
    async with AsyncExitStack() as stack:
        other = _another(server, database)
        stack.push_async_callback(other.aclose)
        await other.start()
        client = await server.user("writer")
        beside = ThreadsClient(other.session, other.url, token=None, user_id=client.user_id)
        beside.headers = client.headers
        writing = _Writing([client, beside], findings)
        accounts: dict[str, bool] = {}
        async with asyncio.TaskGroup() as group:
            for _ in range(writers):
                group.create_task(writing.write())
            group.create_task(_administer(writing, database, server.log.parent / "operator", accounts))
            for _ in range(kills):
                await asyncio.sleep(seconds / (kills + 1))
                await random.choice((server, other)).kill_and_restart()
            await asyncio.sleep(seconds / (kills + 1))
            writing.stopping = True
        await _judge(writing, database, accounts)
        for gateway in (server, other):
            refused = await gateway.total("frontdesk_requests_total", 'status="5')
            findings.expect(f"{refused} requests were answered with a 5xx", when=refused == 0)
            told = [line for line in gateway.log.read_text(errors="replace").splitlines() if LOCKED in line]
            findings.expect(f"the log tells of locks: {told[:3]}", when=not told)
    findings.counts |= {
        "writers": writers,
        "kills": kills,
        "requests that write": sum(number for method, number in writing.counts.items() if method != "GET"),
        "the same a second": sum(writing.counts.values()) / seconds,
        "accounts made and changed by the command line": len(accounts),
        "threads erased": len(writing.erased),
        "seconds to be answered p99": percentile(writing.seconds, 99),
        "the same, max": max(writing.seconds, default=0.0),
    }
    return findings


def _another(server: Server, database: Footing) -> Server:
    """A second gateway on the same file."""
    folder = server.log.parent / "beside"
    folder.mkdir(exist_ok=True)
    urls = {"database_url": database.url, "model_url": str(server.settings["llm_api_base"])}
    return Server(**urls, directory=folder, settings=server.settings, ports=PORTS)


async def _administer(writing: _Writing, database: Footing, folder: Path, accounts: dict[str, bool]) -> None:
    """The operator's command line on the same file, one command after the other: `accounts` says who is active."""
    home = Home(folder, CHAT_DATABASE_URL=database.url)
    (folder / "password").write_text(PASSWORD)
    do: Callable[..., Awaitable[object]] = asyncio.to_thread
    while not writing.stopping:
        name = f"account-{secrets.token_hex(4)}"
        commands = [["add", name, "--password-file", "password"]]
        accounts[name] = random.random() < 0.5
        if not accounts[name]:
            commands.append(["suspend", name])
        for command in commands:
            ended = await do(home.run, "users", *command)
            writing.findings.expect(f"users {command[0]} ended with {ended}", when=ended.returncode == 0)


async def _judge(writing: _Writing, database: Footing, accounts: dict[str, bool]) -> None:
    findings = writing.findings
    orphans = await orphaned(database)
    findings.expect(f"still under way: {orphans}", when=not orphans)
    for check, well in (("integrity_check", [("ok",)]), ("foreign_key_check", [])):
        found = await database.rows(f"PRAGMA {check}")
        findings.expect(f"{check} says {found[:3]}", when=found == well)
    stored = {
        row[0]: row[1:] for row in await database.rows("SELECT id, title, is_deleted, message_count FROM threads")
    }
    wanted = {thread.id: thread for thread in writing.threads}
    findings.expect(f"{len(stored)} threads, not {len(wanted)}", when=stored.keys() == wanted.keys())
    messages: dict[str, dict[str, str]] = {id_: {} for id_ in stored}
    for id_, thread_id, text in await database.rows("SELECT id, thread_id, text FROM messages WHERE role = 'user'"):
        messages[thread_id][id_] = text
    totals = dict(await database.rows("SELECT thread_id, count(*) FROM messages GROUP BY thread_id"))
    for id_, thread in wanted.items():
        found = stored.get(id_)
        is_so = found is not None and found[:2] == (thread.title, thread.is_deleted)
        findings.expect(f"thread {id_} is {found}, not {thread}", when=is_so and messages[id_] == thread.texts)
        counted = None if found is None else found[2]
        findings.expect(f"{counted} messages counted of {totals.get(id_, 0)}", when=counted == totals.get(id_, 0))
    users = dict(await database.rows("SELECT username, is_active FROM users WHERE username LIKE 'account-%'"))
    findings.expect(f"accounts are {users}, not {accounts}", when=users == accounts)
    findings.counts["messages"] = sum(totals.values())
