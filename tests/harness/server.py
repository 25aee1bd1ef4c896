"""The served program under test: started, killed and started again on the same port, with a client for its users."""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil

from frontdesk.database.migrations import upgrade
from harness.ports import lasting_port
from harness.processes import Process
from harness.scaled import parts_behind
from harness.threads_client import ThreadsClient

PASSWORD = "correct horse battery staple"
POLL_SECONDS = 0.02
START_SECONDS = 100.0
UNPREFIXED = {"api_base_url", "forwarded_cookie_names"}
# Below the range from which the kernel takes the ports of outgoing connections: a restart finds its port free.
PORTS = range(18600, 18900)


class Server:
    """`settings` are environment variables without their prefix `CHAT_`, in lower case, or whole ones in upper case.

    `workers` are the addresses of processes that make its answers: what is measured is measured of all together.
    `command` is the program's: `serve`, `gateway` or `agent`.
    """

    def __init__(
        self,
        *,
        database_url: str,
        model_url: str,
        directory: Path,
        settings: dict[str, object],
        ports: range = PORTS,
        workers: Sequence[str] = (),
        command: str = "serve",
    ) -> None:
        self.port = lasting_port(ports)
        self.url = f"http://127.0.0.1:{self.port}"
        self._workers = workers
        self.log = directory / "server.log"
        self.session = aiohttp.ClientSession(
            # Less than the server's own 5 s: a connection that it is just closing is not used again.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=2),
            timeout=aiohttp.ClientTimeout(total=30),
        )
        self._admin: ThreadsClient | None = None
        chosen = self.settings = {
            "database_url": database_url,
            "llm_api_base": model_url,
            "jwt_secret_key": "a secret for tests that is long enough",
            "access_token_expire_minutes": 1440,
            "search_enabled": False,
            "password_hashing": "owasp",
            **settings,
        }
        inherited: dict[str, str | None] = {name: None for name in os.environ if name.startswith("CHAT_")}
        named = {_variable(name): str(value) for name, value in chosen.items()}
        self.environment = inherited | named
        self.process = Process(
            "frontdesk",
            command,
            "--port",
            str(self.port),
            log=self.log,
            environment=self.environment,
            directory=directory,
        )

    async def start(self) -> None:
        """Returns once it answers."""
        self.process.start()
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while not await self._answers():
            await asyncio.sleep(POLL_SECONDS)
            assert psutil.Process(self.process.pid).status() != psutil.STATUS_ZOMBIE, self._tail()
            assert asyncio.get_running_loop().time() < deadline, f"not ready: {self._tail()}"

    async def kill_and_restart(self) -> None:
        """`kill -9`, then a new process at once."""
        self.process.kill()
        await self.start()

    async def user(self, name: str) -> ThreadsClient:
        """A client signed in as `name`, who is registered first. The first one is the administrator."""
        anybody = self._admin or ThreadsClient(self.session, self.url, token=None, user_id="")
        registered = await anybody.ask("POST", "/auth/register", {"username": name, "password": PASSWORD})
        assert registered.status == 201, registered
        signed_in = await anybody.ask("POST", "/auth/login", {"username": name, "password": PASSWORD})
        assert signed_in.status == 200, signed_in
        client = ThreadsClient(
            self.session, self.url, token=signed_in.body["access_token"], user_id=registered.body["id"]
        )
        self._admin = self._admin or client
        return client

    async def metric(self, name: str) -> float:
        """The value of a measurement without labels."""
        return (await self.metrics())[name]

    async def metrics(self) -> dict[str, float]:
        """Every measurement by its name, with its labels as they are written: the sum over all processes."""
        found: defaultdict[str, float] = defaultdict(float)
        for url in (self.url, *self._workers):
            async with self.session.get(f"{url}/metrics") as response:
                lines = (await response.text()).splitlines()
            for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#")):
                found[name] += float(value)
        return dict(found)

    async def total(self, name: str, labelled: str = "") -> float:
        """The sum of a measurement's values over all its labels, or over those that `labelled` is written in."""
        found = (await self.metrics()).items()
        return sum(value for labels, value in found if labels.startswith(f"{name}{{") and labelled in labels)

    async def settled(self, name: str, value: float, *, seconds: float) -> float:
        """The measurement once it is `value`, or what it is when the time is over."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            found = await self.metric(name)
            if found == value or asyncio.get_running_loop().time() > deadline:
                return found
            await asyncio.sleep(POLL_SECONDS)

    @property
    def resident_bytes(self) -> int:
        return self.process.resident_bytes

    @property
    def cpu_seconds(self) -> float:
        return self.process.cpu_seconds

    @property
    def unsent_bytes(self) -> int:
        """What the kernel holds of what the server has written, for all its connections together."""
        own = f":{self.port:04X}"
        lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        return sum(int(fields[4].partition(":")[0], 16) for fields in lines if fields[1].endswith(own))

    @property
    def descriptors(self) -> int:
        return int(psutil.Process(self.process.pid).num_fds())

    async def aclose(self) -> None:
        """Killed, if it runs, and its clients gone."""
        await self.session.close()
        if self.process.started:
            self.process.kill()

    async def _answers(self) -> bool:
        try:
            async with self.session.get(f"{self.url}/health") as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError):
            return False

    def _tail(self) -> str:
        return self.process.output()[-2000:]


def _variable(setting: str) -> str:
    is_whole = setting.isupper() or setting in UNPREFIXED or setting.startswith("gateway__")
    return setting.upper() if is_whole else f"CHAT_{setting.upper()}"


@asynccontextmanager
async def serve(*, database_url: str, model_url: str, directory: Path, **settings: object) -> AsyncIterator[Server]:
    """The program on a database that is brought to its newest revision first. It is killed at the end."""
    await asyncio.to_thread(upgrade, database_url)
    urls = {"database_url": database_url, "model_url": model_url}
    async with parts_behind(directory, **urls, settings=settings) as behind:
        server = Server(**urls, directory=directory, settings=settings | behind.settings, workers=behind.workers)
        try:
            await server.start()
            yield server
        finally:
            await server.aclose()
