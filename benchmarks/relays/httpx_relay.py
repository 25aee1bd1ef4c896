"""The relay as most people write it: FastAPI, one shared httpx client, the provider's lines yielded one by one."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    # httpx allows 100 connections unless told otherwise, which would measure its queue and not its cost.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=None, limits=limits) as client:  # noqa: S113  a stalled stream is part of a measure
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


async def lines(request: Request, body: dict[str, object]) -> AsyncIterator[str]:
    client: httpx.AsyncClient = request.app.state.client
    async with client.stream("POST", f"{sys.argv[1]}/chat/completions", json=body) as upstream:
        async for line in upstream.aiter_lines():
            yield line + "\n"


@app.post("/v1/chat/completions")
async def relay(request: Request) -> StreamingResponse:
    return StreamingResponse(lines(request, await request.json()), media_type="text/event-stream")


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
