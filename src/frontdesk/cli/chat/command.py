"""`frontdesk chat`: one question for a script, or a conversation on a terminal."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from frontdesk.cli.chat.answer import Answer
from frontdesk.cli.chat.connection import Connection, connect, ensure_login
from frontdesk.cli.chat.conversation import LATEST, Conversation, open_thread
from frontdesk.cli.chat.display import SilentDisplay, TerminalDisplay
from frontdesk.cli.chat.terminal import TerminalChat
from frontdesk.cli.failures import INTERRUPTED, USAGE, CommandError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def chat(
    *,
    message: Annotated[str | None, typer.Option("--message", "-m", help="Ask this, print the answer, leave.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --message: one JSON object.")] = False,
    thread: Annotated[str | None, typer.Option(help=f"Go on with this thread; {LATEST!r} is the latest.")] = None,
    model: Annotated[str | None, typer.Option(help="The model to ask; the server's default otherwise.")] = None,
    server: Annotated[str, typer.Option(help="The server's address.")] = "http://127.0.0.1:8009",
    username: Annotated[str | None, typer.Option(help="Log in as this user.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="Read the password here; - is standard input.")] = None,
) -> None:
    """Talk to a model. Ctrl-C stops an answer and keeps its text; at the prompt it leaves.

    The login is kept in ~/.config/frontdesk. A lost connection or a restart of the server is waited for.
    """
    if as_json and message is None:
        raise CommandError("--json needs --message.", exit_code=USAGE)
    if message is None and not sys.stdin.isatty():
        raise CommandError("This is not a terminal: give the question with --message.", exit_code=USAGE)
    with connect(server) as connection:
        ensure_login(connection, username, password_file)
        if message is None:
            TerminalChat(connection, model).run(thread)
        else:
            _ask_once(connection, _choose(connection, thread, model), message, as_json=as_json)


def _choose(connection: Connection, thread: str | None, model: str | None) -> Conversation:
    thread_id = connection.run(open_thread(connection.gateway, thread))["id"] if thread else None
    return Conversation(connection.gateway, thread_id=thread_id, model=model)


def _ask_once(connection: Connection, conversation: Conversation, message: str, *, as_json: bool) -> None:
    if sys.stdout.isatty() and not as_json:
        screen = TerminalDisplay(sys.stdout)
        answer = connection.run(conversation.ask(message, screen))
        screen.end_line()
    else:
        answer = connection.run(conversation.ask(message, SilentDisplay(Console(stderr=True))))
        sys.stdout.write(f"{json.dumps(asdict(answer)) if as_json else answer.text}\n")
    _leave(answer)


def _leave(answer: Answer) -> None:
    if answer.status == "failed":
        raise CommandError(f"The answer failed: {answer.error or 'the server did not say why'}.")
    if answer.status in {"interrupted", "detached"}:
        raise typer.Exit(INTERRUPTED)
