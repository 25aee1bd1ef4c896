"""A loop and an HTTP session that stay open between prompts, while the terminal itself is read without a loop."""

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from getpass import getpass
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import ClientSession

from frontdesk.cli.chat.credentials import CredentialStore
from frontdesk.cli.chat.gateway import Gateway, LoginNeededError, NotReachedError, api_address
from frontdesk.cli.password_file import read_password_file

Result = TypeVar("Result")


class Connection:
    def __init__(self, runner: asyncio.Runner, gateway: Gateway) -> None:
        self._runner = runner
        self.gateway = gateway

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self._runner.run(work)


@contextmanager
def connect(server: str) -> Iterator[Connection]:
    """Nothing is sent yet. Raises CommandError when `server` is no address."""
    api = api_address(server)
    store = CredentialStore(Path.home() / ".config" / "frontdesk")
    with asyncio.Runner() as runner:
        http = runner.run(_open())
        try:
            yield Connection(runner, Gateway(http, api, store))
        finally:
            runner.run(http.close())


async def _open() -> ClientSession:
    return ClientSession(trust_env=False)


def ensure_login(connection: Connection, username: str | None, password_file: Path | None) -> None:
    """Uses the login that is stored; otherwise asks on the terminal or reads `password_file` (`-`: standard input).

    Raises LoginNeededError when there is nobody to ask, NotReachedError when the server is not there.
    """
    try:
        if connection.run(_is_logged_in(connection.gateway, username)):
            return
        if password_file is None and not sys.stdin.isatty():
            hint = "Log in first: frontdesk chat --username NAME --password-file FILE (or - for standard input)."
            raise LoginNeededError(hint)
        username = username or input("User name: ").strip()
        password = read_password_file(password_file) if password_file else getpass("Password: ")
        connection.run(connection.gateway.log_in(username, password))
    except NotReachedError as error:
        raise NotReachedError(f"{error}\nIs the server running? Start one with: frontdesk up") from error


async def _is_logged_in(gateway: Gateway, username: str | None) -> bool:
    try:
        return username in {None, (await gateway.get("/auth/me"))["username"]}
    except LoginNeededError:
        return False
