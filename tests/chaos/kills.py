"""`kill -9` of what answers need, at random moments while answers stream and messages are sent (R1, R3, R6, R7)."""

import asyncio
import random
from typing import Protocol

from chaos.findings import Findings, percentile
from chaos.footing import Footing
from chaos.load import Load, judge_end
from harness.model_stub import ModelStub
from harness.threads_client import ThreadsClient

RECOVERY_SECONDS = 30.0
SETTINGS = {"execution_lease_seconds": 2, "engine_tick_seconds": 0.5, "engine_max_attempts": 10_000}


class Victim(Protocol):
    """One server, or several of which one is killed each time."""

    async def user(self, name: str) -> ThreadsClient: ...

    async def kill_and_restart(self) -> None: ...


async def prove_kills(
    server: Victim,
    stub: ModelStub,
    database: Footing,
    *,
    kills: int,
    writers: int = 12,
    tokens: int = 40,
    pause_ms: int = 15,
    longest_pause: float = 2.0,
) -> Findings:
    """`longest_pause` is in seconds: the longest time between a server's readiness and its end."""
    findings = Findings("kills")
    client = await server.user("kills")
    load = Load(stub, client, findings, tokens, pause_ms)
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        for _ in range(writers):
            group.create_task(load.converse())
        for _ in range(kills):
            await asyncio.sleep(random.uniform(0.0, longest_pause))
            killed = loop.time()
            await server.kill_and_restart()
            load.restarts.append((killed, loop.time()))
        load.stopping = True
    await judge_end(load, database)
    findings.counts |= {
        "kills": kills,
        "answers cut by a kill": len(load.recoveries),
        "of them shown as restarted": load.voided,
        "seconds down p50": percentile([ready - killed for killed, ready in load.restarts], 50),
        "seconds to recover p50": percentile(load.recoveries, 50),
        "seconds to recover max": max(load.recoveries, default=0.0),
        "seconds from the kill to the end of what was restarted p50": percentile(load.takeovers, 50),
        "the same, max": max(load.takeovers, default=0.0),
    }
    longest = max(load.recoveries, default=0)
    findings.at_most(f"an answer took {longest:.0f} s to recover", longest, RECOVERY_SECONDS)
    return findings
