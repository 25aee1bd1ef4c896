"""`make up-scaled`: Frontdesk as it stands on several machines, on this one, with nothing configured.

SIGHUP restarts our own processes one after the other; SIGINT and SIGTERM end everything in order.
"""

import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Annotated

import typer
from rich.console import Console

from deploy.parts.program import PartFailedError
from deploy.topology import MOST_OF_A_KIND, PORTS, Engine, Front, Plan, Stores, running_front, running_stores
from frontdesk.cli.configuration import read_settings
from frontdesk.cli.database import prepare_database
from frontdesk.cli.failures import CommandError
from frontdesk.cli.up.data_folder import settings_for
from frontdesk.cli.up.first_admin import ensure_admin
from frontdesk.cli.up.instructions import print_instructions
from frontdesk.cli.up.model_process import embedded_model, is_needed
from frontdesk.settings import Settings

_LOOK_SECONDS = 0.5
_ENDS = {signal.SIGINT, signal.SIGTERM}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
Count = Annotated[int, typer.Option(min=1, max=MOST_OF_A_KIND)]


@app.command()
def up_scaled(
    *,
    engine: Annotated[Engine, typer.Option(help="Who runs the answers: the replicas, or workers over Temporal.")] = (
        "temporal"
    ),
    replicas: Count = 2,
    workers: Count = 2,
    port: Annotated[int, typer.Option(min=1, max=65_000, help=f"nginx's; the {PORTS} above are the parts'.")] = 8009,
    data_folder: Annotated[Path, typer.Option(help="Where everything keeps its state and its log.")] = Path(
        ".frontdesk-scaled"
    ),
    username: Annotated[str, typer.Option(help="The name of the first administrator.")] = "admin",
) -> None:
    """Run nginx, replicas, workers, PostgreSQL, Redis, Temporal and, when nothing else answers, a small model.

    CHAT_* variables and `.env` count, but for the addresses of the parts. Everything listens on loopback only.
    """
    configured = read_settings()
    settings = settings_for(data_folder, configured).model_copy(update={"log_level": configured.log_level})
    plan = Plan(folder=data_folder.resolve(), port=port, engine=engine, replicas=replicas, workers=workers)
    console = Console(highlight=False, soft_wrap=True)
    for number in _ENDS:
        signal.signal(number, _interrupt)
    try:
        _run(plan, settings, username=username, console=console)
    except KeyboardInterrupt:
        console.print("Everything has ended.")
    except PartFailedError as error:
        raise CommandError(str(error)) from error


def _run(plan: Plan, settings: Settings, *, username: str, console: Console) -> None:
    wanted: SimpleQueue[str] = SimpleQueue()
    with ExitStack() as parts:
        if is_needed(settings):
            parts.enter_context(embedded_model(settings))
        console.print("Starting PostgreSQL, Redis" + (" and Temporal" if plan.engine == "temporal" else ""))
        stores = parts.enter_context(running_stores(plan, settings))
        prepare_database(stores.settings, may_migrate=True)
        admin, password = ensure_admin(stores.settings, username, console)
        console.print("Starting replicas, workers and nginx")
        front = parts.enter_context(running_front(plan, stores.settings))
        parts.callback(_end_undisturbed, console)
        signal.signal(signal.SIGHUP, lambda *_: wanted.put("restart"))
        address = front.nginx.url
        print_instructions(console, address + settings.api_prefix, admin, pages=address, password=password)
        console.print(f"Logs and state: {plan.folder}. kill -HUP {os.getpid()} restarts replica after replica.")
        _look_after(stores, front, wanted, console=console)


def _look_after(stores: Stores, front: Front, wanted: SimpleQueue[str], *, console: Console) -> None:
    """Until a signal ends it. Raises `PartFailedError` when a part has ended by itself."""
    while True:
        try:
            wanted.get(timeout=_LOOK_SECONDS)
        except Empty:
            stores.check()
            front.check()
            continue
        front.roll(lambda line: console.print(line, markup=False))
        console.print("Every process was restarted.")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _end_undisturbed(console: Console) -> None:
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)
    console.print("\nEnding: answers have CHAT_DRAIN_SECONDS to end in.")


def main() -> None:
    try:
        app(prog_name="make up-scaled")
    except CommandError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
