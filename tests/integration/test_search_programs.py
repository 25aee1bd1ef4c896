"""Search over deaths of the program and beside its commands, on SQLite with Chroma, each a process of its own."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.callers import Caller, assert_problem, founder
from harness.command_line import Home, free_port, is_listening
from harness.processes import Process

PATH = "/search/threads"
SECONDS = 60
SETTINGS = {
    "CHAT_SEARCH_ENABLED": "true",
    "CHAT_LLM_ENABLED": "false",
    "CHAT_EMBEDDER": "packaged",
    "CHAT_SEARCH_TICK_SECONDS": "0.1",
}
ONCE = {"CHAT_SEARCH_TICK_SECONDS": "3600"}  # at its start, and then never


async def serve(folder: Path, port: int, **settings: str) -> Process:
    home = Home(folder, **{**SETTINGS, **settings})
    process = home.background("serve", "--port", str(port))
    process.start()
    async with asyncio.timeout(SECONDS):
        while not is_listening(port):
            process.check()
            await asyncio.sleep(0.02)
    return process


def client_of(port: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/api", timeout=30, trust_env=False)


async def said(caller: Caller, text: str) -> str:
    thread: str = (await caller.made("POST", "/threads", json={}))["id"]
    await caller.say(thread, text)
    return thread


async def begun(caller: Caller) -> None:
    """Once the index is there: the round at the start has been made."""
    async with asyncio.timeout(SECONDS):
        while True:
            if (await caller.send("POST", PATH, json={"query": "x", "mode": "semantic"})).is_success:
                return
            await asyncio.sleep(0.05)


async def found(caller: Caller, query: str, mode: str, thread: str) -> Any:
    """The answer, once it begins with the thread."""
    async with asyncio.timeout(SECONDS):
        while True:
            answer = await caller.send("POST", PATH, json={"query": query, "mode": mode})
            items = answer.json().get("items", [])
            if items and items[0]["thread"]["id"] == thread:
                return answer.json()
            await asyncio.sleep(0.05)


def reindex(folder: Path, *, as_module: bool = False, **settings: str) -> subprocess.CompletedProcess[str]:
    home = Home(folder, **{**SETTINGS, **settings})
    if not as_module:
        return home.run("search", "reindex", "--json")
    return subprocess.run(
        [sys.executable, "-m", "frontdesk.search.reindex"],
        env=home.environment,
        cwd=folder,
        text=True,
        capture_output=True,
        timeout=100,
        check=False,
    )


async def test_what_was_stored_when_it_was_killed_is_found_after_a_start(tmp_path: Path) -> None:
    port = free_port()
    process = await serve(tmp_path, port, **ONCE)
    async with client_of(port) as client:
        caller = await founder(client)
        await begun(caller)
        threads = {name: await said(caller, f"The {name} is where you left it") for name in ("umbrella", "passport")}
        assert (await caller.made("POST", PATH, json={"query": "umbrella", "mode": "text"}))["items"] == []
    process.kill()
    process = await serve(tmp_path, port)
    try:
        async with client_of(port) as client:
            again = Caller(client, caller.id, caller.username, caller.headers)
            for name, thread in threads.items():
                for mode in ("text", "semantic", "regex"):
                    await found(again, name, mode, thread)
    finally:
        process.stop()


@pytest.mark.alone
async def test_an_index_that_is_lost_is_told_and_made_again_beside_the_server(tmp_path: Path) -> None:
    port = free_port()
    process = await serve(tmp_path, port)
    async with client_of(port) as client:
        caller = await founder(client)
        thread = await said(caller, "The umbrella is where you left it")
        await found(caller, "umbrella", "semantic", thread)
    process.stop()
    shutil.rmtree(tmp_path / ".chroma")
    process = await serve(tmp_path, port)
    try:
        async with client_of(port) as client:
            caller = Caller(client, caller.id, caller.username, caller.headers)
            refused = await caller.send("POST", PATH, json={"query": "umbrella", "mode": "semantic"})
            problem = assert_problem(refused, 503, "search_index_broken")
            assert "frontdesk search reindex" in problem["detail"]
            degraded = await found(caller, "umbrella", "hybrid", thread)
            assert "frontdesk search reindex" in degraded["degraded"]
            made = await asyncio.to_thread(reindex, tmp_path)
            assert made.returncode == 0, made.stderr
            assert json.loads(made.stdout)["messages"] == 1
            whole = await found(caller, "umbrella", "hybrid", thread)
            assert (whole["degraded"], whole["items"][0]["matched_by"]) == (None, ["semantic", "text"])
    finally:
        process.stop()
    alone = reindex(tmp_path, as_module=True)
    assert alone.returncode == 0, alone.stderr
    assert "1 messages" in alone.stderr
    off = reindex(tmp_path, CHAT_SEARCH_ENABLED="false")
    assert (off.returncode, "CHAT_SEARCH_ENABLED" in off.stderr) == (2, True)
