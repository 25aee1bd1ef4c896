"""The command line: one module for each command, imported when that command is used, so that each starts fast."""

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from frontdesk import __version__
from frontdesk.cli.failures import CommandError

# Each has a module with a typer application in `app`: here is where, and what the list of commands says.
_COMMANDS = {
    "up": ("frontdesk.cli.up.command", "Run everything on this machine with nothing configured."),
    "serve": ("frontdesk.cli.serve", "Run the gateway."),
    "gateway": ("frontdesk.cli.gateway", "Run the gateway before an agent's runtime elsewhere."),
    "agent": ("frontdesk.cli.agent", "Run the agent's runtime for gateways elsewhere."),
    "worker": ("frontdesk.cli.worker", "Make the answers, over Temporal."),
    "migrate": ("frontdesk.cli.migrate", "Bring the database to this version's schema."),
    "users": ("frontdesk.cli.users.command", "List, add and change accounts."),
    "search": ("frontdesk.cli.search.command", "Make the search index again."),
    "chat": ("frontdesk.cli.chat.command", "Talk to a model from this terminal."),
}


class _LazyCommands(TyperGroup):
    """Lists the commands by name and one line, and imports the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name in _COMMANDS:
            command = get_command(import_module(_COMMANDS[name][0]).app)
        return name, command, rest


def _show_version(wanted: bool) -> None:  # noqa: FBT001  typer calls it with the option's value
    if wanted:
        typer.echo(f"frontdesk {__version__}")
        raise typer.Exit


def _options(
    *, version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True)] = False
) -> None:
    """A self-hosted chat gateway: any OpenAI-compatible model behind every chat surface."""


def _stand_in() -> None:
    """What the list of commands is made from; the command itself is imported when it is called."""


def _program() -> typer.Typer:
    program = typer.Typer(name="frontdesk", cls=_LazyCommands, no_args_is_help=True, pretty_exceptions_enable=False)
    program.callback()(_options)
    for name, (_, summary) in _COMMANDS.items():
        program.command(name, help=summary)(_stand_in)
    return program


def main() -> None:
    """Runs the command that the process was started with. Exit codes: 1 a failure, 2 a wrong use, 130 interrupted."""
    try:
        _program()(prog_name="frontdesk")
    except CommandError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(error.exit_code)
