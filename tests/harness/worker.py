"""`frontdesk worker` as a process of its own."""

import asyncio
import os
from pathlib import Path

from harness.command_line import await_output
from harness.processes import Process


def worker_process(
    folder: Path, *, database_url: str, model_url: str, temporal: str, name: str = "worker", **settings: object
) -> Process:
    """Not yet started. `settings` are environment variables without their prefix `CHAT_`, in lower case."""
    chosen = {"database_url": database_url, "llm_api_base": model_url, "temporal_address": temporal, **settings}
    inherited: dict[str, str | None] = {key: None for key in os.environ if key.startswith("CHAT_")}
    named = {f"CHAT_{key.upper()}": str(value) for key, value in chosen.items()}
    return Process(
        "frontdesk",
        "worker",
        "--without-shared-log",
        *("--port", "0"),
        log=folder / f"{name}.log",
        environment=inherited | named,
        directory=folder,
    )


def await_worker(process: Process) -> str:
    """Returns once it takes executions, with the address at which it answers operators."""
    await_output(process, "Frontdesk works for Temporal")
    return await_output(process, r"Operators are answered on (\S+)").group(1)


class Worker:
    """A worker that is killed and started again."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def start(self) -> None:
        """Returns once it takes executions."""
        self.process.start()
        await asyncio.to_thread(await_worker, self.process)

    async def kill_and_restart(self) -> None:
        """`kill -9`, then a new process at once."""
        self.process.kill()
        await self.start()

    def close(self) -> None:
        """Killed, if it runs."""
        if self.process.started:
            self.process.kill()
