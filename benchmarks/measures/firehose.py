"""Answers as fast as the provider can send them: what a token costs the server, and how many one core carries.

200 tokens is a chat answer, where the message's own cost counts; the step from 200 to 2,000 is the token's cost alone.
"""

import time

from benchmarks.bench import Bench, quiet, say
from benchmarks.client import ask_all
from benchmarks.contenders import Contender
from benchmarks.figures import Rows, Table
from benchmarks.programs import BenchmarkError

CONCURRENCY = 8
SHORT, LONG = 200, 2000
ANSWERS = {SHORT: 160, LONG: 32}
SLOW = frozenset({"LiteLLM"})


async def answer_round(contender: Contender, tokens: int, answers: int) -> tuple[float, float]:
    """CPU seconds and wall seconds for all answers."""
    requests = await contender.requests(f"scripted?tokens={tokens}", answers)
    await quiet(contender)
    cpu, start = contender.cpu_seconds(), time.monotonic()
    done = await ask_all(contender.ports, requests, concurrency=CONCURRENCY)
    wall = time.monotonic() - start
    await quiet(contender)
    wrong = [answer.tokens for answer in done if answer.tokens != tokens]
    if wrong:
        raise BenchmarkError(f"{contender.name} delivered {wrong[:5]} tokens instead of {tokens}")
    return contender.cpu_seconds() - cpu, wall


async def turn(contender: Contender, table: Table) -> None:
    """One contender's part of a round."""
    cpu_ms: dict[int, float] = {}
    for tokens in (SHORT, LONG):
        answers = ANSWERS[tokens] // (8 if contender.name in SLOW else 1)
        cpu, wall = await answer_round(contender, tokens, answers)
        cpu_ms[tokens] = cpu * 1000 / answers
        values = {
            f"cpu_ms_per_1000_tokens_{tokens}": cpu_ms[tokens] / tokens * 1000,
            f"tokens_per_second_{tokens}": answers * tokens / wall,
            f"streams_per_second_{tokens}": answers / wall,
            f"tokens_per_cpu_second_{tokens}": answers * tokens / cpu if cpu else 0.0,
        }
        table.add(contender.name, **values)
    marginal = (cpu_ms[LONG] - cpu_ms[SHORT]) / (LONG - SHORT) * 1000
    table.add(contender.name, marginal_cpu_ms_per_1000_tokens=marginal)


async def measure(bench: Bench) -> Rows:
    table = Table()
    async with bench.fleet(bench.contenders()) as (_, contenders):
        for contender in contenders:
            await answer_round(contender, SHORT, CONCURRENCY)
        for number in range(bench.count(3, 7)):
            say(f"  round {number + 1}")
            for contender in contenders:
                await turn(contender, table)
    return table.rows()
