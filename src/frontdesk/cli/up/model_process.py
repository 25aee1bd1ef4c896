"""The embedded model's process: started beside the gateway, and gone when the gateway is gone, however that ends."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from frontdesk.cli.failures import CommandError
from frontdesk.embedded_model import INSTALL_COMMANDS
from frontdesk.embedded_model.weights import EmbeddedModelMissingError, require_installed
from frontdesk.settings import Settings

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_CONNECT_SECONDS = 0.5
_STOP_SECONDS = 5.0


def is_needed(settings: Settings) -> bool:
    """Whether answers are to come from an address on this machine where nothing listens."""
    address = urlsplit(settings.llm_base_url)
    if not settings.llm_enabled or address.scheme != "http" or address.hostname not in _LOOPBACK:
        return False
    try:
        with socket.create_connection((address.hostname, address.port or 80), timeout=_CONNECT_SECONDS):
            return False
    except OSError:
        return True


@contextmanager
def embedded_model(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Does not wait until the model answers. Raises CommandError when it is not installed."""
    try:
        require_installed()
    except EmbeddedModelMissingError as error:
        commands = "".join(f"\n  {command}" for command in INSTALL_COMMANDS)
        raise CommandError(
            f"Nothing answers at {settings.llm_base_url}, and {error}. Install the embedded model:{commands}\n"
            "or set CHAT_LLM_API_BASE to an OpenAI-compatible provider."
        ) from error
    port = urlsplit(settings.llm_base_url).port or 80
    command = [sys.executable, "-m", "frontdesk.embedded_model", "--port", str(port), "--until-stdin-closes"]
    # A session of its own: Ctrl-C is for the gateway, which drains its answers before the model may go.
    process = subprocess.Popen(  # noqa: S603  our own interpreter and module
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
