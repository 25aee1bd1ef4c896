"""OpenAI's API at `/v1` next to relays and to LiteLLM: what a token costs on its way, and how late the first one is.

The relays know nobody and count nothing. Here each caller is authenticated, and what they use is counted and stored.
"""

from benchmarks.bench import Bench, say
from benchmarks.figures import Rows, Table, percentile
from benchmarks.frontdesk_server import FrontdeskProxy
from benchmarks.measures.firehose import CONCURRENCY, SHORT, answer_round, turn
from benchmarks.measures.first_token import first_tokens


async def measure(bench: Bench) -> Rows:
    table = Table()
    async with bench.fleet(bench.contenders(ours=FrontdeskProxy)) as (_, contenders):
        for contender in contenders:
            await answer_round(contender, SHORT, CONCURRENCY)
        for number in range(bench.count(3, 7)):
            say(f"  round {number + 1}")
            floor = 0.0
            for contender in contenders:
                await turn(contender, table)
                half = percentile(await first_tokens(contender, bench.count(60, 150)), 0.5)
                floor = half if contender.name == "direct" else floor
                table.add(contender.name, p50_ms=half, added_p50_ms=half - floor)
    return table.rows()
