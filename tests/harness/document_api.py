"""The example document back end as a process of its own, with a client for each session."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from harness.processes import Process

EXAMPLES = Path(__file__).parents[2] / "examples"
POLL_SECONDS = 0.02


class DocumentApi:
    """`settings` are environment variables without their prefix `DOCUMENTS_`, in lower case. It may be restarted."""

    def __init__(self, directory: Path, *arguments: str, **settings: str) -> None:
        directory.mkdir(exist_ok=True)
        self.data = directory / "data"
        self.drive = self.data / "drive"
        inherited: dict[str, str | None] = {name: None for name in os.environ if name.startswith("DOCUMENTS_")}
        chosen = {f"DOCUMENTS_{name.upper()}": value for name, value in settings.items()}
        self.process = Process(
            "document_api",
            *("--port", "0", "--data", str(self.data), *arguments),
            log=directory / "log",
            environment={**inherited, **chosen, "PYTHONPATH": str(EXAMPLES)},
        )
        self.url = ""

    def start(self) -> None:
        self.process.start()
        self.url = self.process.ready_line()["url"]

    @contextmanager
    def session(self, session_id: str | None, key: str | None = None) -> Iterator[httpx.Client]:
        headers = {"X-Agent-Session-Id": session_id} if session_id is not None else {}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        with httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, trust_env=False, timeout=30) as client:
            yield client


@contextmanager
def document_api(directory: Path, **settings: str) -> Iterator[DocumentApi]:
    """Running. Killed at the end."""
    api = DocumentApi(directory, **settings)
    try:
        api.start()
        yield api
    finally:
        if api.process.started:
            api.process.kill()


def listed(client: httpx.Client) -> list[dict[str, Any]]:
    answer = client.get("/documents", params={"limit": 100})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def events_of(client: httpx.Client, since: str | None = None) -> list[dict[str, Any]]:
    answer = client.get("/sessions/events", params={"limit": 500} | ({"since": since} if since else {}))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["events"]
    return found


def eventually(holds: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(POLL_SECONDS)
