"""The yardsticks: each a separate process on the server's core, behind one interface.

A contender knows how to start, where it listens and what the bytes of a request are. The load client treats all alike.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.client import Connection, Recorder
from benchmarks.machine import cores, cpu_seconds, private_bytes
from benchmarks.programs import HOST, BenchmarkError, Program, free_port, python

PATH = "/v1/chat/completions"
PEERS_FOLDER = Path.home() / ".cache" / "frontdesk-benchmark-peers"


def http_request(method: str, path: str, *, port: int, body: object = None, token: str = "") -> bytes:
    payload = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    head = [f"{method} {path} HTTP/1.1", f"Host: {HOST}:{port}", f"Content-Length: {len(payload)}"]
    if payload:
        head.append("Content-Type: application/json")
    if token:
        head.append(f"Authorization: Bearer {token}")
    return "\r\n".join([*head, "", ""]).encode() + payload


class Provider:
    """The scripted model provider, where the load is."""

    def __init__(self, folder: Path) -> None:
        self._program = Program(
            python("-m", "frontdesk.model_stub", "--port", "0"), core=None, log=folder / "provider.log"
        )
        self.url = ""
        self.port = 0

    async def start(self) -> None:
        self.url = (await self._program.first_line())["url"]
        self.port = int(self.url.split(":")[2].split("/")[0])

    def cpu_seconds(self) -> float:
        return cpu_seconds(self._program.pid)

    def stop(self) -> None:
        self._program.stop()


class Contender:
    """`requests` hands out bytes ready to send; what they need (accounts, threads) was made before, untimed."""

    name: str
    has_core = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.name
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.program: Program | None = None

    @property
    def ports(self) -> list[int]:
        """Where it can be asked, all the same."""
        return [self.port]

    async def start(self, provider: Provider) -> None:
        self.program = self._run(self.command(provider))
        await self.program.listening(self.port)

    def _run(self, command: list[str], **extra: str) -> Program:
        core = cores()[0] if self.has_core else None
        return Program(command, core=core, log=self.folder / f"{self.name}.log", extra=extra)

    def command(self, provider: Provider) -> list[str]:
        raise NotImplementedError

    def body(self, model: str) -> dict[str, object]:
        return {"model": model, "stream": True, "messages": [{"role": "user", "content": "How long is the coast?"}]}

    async def requests(self, model: str, count: int) -> list[bytes]:
        return [http_request("POST", PATH, port=self.port, body=self.body(model), token=self.token())] * count

    async def open_stream(self, number: int, request: bytes, recorder: Recorder) -> Connection:
        """The answer to one of the requests, begun."""
        connection = await Connection.open(self.ports[number % len(self.ports)], recorder)
        connection.begin(request)
        return connection

    def token(self) -> str:
        return ""

    def running(self) -> Program:
        if self.program is None:
            raise BenchmarkError(f"{self.name} was not started")
        return self.program

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.running().pid)

    def private_bytes(self) -> int:
        return private_bytes(self.running().pid)

    def stop(self) -> None:
        if self.program is not None:
            self.program.stop()
            self.program = None


class Direct(Contender):
    """The client straight at the provider: the floor of every latency. It has no server, so no CPU and no memory."""

    name = "direct"

    async def start(self, provider: Provider) -> None:
        self.port = provider.port

    def cpu_seconds(self) -> float:
        return 0.0

    def private_bytes(self) -> int:
        return 0


NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log warn;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  upstream provider {{ server 127.0.0.1:{provider}; keepalive 1024; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 600s;
    }}
  }}
}}
"""


class Nginx(Contender):
    """`proxy_pass` without buffering, one worker, keep-alive upstream: what a relay costs in C."""

    name = "nginx"

    def command(self, provider: Provider) -> list[str]:
        configuration = self.folder / "nginx.conf"
        configuration.write_text(NGINX.format(folder=self.folder, provider=provider.port, port=self.port))
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        return [program, "-c", str(configuration), "-e", str(self.folder / "start.log")]


class AiohttpRelay(Contender):
    """The thinnest relay in Python; see `relays.aiohttp_relay`."""

    name = "aiohttp relay"

    def command(self, provider: Provider) -> list[str]:
        return python("-m", "benchmarks.relays.aiohttp_relay", provider.url, str(self.port))


class HttpxRelay(Contender):
    """FastAPI and httpx as most people write it; see `relays.httpx_relay`."""

    name = "httpx relay"

    def command(self, provider: Provider) -> list[str]:
        return python("-m", "benchmarks.relays.httpx_relay", provider.url, str(self.port))


LITELLM = """
model_list:
  - model_name: "openai/*"
    litellm_params: {{model: "openai/*", api_base: "{url}", api_key: "sk-none"}}
litellm_settings: {{telemetry: false, num_retries: 0, request_timeout: 600}}
"""


class LiteLLM(Contender):
    """LiteLLM's proxy with one worker, in an environment of its own outside the repository (`BENCH_PEERS=1`)."""

    name = "LiteLLM"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._key = f"sk-{secrets.token_hex(32)}"

    def token(self) -> str:
        return self._key

    @staticmethod
    def install() -> Path:
        home = Path(os.environ.get("BENCH_PEERS_FOLDER", PEERS_FOLDER))
        program = home / "bin" / "litellm"
        if not program.exists():
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
            subprocess.run([str(home / "bin" / "pip"), "install", "--quiet", "litellm[proxy]"], check=True)
        return program

    async def start(self, provider: Provider) -> None:
        configuration = self.folder / "config.yaml"
        configuration.write_text(LITELLM.format(url=provider.url))
        command = [str(self.install()), "--config", str(configuration), "--host", HOST, "--port", str(self.port)]
        self.program = self._run(
            [*command, "--num_workers", "1"],
            PYTHONPATH="",
            LITELLM_MASTER_KEY=self._key,
            LITELLM_LOCAL_MODEL_COST_MAP="True",
            LITELLM_LOG="ERROR",
            LITELLM_MODE="PRODUCTION",
        )
        await self.program.listening(self.port, seconds=180)

    def body(self, model: str) -> dict[str, object]:
        return {**super().body(model), "model": f"openai/{model}"}
