"""`python -m frontdesk.embedded_model`: serves until SIGTERM or SIGINT."""

import argparse
import os
import signal
import socket
import sys
from threading import Thread

from frontdesk.embedded_model import INSTALL_COMMANDS, MODEL_ID
from frontdesk.embedded_model.weights import EmbeddedModelMissingError, require_installed

_STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}
_CANNOT_START = 2


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m frontdesk.embedded_model", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--threads", type=int, default=min(4, os.cpu_count() or 1), help="threads that compute")
    parser.add_argument("--slots", type=int, default=4, help="answers at the same time; more wait for their turn")
    parser.add_argument("--context", type=int, default=4096, help="tokens of context for each slot")
    parser.add_argument("--until-stdin-closes", action="store_true", help="also stop when standard input ends")
    return parser.parse_args()


def _refuse(reason: str) -> int:
    sys.stderr.write(f"The embedded model cannot start: {reason}\n")
    return _CANNOT_START


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _stop_when_stdin_closes() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    arguments = _parse_arguments()
    # Blocked before the runtime makes its threads, so that only sigwait below ever takes one.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        weights = require_installed()
    except EmbeddedModelMissingError as error:
        return _refuse(f"{error}. Install it with:\n  " + "\n  ".join(INSTALL_COMMANDS))
    if not _is_free(arguments.host, arguments.port):
        return _refuse(f"port {arguments.port} on {arguments.host} is in use.")
    from frontdesk.embedded_model.server import ServerOptions, start_server  # noqa: PLC0415  an optional extra

    options = ServerOptions(
        arguments.host, arguments.port, threads=arguments.threads, slots=arguments.slots, context=arguments.context
    )
    try:
        server = start_server(weights, options)
    except RuntimeError as error:
        return _refuse(str(error))
    sys.stdout.write(f"{MODEL_ID} answers on {server.listening_address}/v1\n")
    sys.stdout.flush()
    if arguments.until_stdin_closes:
        Thread(target=_stop_when_stdin_closes, daemon=True).start()
    signal.sigwait(_STOP_SIGNALS)
    # llama.cpp waits for up to 30 s for streams that nobody can finish; there is no state to lose.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
