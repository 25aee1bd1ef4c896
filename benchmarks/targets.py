"""What is promised, each as a limit on a figure or on a ratio of two figures of one run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.figures import Figure, Rows

Results = Mapping[str, Rows]
OURS = "frontdesk"
HTTPX, AIOHTTP, NGINX, LITELLM = "httpx relay", "aiohttp relay", "nginx", "LiteLLM"
# Of `shared_log`: one server with each kind of log, and replicas.
ALONE, SHARED = "in process", "shared"
ONE, OWN, HERE, ELSEWHERE = "1 replica", "2 with own logs", "2, read where made", "2, read elsewhere"

# Of `search_quality`.
STORES = ("SQLite and Chroma", "PostgreSQL and pgvector")
PARTS, PLAIN_CHROMA = ("semantic, {}", "text, {}"), "plain Chroma"

# Of `websocket`: the two wires of one server.
STREAMS, SOCKETS = "event streams", "sockets"


@dataclass(frozen=True)
class Target:
    text: str
    limit: float
    at_least: bool
    figure: Callable[[Results], Figure]

    def measured(self, results: Results) -> Figure | None:
        """None when the run did not measure what the target compares."""
        try:
            figure = self.figure(results)
        except KeyError:
            return None
        return figure or None

    def is_met(self, figure: Figure) -> bool:
        return figure.median >= self.limit if self.at_least else figure.median <= self.limit


def _ratio(measure: str, metric: str, other: str) -> Callable[[Results], Figure]:
    return lambda results: results[measure][OURS][metric].over(results[measure][other][metric])


def _own(measure: str, metric: str) -> Callable[[Results], Figure]:
    return lambda results: results[measure][OURS][metric]


def _within(measure: str, metric: str, other: str) -> Callable[[Results], Figure]:
    return lambda results: results[measure][OURS][metric].over(results[measure][OURS][other])


def _sockets(metric: str, *, over_streams: bool = True) -> Callable[[Results], Figure]:
    """A figure of the sockets, over that of the event streams of the same round."""

    def figure(results: Results) -> Figure:
        rows = results["websocket"]
        return rows[SOCKETS][metric].over(rows[STREAMS][metric]) if over_streams else rows[SOCKETS][metric]

    return figure


def _of(contender: str, metric: str, other: tuple[str, str] | None = None) -> Callable[[Results], Figure]:
    """A contender's figure in `shared_log`, over another's if there is one."""

    def figure(results: Results) -> Figure:
        rows = results["shared_log"]
        return rows[contender][metric].over(rows[other[0]][other[1]]) if other else rows[contender][metric]

    return figure


def _quality(language: str, others: Sequence[str]) -> Callable[[Results], Figure]:
    """Hybrid's nDCG@10 over that of the best of the others, each on the same store."""

    def figure(results: Results) -> Figure:
        rows, metric = results["search_quality"], f"{language}_ndcg10"
        ratios = Figure()
        for store in STORES:
            best = max(rows[name.format(store)][metric].median for name in others)
            ratios.append(rows[f"hybrid, {store}"][metric].median / best)
        return ratios

    return figure


def _at_100_000(contender: str, metric: str) -> Callable[[Results], Figure]:
    return lambda results: results["search_load"][contender][f"100000_{metric}"]


def _recall(index: str, scene: str) -> Callable[[Results], Figure]:
    return lambda results: results["vector_index"][index][f"10000_{scene}_recall"]


def _chatkit(how: str) -> Callable[[Results], Figure]:
    return lambda results: results["chatkit"][OURS][f"share_of_package_{how}"]


def _attachments(metric: str) -> Callable[[Results], Figure]:
    return lambda results: results["attachments"]["attachments"][metric]


def _scrolling(results: Results) -> Figure:
    thread = results["web_page"]["thread of 10,000"]
    return thread["frames_per_second"].over(thread["plain_frames_per_second"])


def _page(row: str, metric: str) -> Callable[[Results], Figure]:
    return lambda results: results["web_page"][row][metric]


def _search(kind: str) -> Callable[[Results], Figure]:
    return lambda results: results["attachments"][f"attachments, {kind}"]["search_p95_ms"]


def _lag(results: Results) -> Figure:
    return results["vector_index"]["packaged E5"]["loop_lag_ms"]


def _most(text: str, limit: float, figure: Callable[[Results], Figure]) -> Target:
    return Target(text, limit, at_least=False, figure=figure)


def _least(text: str, limit: float, figure: Callable[[Results], Figure]) -> Target:
    return Target(text, limit, at_least=True, figure=figure)


CPU, RATE, MARGINAL = "cpu_ms_per_1000_tokens_200", "tokens_per_second_200", "marginal_cpu_ms_per_1000_tokens"
ADDED_CPU, OVER_OWN = "500x20ms_added_cpu_ms_per_1000_tokens", "500x20ms_p95_ms_over_own_logs"
FIREHOSE_CPU, WITH_CORES = "firehose_cpu_ms_per_1000_tokens", "tokens_per_second_with_a_core_each"
PACED_CPU = "100x20ms_cpu_ms_per_1000_tokens"
TARGETS = (
    _most("Firehose, 200 tokens: CPU per token / httpx relay", 0.5, _ratio("firehose", CPU, HTTPX)),
    _most("Firehose, 200 tokens: CPU per token / LiteLLM", 0.02, _ratio("firehose", CPU, LITELLM)),
    _least("Firehose, 200 tokens: tokens per second / httpx relay", 2, _ratio("firehose", RATE, HTTPX)),
    _least("Firehose, 200 tokens: tokens per second / LiteLLM", 50, _ratio("firehose", RATE, LITELLM)),
    _most("Marginal CPU of a token / aiohttp relay", 2.5, _ratio("firehose", MARGINAL, AIOHTTP)),
    _most("Added time to first token, p50, ms", 3, _own("first_token", "added_p50_ms")),
    _most("Added time to first token, p95, ms", 7, _own("first_token", "added_p95_ms")),
    _most("Added time to first token, p50 / LiteLLM", 0.15, _ratio("first_token", "added_p50_ms", LITELLM)),
    _most("100 streams x 20 ms: CPU per token / httpx relay", 0.6, _ratio("paced", PACED_CPU, HTTPX)),
    _most("100 streams x 20 ms: CPU per token / nginx", 4, _ratio("paced", PACED_CPU, NGINX)),
    _most("100 streams x 20 ms: added latency p95, ms", 4, _own("paced", "100x20ms_added_p95_ms")),
    _least("500 streams x 20 ms: share delivered in time", 0.98, _own("paced", "500x20ms_in_time")),
    _most("500 streams x 20 ms: added latency p95, ms", 100, _own("paced", "500x20ms_added_p95_ms")),
    _most("1,000 streams x 100 ms: added latency p95, ms", 10, _own("paced", "1000x100ms_added_p95_ms")),
    _most("Memory of an open stream, KiB", 55, _own("memory", "kib_per_open_stream")),
    _most("Growth while streams come and go, MiB", 5, _own("memory", "growth_mib")),
    _most("Page of 50 of 100,000 messages / of 100", 1.5, _within("messages", "page_long_p50_ms", "page_short_p50_ms")),
    _most(
        "Page of 50 deep in 100,000 messages / of 100",
        1.5,
        _within("messages", "page_long_deep_p50_ms", "page_short_p50_ms"),
    ),
    _most(
        "50 visitors of a public chat: first token p50 over the threads API's, ms",
        15,
        lambda results: results["public_chat"]["public chat"]["over_threads_p50_ms"],
    ),
    _most("1,000 idle streams, pool of 5: other requests p95, ms", 100, _own("idle_streams", "with_streams_p95_ms")),
    _most("Firehose: CPU per token, shared log / in process", 2, _of(SHARED, FIREHOSE_CPU, (ALONE, FIREHOSE_CPU))),
    _most(
        "CPU that the shared log adds to a token: 500 streams / 10 streams x 20 ms",
        0.5,
        _of(SHARED, ADDED_CPU, (SHARED, ADDED_CPU.replace("500x", "10x"))),
    ),
    _most("2 replicas, 500 x 20 ms: p95 over own logs, read where made, ms", 5, _of(HERE, OVER_OWN)),
    _most("2 replicas, 500 x 20 ms: p95 over own logs, read elsewhere, ms", 5, _of(ELSEWHERE, OVER_OWN)),
    _most("Proxy, 200 tokens: CPU per token / aiohttp relay", 3, _ratio("llm_proxy", CPU, AIOHTTP)),
    _most("Proxy, 200 tokens: CPU per token / LiteLLM", 0.02, _ratio("llm_proxy", CPU, LITELLM)),
    _most("Proxy: added time to first token, p50 / LiteLLM", 0.15, _ratio("llm_proxy", "added_p50_ms", LITELLM)),
    _least("Tokens per second with a core each: 2 replicas / 1", 1.7, _of(HERE, WITH_CORES, (ONE, WITH_CORES))),
    *(
        _least(f"Recall of the 10 nearest of 10,000, {index}, {scene.replace('_', ' ')}", 0.97, _recall(index, scene))
        for index in ("Chroma", "pgvector")
        for scene in ("all", "1_percent")
    ),
    *(
        _most(f"Search of 1,000 chunks of a session, {kind}, p95, ms", 30, _search(kind))
        for kind in ("SQLite", "PostgreSQL")
    ),
    _least("Right chunk in the top 3 of 100 questions", 0.9, _attachments("top_3")),
    _most("Memory while a PDF of 10 MB comes, MiB", 8, _attachments("upload_growth_mib")),
    _most("Event loop while the packaged embedder works, longest lag, ms", 50, _lag),
    *(
        target
        for language, name in (("en", "English"), ("ru", "Russian"))
        for target in (
            _least(f"nDCG@10, {name}: hybrid / the better of its parts", 1, _quality(language, PARTS)),
            _least(f"nDCG@10, {name}: hybrid / plain Chroma", 1.05, _quality(language, [PLAIN_CHROMA])),
        )
    ),
    _least("nDCG@10, both languages: hybrid / plain Chroma", 1.05, _quality("all", [PLAIN_CHROMA])),
    _most("Search in 100,000 messages: hybrid p50, ms", 40, _at_100_000("hybrid", "p50_ms")),
    _most("Search in 100,000 messages: hybrid p95, ms", 120, _at_100_000("hybrid", "p95_ms")),
    _most("Search in 100,000 messages: regex with a prefilter p95, ms", 300, _at_100_000("regex", "p95_ms")),
    _most(
        "Search in 100,000 messages: regex without one, longest, ms",
        2_500,
        _at_100_000("regex without prefilter", "max_ms"),
    ),
    *(
        _least(
            f"Recall of the 10 nearest of 100,000, pgvector, {scene.replace('_', ' ')}",
            0.97,
            _at_100_000("recall of pgvector", scene),
        )
        for scene in ("all", "1_percent", "small_owner")
    ),
    _least(
        "Reindex: messages per second / the embedder's own",
        0.9,
        lambda r: r["search_reindex"]["packaged E5"]["of_embedder"],
    ),
    _most("Reindex: growth of memory, MiB", 5, lambda r: r["search_reindex"]["a hash for an embedder"]["growth_mib"]),
    _least("Tokens per core: sockets / event streams", 0.4, _sockets("tokens_per_cpu_second")),
    _most("500 x 20 ms: token latency p95, sockets / event streams", 1.5, _sockets("p95_ms")),
    _most("ChatKit, as fast as tokens come: CPU per token / the package's server", 0.1, _chatkit("at_once")),
    _most("ChatKit, a token every 4 ms: CPU per token / the package's server", 0.1, _chatkit("paced")),
    *(
        target
        for kind in ("Markdown", "one paragraph")
        for target in (
            _most(
                f"5,000 tokens at 200 a second, {kind}: longest task, ms of CPU", 50, _page(kind, "longest_task_cpu_ms")
            ),
            _most(f"5,000 tokens at 200 a second, {kind}: layout shift", 0, _page(kind, "layout_shift")),
        )
    ),
    _most("First token on the screen after its arrival, p50, ms", 32, _page("first token", "first_token_p50_ms")),
    _most("A thread of 10,000 messages opens, ms", 1_000, _page("thread of 10,000", "open_ms")),
    _least("Scrolling a thread, frames per second", 58, _page("thread of 10,000", "frames_per_second")),
    _least("Scrolling a thread, frames per second / the same on a still page", 0.95, _scrolling),
    _most("Memory of an idle socket of 2,000, KiB", 40, _sockets("kib_per_idle_socket", over_streams=False)),
)
