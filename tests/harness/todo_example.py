"""`make example-todo`, as its users start it, with a client for each of them."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from harness.command_line import Home, await_output
from harness.ports import lasting_port
from harness.processes import SOURCE, Process

ROOT = SOURCE.parent
PORTS = range(18900, 18960)
_READY = r"is at (\S+)\n\n  Name: (\S+)    Password: (\S+)"


@dataclass(frozen=True)
class Person:
    id: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


@dataclass(frozen=True)
class TodoExample:
    """`site` is the page's address; `name` and `password` are what the program told of the demo account."""

    gateway: str
    site: str
    name: str
    password: str

    def sign_in(self, name: str, password: str) -> Person:
        pair = self._made("/auth/login", {"username": name, "password": password})
        me = httpx.get(f"{self.gateway}/api/auth/me", headers={"Authorization": f"Bearer {pair['access_token']}"})
        return Person(me.json()["id"], pair["access_token"])

    def newcomer(self, name: str) -> Person:
        admin = self.sign_in(self.name, self.password)
        password = f"{name} has a password"
        self._made("/auth/register", {"username": name, "password": password}, headers=admin.headers)
        return self.sign_in(name, password)

    def tasks(self, person: Person) -> list[dict[str, Any]]:
        answer = self.ask_tasks(person)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()
        return found

    def ask_tasks(self, person: Person) -> httpx.Response:
        return httpx.get(f"{self.site}/tasks", headers=person.headers)

    def _made(self, path: str, body: dict[str, str], **more: Any) -> Any:
        answer = httpx.post(f"{self.gateway}/api{path}", json=body, **more)
        assert answer.is_success, answer.text
        return answer.json()


@contextmanager
def todo_example(folder: Path) -> Iterator[TodoExample]:
    """Running, with the scripted model. It is stopped as Ctrl-C stops it, and must then end by itself."""
    port = lasting_port(PORTS)
    home = Home(folder / "home", PYTHONPATH=f"{SOURCE}:{ROOT}")
    arguments = ("--port", str(port), "--stub", "--data-folder", str(folder / "data"))
    process = Process(
        "deploy.todo", *arguments, log=folder / "log", environment=home.environment, directory=home.folder
    )
    with process:
        told = await_output(process, _READY)
        yield TodoExample(f"http://127.0.0.1:{port}", *told.groups())
        process.send(signal.SIGINT)
        assert process.wait(seconds=60) == 0, process.output()
        assert re.search("Everything has ended", process.output())
