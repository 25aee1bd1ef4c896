"""`make example-todo`: the gateway with the example to-do assistant and its page, with nothing configured.

SIGINT and SIGTERM end everything.
"""

import asyncio
import secrets
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.parts.announced import ROOT, announced
from deploy.parts.gateway import Replica
from deploy.parts.program import PartFailedError
from frontdesk.agents.models import AgentKind
from frontdesk.agents.service import AgentDraft, AgentService
from frontdesk.cli.configuration import read_settings
from frontdesk.cli.database import prepare_database
from frontdesk.cli.failures import CommandError
from frontdesk.cli.up.data_folder import settings_for
from frontdesk.cli.up.model_process import is_needed
from frontdesk.cli.users.accounts import with_users
from frontdesk.database import open_database
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.identity.users.models import Registration
from frontdesk.kit.clock import SystemClock
from frontdesk.settings import Settings

EXAMPLE = ROOT / "examples" / "todo"
NAME, TOOL = "demo", "refresh_task_list"
_LOOK_SECONDS = 0.5

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
    password = _kept(folder / "demo-password", lambda: secrets.token_urlsafe(9))
    beside = {"PYTHONPATH": f"{EXAMPLE.parent}:{ROOT / 'src'}", "TODO_DATABASE": tasks}
    with ExitStack() as parts:
        place = ("--port", str(port + 1), "--gateway", address, "--database", tasks)
        page = announced(parts, "page", folder, "todo", *place)
        settings = settings.model_copy(update=_changes(settings, page, stub=stub))
        agent_id = _kept(folder / "agent-id", lambda: _made_agent(settings, password))
        settings = settings.model_copy(update={"chatkit_agent_id": agent_id})
        gateway = Replica(1, port, folder=folder, settings=settings, beside=beside)
        parts.callback(gateway.stop)
        gateway.start()
        Console(highlight=False, soft_wrap=True).print(_instructions(page, password, folder, stub=stub), markup=False)
        while True:
            time.sleep(_LOOK_SECONDS)
            gateway.program.check()


def _changes(settings: Settings, page: str, *, stub: bool) -> dict[str, object]:
    changes: dict[str, object] = {
        "agents_file": str(EXAMPLE / "agents.yaml"),
        "tools_file": str(EXAMPLE / "tools.yaml"),
        "cors_origins": ",".join([page, *settings.permitted_origins]),
    }
    if "default_tier" not in settings.model_fields_set and "tiers" not in settings.model_fields_set:
        changes["default_tier"] = "standard"
    if stub:
        changes |= {"llm_enabled": True, "llm_api_base": f"{page}/v1", "llm_default_model": "scripted-todo"}
    return changes


def _made_agent(settings: Settings, password: str) -> str:
    """The first start: an account, and the assistant's record, which everybody may use."""
    prepare_database(settings, may_migrate=True)
    account = Registration(username=NAME, password=password)
    owner = with_users(settings, lambda users: users.create(account))
    draft = AgentDraft(name="To-do assistant", kind=AgentKind.python, runtime="todo", tools=[TOOL], users=None)

    async def make() -> str:
        database = open_database(settings.database_url, pool_size=1, timeout=settings.database_timeout_seconds)
        try:
            runtimes = {AgentKind.python: ["todo"]}
            agents = AgentService(database=database, clock=SystemClock(), knows_tool=TOOL.__eq__, runtimes=runtimes)
            return (await agents.create(Principal(kind=PrincipalKind.user, id=owner.id), draft)).id
        finally:
            await database.aclose()

    return asyncio.run(make())


def _kept(path: Path, make: Callable[[], str]) -> str:
    """What is in the file, made at the first start, for its owner's eyes only."""
    if not path.exists():
        made = make()
        path.touch(mode=0o600)
        path.write_text(made)
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
