"""`make example-todo`: the gateway with the example to-do assistant and its page, with nothing configured.

SIGINT and SIGTERM end everything.
"""

import json
import secrets
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import typer
from rich.console import Console

from deploy.parts.announced import ROOT, announced
from deploy.parts.gateway import Replica
from deploy.parts.program import PartFailedError
from frontdesk.cli.configuration import read_settings
from frontdesk.cli.failures import CommandError
from frontdesk.cli.up.data_folder import settings_for
from frontdesk.cli.up.model_process import is_needed
from frontdesk.settings import Settings

EXAMPLE = ROOT / "examples" / "todo"
NAME = "demo"
_LOOK_SECONDS = 0.5
_ANSWER_SECONDS = 30.0
_PASSWORD_BYTES = 9

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def example_todo(
    *,
    port: Annotated[int, typer.Option(min=1, max=65_000, help="The gateway's; the next is the page's.")] = 8009,
    stub: Annotated[bool, typer.Option(help="Have the scripted model answer, whatever is configured.")] = False,
    data_folder: Annotated[Path, typer.Option(help="Where everything is kept, with the logs.")] = Path(
        ".frontdesk-todo"
    ),
) -> None:
    """Run the gateway, `examples/todo` and its page, and say what to try.

    CHAT_* variables and `.env` count; the model must be one that calls tools. When nothing answers where it is
    configured, the scripted model does. Everything listens on loopback only.
    """
    folder = data_folder.resolve()
    settings = settings_for(folder, read_settings())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        _run(folder, settings, port=port, stub=stub or is_needed(settings))
    except KeyboardInterrupt:
        sys.stdout.write("Everything has ended.\n")
    except PartFailedError as error:
        raise CommandError(str(error)) from error


def _run(folder: Path, settings: Settings, *, port: int, stub: bool) -> None:
    address, tasks = f"http://127.0.0.1:{port}", str(folder / "tasks.db")
    with ExitStack() as parts:
        place = ("--port", str(port + 1), "--gateway", address, "--database", tasks)
        page = announced(parts, "page", folder, "todo", *place)
        beside = {"PYTHONPATH": f"{EXAMPLE.parent}:{ROOT / 'src'}", "TODO_DATABASE": tasks}
        settings = settings.model_copy(update=_changes(settings, page, stub=stub))
        gateway = Replica(1, port, folder=folder, settings=settings, beside=beside)
        parts.callback(gateway.stop)
        gateway.start()
        password = _password(folder / "demo-password", address)
        Console(highlight=False, soft_wrap=True).print(_instructions(page, password, folder, stub=stub), markup=False)
        while True:
            time.sleep(_LOOK_SECONDS)
            gateway.program.check()


def _changes(settings: Settings, page: str, *, stub: bool) -> dict[str, object]:
    changes: dict[str, object] = {
        "agents_file": str(EXAMPLE / "agents.yaml"),
        "tools_file": str(EXAMPLE / "tools.yaml"),
        "default_agent": "python:todo",
        "cors_origins": ",".join([page, *settings.permitted_origins]),
    }
    if "default_tier" not in settings.model_fields_set and "tiers" not in settings.model_fields_set:
        changes["default_tier"] = "standard"
    if stub:
        changes |= {"llm_enabled": True, "llm_api_base": f"{page}/v1", "llm_default_model": "scripted-todo"}
    return changes


def _password(path: Path, address: str) -> str:
    """Of the demo account, which is made at the first start, and which the owner of the folder may read."""
    if not path.exists():
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        account = json.dumps({"username": NAME, "password": password}).encode()
        headers = {"Content-Type": "application/json"}
        try:
            urlopen(Request(f"{address}/api/auth/register", account, headers), timeout=_ANSWER_SECONDS).close()  # noqa: S310  ours
        except HTTPError as error:
            raise CommandError(f"The account {NAME} cannot be made: {error}. Is the database another's?") from error
        path.touch(mode=0o600)
        path.write_text(password)
    return path.read_text()


def _instructions(page: str, password: str, folder: Path, *, stub: bool) -> str:
    model = "The scripted model answers: it knows a few phrases and says which." if stub else "Your provider answers."
    return f"""\
The to-do assistant is at {page}

  Name: {NAME}    Password: {password}

Say "Add a task to buy groceries". {model}
Logs and state: {folder}. Ctrl-C ends everything."""


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    try:
        app(prog_name="make example-todo")
    except CommandError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
