"""Limits are exact over several gateways: of sign-ins that fail at the same time just as many get through (R24)."""

import asyncio
import secrets
from contextlib import AsyncExitStack
from itertools import cycle
from pathlib import Path

from chaos.findings import Findings
from chaos.footing import Footing
from chaos.topology import REPLICA_PORTS
from harness.server import PASSWORD, Server
from harness.threads_client import Reply, ThreadsClient
from harness.transcript import POLL_SECONDS

WINDOW_SECONDS = 3_600
SIGNED_IN = 10
SETTINGS = {
    "login_window_seconds": WINDOW_SECONDS,
    "trusted_proxies": "127.0.0.1/32",
}
PATIENT_SECONDS = 300.0
MOST_DISTURBED = 20
LOST_REDIS = "going on without a server"


async def prove_limits(
    database: Footing, *, redis_url: str, folder: Path, rounds: int, processes: int = 4, amount: int = 100
) -> Findings:
    """`amount` is the limit. Each round has twice as many sign-ins with wrong passwords at once, spread over the
    processes: now with one name from everywhere, now with many names from one address, now with a name that has also
    signed in rightly.
    """
    findings = Findings("limits over processes")
    async with AsyncExitStack() as stack:
        servers = [_gateway(database, redis_url, folder / f"gateway-{number}", amount) for number in range(processes)]
        for server in servers:
            stack.push_async_callback(server.aclose)
            await server.start()  # one after the other: on a busy machine all at once would be too late
        await servers[0].user("administrator")
        kinds = cycle((_one_name, _one_address, _well_known))
        judged = disturbed = 0
        while judged < rounds and disturbed < MOST_DISTURBED:
            asked = await next(kinds)(findings, servers, 2 * amount)
            lost = _losses(servers)
            replies = await _all_at_once(servers, asked)
            if _losses(servers) > lost:
                disturbed += 1
                await _recovered(servers)
                continue
            judged += 1
            _judge_round(findings, replies, amount)
            after = await _sign_in(servers[-1], *asked[0], PASSWORD)
            findings.expect(f"then a right password was answered {after.status}", when=after.status == 429)
    if disturbed:
        findings.missed.append(f"Redis did not answer in time in {disturbed} rounds, and then each counts alone")
    findings.expect(f"{judged} of {rounds} rounds could be judged", when=judged == rounds)
    findings.counts |= {
        "processes": processes,
        "attempts a round": 2 * amount,
        "rounds": judged,
        "disturbed": disturbed,
    }
    return findings


def _gateway(database: Footing, redis_url: str, home: Path, amount: int) -> Server:
    """With nothing between it and Redis: a proxy in this process would be one more that is busy."""
    home.mkdir()
    limited = {"login_attempts_per_user": amount, "login_attempts_per_address": amount}
    # All are to come as far as the limit, none is to be turned away at the door.
    settings = SETTINGS | limited | {"redis_url": redis_url, "llm_enabled": False, "requests_at_once": 2 * amount}
    return Server(
        database_url=database.url,
        model_url="http://127.0.0.1:9/v1",
        directory=home,
        settings=settings,
        ports=REPLICA_PORTS,
    )


def _address() -> str:
    """A site of its own: an IPv6 one counts as a whole."""
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"


Asked = list[tuple[str, str]]


async def _one_name(_findings: Findings, _servers: list[Server], attempts: int) -> Asked:
    name = f"name-{secrets.token_hex(4)}"
    return [(name, _address()) for _ in range(attempts)]


async def _one_address(_findings: Findings, _servers: list[Server], attempts: int) -> Asked:
    run, address = secrets.token_hex(4), _address()
    return [(f"name-{run}-{number}", address) for number in range(attempts)]


async def _well_known(findings: Findings, servers: list[Server], attempts: int) -> Asked:
    """Someone who has signed in rightly before, which does not count."""
    name = f"known-{secrets.token_hex(4)}"
    await servers[0].user(name)
    for number in range(SIGNED_IN):
        reply = await _sign_in(servers[number % len(servers)], name, _address(), PASSWORD)
        findings.expect(f"a right password was answered {reply}", when=reply.status == 200)
    return [(name, _address()) for _ in range(attempts)]


async def _all_at_once(servers: list[Server], asked: Asked) -> list[Reply]:
    return await asyncio.gather(
        *(
            _sign_in(servers[number % len(servers)], name, address, "not the password")
            for number, (name, address) in enumerate(asked)
        )
    )


def _losses(servers: list[Server]) -> int:
    """How often a gateway has gone on without Redis: a busy machine may well keep it waiting too long."""
    return sum(server.log.read_text(errors="replace").count(LOST_REDIS) for server in servers)


async def _recovered(servers: list[Server]) -> None:
    """Every gateway counts with the others again."""
    async with asyncio.timeout(PATIENT_SECONDS):
        for server in servers:
            while await _limiter_state(server) != "ok":  # noqa: ASYNC110  nobody is told
                await asyncio.sleep(POLL_SECONDS)


async def _limiter_state(server: Server) -> str:
    async with server.session.get(f"{server.url}/health/ready") as response:
        return str((await response.json())["parts"]["limiter"]["status"])


def _judge_round(findings: Findings, replies: list[Reply], amount: int) -> None:
    tried = sum(reply.status == 401 for reply in replies)
    refused = [reply for reply in replies if reply.status == 429]
    findings.expect(f"{tried} of {len(replies)} were let through", when=tried == amount)
    findings.expect(f"{len(refused)} were refused", when=len(refused) == len(replies) - amount)
    for reply in refused:
        wait = int(reply.headers["Retry-After"])
        findings.expect(f"told to come back in {wait} s", when=WINDOW_SECONDS - 60 <= wait <= WINDOW_SECONDS)
        left = reply.headers["RateLimit"]
        findings.expect(f"told that there is {left}", when=";r=0;" in left)


async def _sign_in(server: Server, name: str, address: str, password: str) -> Reply:
    somebody = ThreadsClient(server.session, server.url, token=None, user_id="")
    somebody.headers = {"X-Forwarded-For": address}
    return await somebody.ask("POST", "/auth/login", {"username": name, "password": password}, seconds=PATIENT_SECONDS)
