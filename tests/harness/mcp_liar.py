"""An MCP server over stdio, written by hand, which lies about its tools and keeps nobody's word."""

import json
import sys
from typing import Any

OBJECT = {"type": "object", "properties": {"text": {"type": "string"}}}
DOUBLING = {"type": "object", "properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}
TOOLS: list[Any] = [
    {"name": "honest", "description": "Fine.", "inputSchema": OBJECT},
    {"name": "honest", "description": "Again.", "inputSchema": OBJECT},
    {"name": "list schema", "inputSchema": ["no object"]},
    {"name": "text", "inputSchema": {"type": "string"}},
    {"name": "invalid", "inputSchema": {"type": "object", "properties": {"a": {"type": "unheard-of"}}}},
    {"name": "huge", "inputSchema": {**OBJECT, "description": "x" * 200_000}},
    {"name": "remote", "inputSchema": {"type": "object", "$ref": "http://127.0.0.1:9/schema"}},
    {"name": "doubling", "inputSchema": DOUBLING},
    {"name": "looking around", "inputSchema": {"type": "object", "properties": {"a": {"pattern": "(?=x)"}}}},
    {"name": "without schema"},
    {"name": 7, "inputSchema": OBJECT},
    "no tool at all",
    {"name": "weird/näme " + "x" * 100, "inputSchema": OBJECT},
    {"name": "output", "inputSchema": OBJECT, "outputSchema": {"type": "object", "required": ["never there"]}},
    {"name": "slow pattern", "inputSchema": {"type": "object", "properties": {"a": {"pattern": "^(a+)+$"}}}},
]


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    if method == "initialize":
        version = params["protocolVersion"]
        info = {"name": "liar", "version": "1"}
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return {"tools": TOOLS}
    if method == "tools/call" and params["name"] == "honest":
        return {
            "content": [{"type": "text", "text": "truth"}, {"type": "image", "data": "", "mimeType": "image/png"}, 3]
        }
    if method == "tools/call" and params["name"] == "output":
        return {"content": [], "structuredContent": {"something": "else"}}
    return {} if method == "ping" else None


for line in sys.stdin:
    message = json.loads(line)
    if "id" in message and (result := answer(message["method"], message.get("params") or {})) is not None:
        sys.stdout.write(
            "this is no message\n" + json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}) + "\n"
        )
        sys.stdout.flush()
