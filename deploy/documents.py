"""`make example-documents`: the gateway before the example document back end, on this machine, with nothing configured.

SIGINT and SIGTERM end everything.
"""

import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.parts.announced import announced
from deploy.parts.gateway import Replica
from deploy.parts.program import PartFailedError
from frontdesk.cli.configuration import read_settings
from frontdesk.cli.failures import CommandError
from frontdesk.cli.up.data_folder import settings_for
from frontdesk.cli.up.model_process import embedded_model, is_needed
from frontdesk.settings import Settings

_LOOK_SECONDS = 0.5
_STUB_MODEL = "scripted?tokens=40&pause_ms=50"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def example_documents(
    *,
    port: Annotated[int, typer.Option(min=1, max=65_000, help="The gateway's; the next is the back end's.")] = 8009,
    stub: Annotated[bool, typer.Option(help="Have the scripted model answer, whatever is configured.")] = False,
    data_folder: Annotated[Path, typer.Option(help="Where both keep their state and their logs.")] = Path(
        ".frontdesk-documents"
    ),
) -> None:
    """Run the gateway and `examples/document_api`, and say what to try.

    CHAT_* variables and `.env` count, but for API_BASE_URL. Everything listens on loopback only. When nothing answers
    where the model is configured, the embedded one is started.
    """
    folder = data_folder.resolve()
    settings = settings_for(folder, read_settings())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        _run(folder, settings, port=port, stub=stub)
    except KeyboardInterrupt:
        sys.stdout.write("Everything has ended.\n")
    except PartFailedError as error:
        raise CommandError(str(error)) from error


def _run(folder: Path, settings: Settings, *, port: int, stub: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    with ExitStack() as parts:
        changes: dict[str, object] = {}
        if stub:
            model = announced(parts, "model", folder, "frontdesk.model_stub", "--port", str(port + 2))
            changes = {"llm_enabled": True, "llm_api_base": model, "llm_default_model": _STUB_MODEL}
        elif is_needed(settings):
            parts.enter_context(embedded_model(settings))
        data = str(folder / "documents")
        url = announced(parts, "documents", folder, "document_api", "--port", str(port + 1), "--data", data)
        changes |= {"api_base_url": url}
        gateway = Replica(1, port, folder=folder, settings=settings.model_copy(update=changes))
        parts.callback(gateway.stop)
        gateway.start()
        console.print(_instructions(f"http://{gateway.address}", folder), markup=False)
        while True:
            time.sleep(_LOOK_SECONDS)
            gateway.program.check()


def _instructions(address: str, folder: Path) -> str:
    return f"""\
The gateway answers at {address}, the document back end behind it. Logs and state: {folder}

  H='Content-Type: application/json'
  S=$(curl -s {address}/chat/sessions -H "$H" -d '{{"title": "Documents"}}' |
    python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])')
  curl -N {address}/chat/sessions/$S/events &
  curl {address}/chat/sessions/$S/messages -H "$H" -d '{{"role": "user", "content": "Hello!", "respond": true}}'
  curl {address}/agent/tools
  curl {address}/agent/tools/ingest_text/invoke -H "$H" -H "X-Agent-Session-Id: $S" \\
    -d '{{"arguments": {{"title": "Notes", "text": "some   [music] words"}}}}'
  curl {address}/agent/tools/session_events/invoke -X POST -H "X-Agent-Session-Id: $S"

Ctrl-C ends everything."""


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    try:
        app(prog_name="make example-documents")
    except CommandError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
