"""Limits are exact over several gateways: of sign-ins that fail at the same time just as many get through (R24)."""

import asyncio
import secrets
from contextlib import AsyncExitStack
from pathlib import Path

from chaos.findings import Findings
from chaos.footing import Footing
from chaos.topology import REPLICA_PORTS
from harness.server import PASSWORD, Server
from harness.threads_client import Reply, ThreadsClient

AMOUNT = 100
WINDOW_SECONDS = 3_600
SIGNED_IN = 10
SETTINGS = {
    "login_attempts_per_user": AMOUNT,
    "login_attempts_per_address": AMOUNT,
    "login_window_seconds": WINDOW_SECONDS,
    "trusted_proxies": "127.0.0.1/32",
}
LOST_REDIS = "going on without a server"


async def prove_limits(
    database: Footing, *, redis_url: str, folder: Path, rounds: int, processes: int = 4, attempts: int = 200
) -> Findings:
    """Each round has `attempts` sign-ins with wrong passwords at once, spread over the processes: now with one name
    from everywhere, now with many names from one address, now with a name that has also signed in rightly.
    """
    findings = Findings("limits over processes")
    async with AsyncExitStack() as stack:
        servers = [_gateway(number, database, redis_url, folder) for number in range(processes)]
        for server in servers:
            stack.push_async_callback(server.aclose)
        await asyncio.gather(*(server.start() for server in servers))
        await servers[0].user("administrator")
        for number in range(rounds):
            run = secrets.token_hex(4)
            if number % 3 == 0:
                asked = [(f"name-{run}", _address()) for _ in range(attempts)]
            elif number % 3 == 1:
                address = _address()
                asked = [(f"name-{run}-{place}", address) for place in range(attempts)]
            else:
                name = await _well_known(findings, servers, run)
                asked = [(name, _address()) for _ in range(attempts)]
            await _judge_round(findings, servers, asked)
        lost = sum(server.log.read_text(errors="replace").count(LOST_REDIS) for server in servers)
        findings.expect(f"Redis did not answer {lost} times, and then each counts alone", when=lost == 0)
    findings.counts |= {"processes": processes, "rounds": rounds, "attempts in each": attempts}
    return findings


def _gateway(number: int, database: Footing, redis_url: str, folder: Path) -> Server:
    """With nothing between it and Redis: a proxy in this process would be one more that is busy."""
    home = folder / f"gateway-{number}"
    home.mkdir()
    settings = SETTINGS | {"redis_url": redis_url, "llm_enabled": False}
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


async def _well_known(findings: Findings, servers: list[Server], run: str) -> str:
    """Someone who has signed in more often than would be allowed if it were counted."""
    name = f"known-{run}"
    await servers[0].user(name)
    for number in range(SIGNED_IN):
        reply = await _sign_in(servers[number % len(servers)], name, _address(), PASSWORD)
        findings.expect(f"a right password was answered {reply}", when=reply.status == 200)
    return name


async def _judge_round(findings: Findings, servers: list[Server], asked: list[tuple[str, str]]) -> None:
    replies = await asyncio.gather(
        *(
            _sign_in(servers[number % len(servers)], name, address, "not the password")
            for number, (name, address) in enumerate(asked)
        )
    )
    tried = sum(reply.status == 401 for reply in replies)
    refused = [reply for reply in replies if reply.status == 429]
    findings.expect(f"{tried} of {len(asked)} were let through", when=tried == AMOUNT)
    findings.expect(f"{len(refused)} were refused", when=len(refused) == len(asked) - AMOUNT)
    for reply in refused:
        wait = int(reply.headers["Retry-After"])
        findings.expect(f"told to come back in {wait} s", when=WINDOW_SECONDS - 60 <= wait <= WINDOW_SECONDS)
        left = reply.headers["RateLimit"]
        findings.expect(f"told that there is {left}", when=";r=0;" in left)
    name, address = asked[0]
    after = await _sign_in(servers[-1], name, address, PASSWORD)
    findings.expect(f"then a right password was answered {after.status}", when=after.status == 429)


async def _sign_in(server: Server, name: str, address: str, password: str) -> Reply:
    somebody = ThreadsClient(server.session, server.url, token=None, user_id="")
    somebody.headers = {"X-Forwarded-For": address}
    return await somebody.ask("POST", "/auth/login", {"username": name, "password": password})
