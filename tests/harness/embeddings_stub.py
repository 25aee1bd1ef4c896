"""A provider of OpenAI's embeddings, as a program of its own: `python -m harness.embeddings_stub`.

Vectors depend on the text alone. What goes wrong is told by the model's name: `fail-429-2` fails twice with 429,
`few` gives a vector too few, `narrow` one that is too short, `floats` numbers in place of base64, `text` no JSON,
`infinite` what is no number, `strict` refuses texts above 500 characters. `GET /stub/calls` tells what came.
"""

import asyncio
import base64
import hashlib
import json
import sys
from collections import Counter
from typing import Any

import numpy as np
from aiohttp import web

KEY = "a-key-that-nobody-may-see"
DIMENSION = 12
STRICT_CHARACTERS = 500
_calls: list[dict[str, Any]] = []
_failures: Counter[str] = Counter()


def vector(text: str, dimension: int) -> list[float]:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return [float(number) for number in np.random.default_rng(seed).standard_normal(dimension)]


def encoded(numbers: list[float], *, as_text: bool) -> Any:
    return base64.b64encode(np.array(numbers, "<f4").tobytes()).decode() if as_text else numbers


async def embeddings(request: web.Request) -> web.Response:
    asked = await request.json()
    model, texts = asked["model"], asked["input"]
    _calls.append({**asked, "headers": dict(request.headers)})
    if request.headers.get("Authorization") != f"Bearer {KEY}":
        return web.json_response({"error": {"message": "no such key"}}, status=401)
    if model.startswith("fail-"):
        _, status, times = model.split("-")
        _failures[model] += 1
        if _failures[model] <= int(times):
            return web.json_response({"error": {}}, status=int(status), headers={"Retry-After": "0"})
    if "" in texts or (model == "strict" and max(map(len, texts)) > STRICT_CHARACTERS):
        return web.json_response({"error": {"message": "too long"}}, status=400)
    if model == "text":
        return web.Response(text="<html>")
    rows = [vector(text, asked.get("dimensions", DIMENSION)) for text in texts]
    if model == "few":
        rows.pop()
    if model == "narrow":
        rows[-1].pop()
    if model == "infinite":
        rows[0][0] = float("inf")
    data = [
        {"object": "embedding", "index": at, "embedding": encoded(row, as_text=model != "floats")}
        for at, row in enumerate(rows)
    ]
    return web.json_response({"object": "list", "data": data[::-1], "model": model, "usage": {"total_tokens": 1}})


async def calls(request: web.Request) -> web.Response:
    return web.json_response([call for call in _calls if call["model"] == request.query["model"]])


async def main() -> None:
    application = web.Application()
    application.add_routes([web.post("/v1/embeddings", embeddings), web.get("/stub/calls", calls)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{port}/v1"}) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
