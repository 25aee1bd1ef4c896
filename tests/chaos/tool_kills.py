"""`kill -9` around tool calls: what may not be repeated is done once at most, and every call ends in a record (R8)."""

import asyncio
from collections import Counter
from pathlib import Path

from chaos import kills
from chaos.findings import Findings
from chaos.footing import Footing
from chaos.kills import Victim, beset
from chaos.load import Load, judge_end
from harness.model_stub import ModelStub
from harness.tool_sources import BackEndStub

CALLS = 'pay:{"a":1};look:{"a":2}|pay:{"a":3}'
TOOLS_FILE = """
tools:
  - {name: pay, description: Pay, http: {method: POST, path: /slow/40, body: [a]},
     parameters: {type: object, properties: {a: {type: integer}}, required: [a]}}
  - {name: look, description: Look, retry_safe: true, http: {method: POST, path: /slow/40, body: [a]},
     parameters: {type: object, properties: {a: {type: integer}}, required: [a]}}
"""
OF_CALLS = "SELECT id, tool, state, error_code FROM tool_calls"


def settings(back_end: BackEndStub, folder: Path) -> dict[str, object]:
    file = folder / "tools.yaml"
    file.write_text(TOOLS_FILE)
    return {**kills.SETTINGS, "tools_file": file, "API_BASE_URL": back_end.url}


async def prove_tool_kills(
    server: Victim, stub: ModelStub, database: Footing, back_end: BackEndStub, *, kills: int, writers: int = 8
) -> Findings:
    findings = Findings("kills around tool calls")
    client = await server.user("tool-kills")
    made = await client.ask("POST", "/agents", {"name": "payer", "tools": ["pay", "look"]})
    assert made.status == 201, made
    load = Load(stub, client, findings, tokens=6, pause_ms=10, agent_id=made.body["id"], tool_calls=CALLS)
    earlier = set(await asyncio.to_thread(back_end.keys))
    await beset(server, load, kills=kills, writers=writers, longest_pause=1.0)
    await judge_end(load, database)
    await _judge_calls(findings, database, await asyncio.to_thread(back_end.keys), earlier=earlier)
    findings.counts["kills"] = kills
    return findings


async def _judge_calls(findings: Findings, database: Footing, done: list[str], *, earlier: set[str]) -> None:
    effects = Counter(key for key in done if key not in earlier)
    rows = await database.rows(OF_CALLS)
    for call_id, tool, state, error in rows:
        times = effects.pop(call_id, 0)
        findings.expect(f"{tool} is left {state}", when=state in {"completed", "failed"})
        findings.expect(f"{tool} completed, and was not done", when=state != "completed" or times > 0)
        findings.expect(f"{tool} was done {times} times, and is {state} ({error})", when=tool == "look" or times <= 1)
    findings.expect(f"done, and not recorded: {len(effects)}", when=not effects)
    outcomes = Counter(f"{tool} {error or state}" for _, tool, state, error in rows)
    findings.counts |= {"calls": len(rows), **{name: outcomes[name] for name in sorted(outcomes)}}
