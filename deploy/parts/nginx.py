"""nginx in front of the replicas, on `deploy/nginx.conf`."""

import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from deploy.parts.program import PartFailedError, Program

TEMPLATE = Path(__file__).parents[1] / "nginx.conf"
START_SECONDS = 10.0
# A replica whose connection failed once is left alone for so long.
AVOIDED_SECONDS = 1
REPLICA_OPTIONS = f"max_fails=1 fail_timeout={AVOIDED_SECONDS}s"

_AROUND = """\
daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi; uwsgi_temp_path {folder}/nginx-uwsgi; scgi_temp_path {folder}/nginx-scgi;
  include {folder}/frontdesk.conf;
}}
"""


def filled(*, listen: str, replicas: Sequence[str], max_body_bytes: int) -> str:
    """`deploy/nginx.conf` with its placeholders filled; `replicas` are `HOST:PORT`."""
    values = {
        "FRONTDESK_LISTEN": listen,
        "FRONTDESK_REPLICAS": " ".join(f"server {replica} {REPLICA_OPTIONS};" for replica in replicas),
        "FRONTDESK_MAX_BODY_BYTES": str(max_body_bytes),
    }
    text = TEMPLATE.read_text()
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    return text


class Nginx:
    """On loopback, with its configuration and its state in `folder`. It starts before the replicas, and answers 503."""

    def __init__(
        self, folder: Path, port: int, *, replicas: Sequence[str], max_body_bytes: int, apart: bool = False
    ) -> None:
        binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if binary is None:
            raise PartFailedError("nginx is not installed: apt-get install nginx-light")
        self._port = port
        self.url = f"http://127.0.0.1:{port}"
        listen = f"127.0.0.1:{port} backlog=4096"
        configuration = folder / "nginx.conf"
        configuration.write_text(_AROUND.format(folder=folder))
        (folder / "frontdesk.conf").write_text(filled(listen=listen, replicas=replicas, max_body_bytes=max_body_bytes))
        command = (binary, "-c", str(configuration), "-e", "stderr")
        self.program = Program(*command, log=folder / "nginx.log", apart=apart)

    def start(self) -> Self:
        """Returns once it listens."""
        self.program.start()
        self.program.await_ready(self._listens, seconds=START_SECONDS)
        return self

    def stop(self) -> None:
        self.program.stop()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0
