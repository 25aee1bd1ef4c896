"""What a token costs in the ChatKit protocol, here and with the package's own server: at a model's pace, where each
token is a read and a write, and as fast as the provider can send them.

Each answer is a new thread. The other server keeps everything in memory and forgets it at its end; ours stores it. Two
yardsticks say what of the price is the wire's: a relay that copies the provider's bytes, and the threads API.
"""

import asyncio
import json
from pathlib import Path

from benchmarks.bench import Bench, quiet, say
from benchmarks.client import ask_all
from benchmarks.contenders import AiohttpRelay, Contender, Provider, http_request
from benchmarks.figures import Rows, Table
from benchmarks.frontdesk_server import Frontdesk
from benchmarks.programs import HOST, BenchmarkError, python

TOKENS = 1_000
STREAMS = 8
PACED, AT_ONCE = f"scripted?tokens={TOKENS}&pause_ms=4", f"scripted?tokens={TOKENS}"
LAST = f"t{TOKENS - 1} ".encode()
END = b"\r\n0\r\n\r\n"
COPIES = 2  # in its delta, and in the item that is done
PACKAGE, THREADS = "package", "threads API"


def _request(port: int, token: str, *, model: str) -> bytes:
    content = [{"type": "input_text", "text": "How long is the coast?"}]
    asked = {"content": content, "attachments": [], "inference_options": {"model": model}}
    body = {"type": "threads.create", "params": {"input": asked}}
    return http_request("POST", "/chatkit", port=port, body=body, token=token)


class Sample(Contender):
    name = PACKAGE

    async def requests(self, model: str, count: int) -> list[bytes]:
        return [_request(self.port, "", model=model)] * count

    def command(self, provider: Provider) -> list[str]:
        return python("-m", "benchmarks.relays.chatkit_sample", provider.url, str(self.port))


class Ours(Frontdesk):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, CHAT_TIERS='{"free": {}}')

    async def requests(self, model: str, count: int) -> list[bytes]:
        answer = await self.call("POST", "/api/chatkit/session")
        return [_request(self.port, json.loads(answer.body)["client_secret"], model=model)] * count


def _threads(folder: Path) -> Frontdesk:
    return Frontdesk(folder, name=THREADS)


async def _round(contender: Contender, model: str) -> float:
    """CPU milliseconds for 1,000 tokens."""
    requests = await contender.requests(model, STREAMS)
    await quiet(contender)
    before = contender.cpu_seconds()
    done = await ask_all([contender.port], requests, concurrency=STREAMS)
    await quiet(contender)
    spent = contender.cpu_seconds() - before
    wrong = [answer.status for answer in done if answer.status != 200]
    if wrong:
        raise BenchmarkError(f"{contender.name} answered {wrong}")
    return spent * 1000 / STREAMS / TOKENS * 1000


async def _check(contender: Contender) -> None:
    """That its answer is whole, as the timed ones are not looked at."""
    (request,) = await contender.requests(AT_ONCE, 1)
    reader, writer = await asyncio.open_connection(HOST, contender.port)
    writer.write(request)
    body = b""
    while END not in body:
        piece = await reader.read(65_536)
        if not piece:
            break
        body += piece
    writer.close()
    if body.count(LAST) < (COPIES if isinstance(contender, Sample | Ours) else 1):
        raise BenchmarkError(f"{contender.name} answered {body[-500:]!r}")


async def measure(bench: Bench) -> Rows:
    table = Table()
    async with bench.fleet([Sample, AiohttpRelay, _threads, Ours]) as (_, contenders):
        for contender in contenders:
            await _check(contender)
        for number in range(bench.count(2, 5)):
            say(f"  round {number + 1}")
            for model, how in ((PACED, "paced"), (AT_ONCE, "at_once")):
                spent = {contender.name: await _round(contender, model) for contender in contenders}
                for name, milliseconds in spent.items():
                    share = {} if name == PACKAGE else {f"share_of_package_{how}": milliseconds / spent[PACKAGE]}
                    table.add(name, **{f"cpu_ms_per_1000_tokens_{how}": milliseconds}, **share)
    return table.rows()
