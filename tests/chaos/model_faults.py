"""Whatever the provider does, the answer ends in time, with a typed event, without its secrets (R27)."""

import asyncio
import secrets
from time import perf_counter

from chaos.findings import Findings
from frontdesk.model_stub.frames import SECRET
from harness.server import Server
from harness.threads_client import ThreadsClient
from harness.transcript import numbered, whole

TIMEOUT_SECONDS = 2.0
SETTINGS = {"llm_timeout_seconds": TIMEOUT_SECONDS}
# What the script says, and how many tokens of it must be kept; None where the answer must be whole.
FAULTS: dict[str, int | None] = {
    "tokens=10&stall_at=0": 0,
    "tokens=10&stall_at=5": 5,
    "tokens=10&first_ms=10000": 0,
    "tokens=10&reset_at=0": 0,
    "tokens=10&reset_at=5&pause_ms=5": 5,
    "tokens=10&close_at=5": 5,
    "tokens=10&bad_at=5": 5,
    "tokens=10&error_at=5": 5,
    "tokens=10&error_at=0": 0,
    "status=400": 0,
    "status=401": 0,
    "status=302": 0,
    "status=429&retry_after=60": 0,
    "status=500": 0,
    "status=503": 0,
    "html=1": 0,
    "html=1&status=502": 0,
    "tokens=10&done=0&finish=0": 10,
    "tokens=10&plain=1": None,
    "tokens=10&done=0": None,
    "tokens=10&split=1&crlf=1": None,
    "tokens=10&comments=1&multiline=1": None,
    "tokens=10&split=3&unicode=1": None,
    "tokens=10&status=503&fail_first=1": None,
    "tokens=10&stall_at=5&stall_ms=500": None,
}


async def prove_model_faults(server: Server, *, rounds: int) -> Findings:
    findings = Findings("model faults")
    client = await server.user("faults")
    longest = 0.0
    for _ in range(rounds):
        times = await asyncio.gather(*(_suffer(findings, client, script, kept) for script, kept in FAULTS.items()))
        longest = max(longest, *times)
    findings.expect("the provider's secret is in the server's log", when=SECRET not in server.process.output())
    bound = TIMEOUT_SECONDS + 1.0
    findings.at_most(f"an answer took {longest:.1f} s to end", longest, bound)
    findings.counts |= {"answers": rounds * len(FAULTS), "seconds to the end max": longest}
    return findings


async def _suffer(findings: Findings, client: ThreadsClient, script: str, kept: int | None) -> float:
    """Seconds from the message to the end of its answer."""
    thread_id = await client.new_thread()
    begun = perf_counter()
    execution_id = await client.begin(thread_id, f"scripted?{script}&key={secrets.token_hex(4)}")
    seen = await whole(client, thread_id, execution_id)
    seconds = perf_counter() - begun
    stored = await client.find_message(thread_id, execution_id, role="assistant")
    findings.faults += [f"{script}: {fault}" for fault in seen.faults]
    state = "completed" if kept is None else "failed"
    findings.expect(f"{script}: ended {seen.state}, not {state}", when=seen.state == stored["status"] == state)
    findings.expect(f"{script}: no typed error but {seen.error}", when=_is_typed(seen.error) == (kept is not None))
    findings.expect(f"{script}: [DONE] is missing", when=seen.ended)
    text = stored["text"].replace("é漢🙂", "")
    findings.expect(f"{script}: kept {text!r}", when=text == numbered(10 if kept is None else kept))
    findings.expect(f"{script}: shown and stored differ", when=seen.text == stored["text"])
    leaked = SECRET.encode() in seen.frames or SECRET in repr(stored)
    findings.expect(f"{script}: the provider's secret reached the reader", when=not leaked)
    return seconds


def _is_typed(error: dict[str, object] | None) -> bool:
    return error is not None and error["type"] == "agent_error" and bool(error["code"]) and bool(error["message"])
