"""`kill -9` around tool calls: what may not be repeated is done once at most, and every call ends in a record (R8)."""

import asyncio
from collections import Counter
from pathlib import Path

from chaos import kills
from chaos.findings import Findings
from chaos.footing import Footing
from chaos.kills import beset
from chaos.load import Load, judge_end
from harness.model_stub import ModelStub
from harness.ports import lasting_port
from harness.processes import Process
from harness.server import Server
from harness.tool_sources import PATHS, BackEndStub

BACK_END_PORTS = range(23000, 23100)
CALLS = 'pay:{"a":1};look:{"a":2}|pay:{"a":3}'
TOOLS_FILE = """
tools:
  - {name: pay, description: Pay, http: {method: POST, path: /sleep/40, body: [a]},
     parameters: {type: object, properties: {a: {type: integer}}, required: [a]}}
  - {name: look, description: Look, retry_safe: true, http: {method: POST, path: /sleep/40, body: [a]},
     parameters: {type: object, properties: {a: {type: integer}}, required: [a]}}
"""
OF_CALLS = "SELECT id, tool, state, error_code FROM tool_calls"


def settings(folder: Path) -> dict[str, object]:
    """For a server whose back end `prove_tool_kills` starts."""
    file = folder / "tools.yaml"
    file.write_text(TOOLS_FILE)
    return {
        **kills.SETTINGS,
        "tools_file": file,
        "api_base_url": f"http://127.0.0.1:{lasting_port(BACK_END_PORTS)}",
    }


async def prove_tool_kills(
    server: Server, stub: ModelStub, database: Footing, *, kills: int, writers: int = 8
) -> Findings:
    url = str(server.settings["api_base_url"])
    log = server.log.with_name("back_end_stub.log")
    with Process("harness.back_end_stub", url.rpartition(":")[2], log=log, environment=PATHS) as process:
        process.ready_line()
        return await _prove(server, stub, database, BackEndStub(url), kills=kills, writers=writers)


async def _prove(
    server: Server, stub: ModelStub, database: Footing, back_end: BackEndStub, *, kills: int, writers: int
) -> Findings:
    findings = Findings("kills around tool calls")
    client = await server.user("tool-kills")
    made = await client.ask("POST", "/agents", {"name": "payer", "tools": ["pay", "look"]})
    assert made.status == 201, made
    load = Load(stub, client, findings, tokens=6, pause_ms=10, agent_id=made.body["id"], tool_calls=CALLS)
    await beset(server, load, kills=kills, writers=writers, longest_pause=1.0)
    await judge_end(load, database)
    await _judge_calls(findings, database, await asyncio.to_thread(back_end.keys))
    findings.counts["kills"] = kills
    return findings


async def _judge_calls(findings: Findings, database: Footing, done: list[str]) -> None:
    effects = Counter(done)
    rows = await database.rows(OF_CALLS)
    for call_id, tool, state, error in rows:
        times = effects.pop(call_id, 0)
        findings.expect(f"{tool} is left {state}", when=state in {"completed", "failed"})
        findings.expect(f"{tool} completed, and was not done", when=state != "completed" or times > 0)
        findings.expect(f"{tool} was done {times} times, and is {state} ({error})", when=tool == "look" or times <= 1)
    findings.expect(f"done, and not recorded: {len(effects)}", when=not effects)
    outcomes = Counter(f"{tool} {error or state}" for _, tool, state, error in rows)
    findings.counts |= {"calls": len(rows), **{name: outcomes[name] for name in sorted(outcomes)}}
