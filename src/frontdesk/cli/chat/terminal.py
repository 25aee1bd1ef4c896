"""The conversation on a terminal: choose a thread, ask, watch, ask again."""

import readline  # noqa: F401  line editing and history for input()
import sys
from collections.abc import Coroutine
from typing import Any

from rich.console import Console
from rich.table import Table

from frontdesk.cli.chat.answer import Answer
from frontdesk.cli.chat.connection import Connection
from frontdesk.cli.chat.conversation import Conversation, open_thread, recent_threads
from frontdesk.cli.chat.display import TerminalDisplay, without_controls
from frontdesk.cli.chat.gateway import LoginNeededError
from frontdesk.cli.failures import CommandError

_HELP = "/new begins a thread, /threads chooses one, /quit leaves (so does Ctrl-D). Ctrl-C stops an answer."


class TerminalChat:
    def __init__(self, connection: Connection, model: str | None) -> None:
        self._connection = connection
        self._model = model
        self._console = Console(highlight=False)
        self._conversation = self._in_thread(None)

    def run(self, thread: str | None) -> None:
        """Until the user leaves. `thread` is an id, `last`, or None for a choice."""
        self._note(_HELP)
        if thread is None:
            self._choose()
        else:
            self._enter(thread)
        while True:
            try:
                line = input("\n> ").strip()
            except (EOFError, KeyboardInterrupt):
                line = "/quit"
            if line == "/quit":
                return
            self._obey(line)

    def _obey(self, line: str) -> None:
        if line == "/new":
            self._conversation = self._in_thread(None)
            self._note("A new thread begins with your next message.")
        elif line == "/threads":
            self._choose()
        elif line.startswith("/"):
            self._note(_HELP)
        elif line:
            display = TerminalDisplay(sys.stdout)
            self._watch(self._conversation.ask(line, display), display)

    def _choose(self) -> None:
        threads = self._connection.run(recent_threads(self._connection.gateway))
        if not threads:
            return
        table = Table("", "Thread", "Last message", box=None)
        for number, thread in enumerate(threads, start=1):
            title = without_controls(thread["title"] or "(no title)")
            table.add_row(str(number), title, thread["last_message_at"] or "")
        self._console.print(table)
        chosen = self._ask_number("Number of the thread, or Enter for a new one: ", len(threads))
        if chosen is None:
            self._conversation = self._in_thread(None)
        else:
            self._enter(threads[chosen - 1]["id"])

    def _ask_number(self, prompt: str, largest: int) -> int | None:
        while True:
            try:
                line = input(prompt).strip()
            except EOFError:
                return None
            if not line:
                return None
            if line.isdecimal() and 1 <= int(line) <= largest:
                return int(line)

    def _enter(self, thread_id: str) -> None:
        thread = self._connection.run(open_thread(self._connection.gateway, thread_id))
        self._conversation = self._in_thread(thread["id"])
        running = thread["active_execution_id"]
        for message in thread["messages"]:
            # The answer that is under way is about to be shown from its start.
            if running is None or message["execution_id"] != running or message["role"] == "user":
                self._show(message)
        if running:
            display = TerminalDisplay(sys.stdout)
            self._watch(self._conversation.join(thread["id"], running, display), display)

    def _show(self, message: dict[str, Any]) -> None:
        text = without_controls(message["text"] or "")
        if message["role"] == "user":
            self._console.print(f"\n> {text}", style="dim", markup=False)
        else:
            self._console.print(text, markup=False)

    def _watch(self, work: Coroutine[Any, Any, Answer], display: TerminalDisplay) -> None:
        try:
            answer = self._connection.run(work)
        except LoginNeededError:
            raise
        except CommandError as error:
            display.end_line()
            self._note(f"Error: {error}", style="red")
            return
        display.end_line()
        if answer.status == "failed":
            self._note(f"The answer failed: {answer.error}", style="red")
        elif answer.status == "interrupted":
            self._note("(stopped)")
        elif answer.status == "detached":
            self._note("(left; the answer goes on without you)")

    def _in_thread(self, thread_id: str | None) -> Conversation:
        return Conversation(self._connection.gateway, thread_id=thread_id, model=self._model)

    def _note(self, text: str, style: str = "dim") -> None:
        self._console.print(text, style=style, markup=False)
