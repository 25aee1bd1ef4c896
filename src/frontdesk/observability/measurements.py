"""What `/metrics` tells (Prometheus text format). One object counts for one program; nothing is global."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Measurements:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "frontdesk_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "frontdesk_request_seconds",
            "Seconds until the response began",
            ["method", "route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._shed = Counter("frontdesk_requests_shed", "Requests turned away unread", ["lane"], registry=self.registry)
        self._streams = Gauge("frontdesk_streams_open", "Streams open now", registry=self.registry)
        self._cut = Counter("frontdesk_streams_cut", "Streams cut for reading nothing", registry=self.registry)
        self._first = Histogram(
            "frontdesk_time_to_first_token_seconds",
            "Seconds from asking the model to its first chunk",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._tokens = Counter("frontdesk_tokens", "Text deltas received from models", registry=self.registry)
        self._unfinished = Gauge(
            "frontdesk_executions", "Executions that have not ended, in any process", ["state"], registry=self.registry
        )
        self._calls = Counter("frontdesk_tool_calls", "Tool calls made", ["tool", "outcome"], registry=self.registry)
        self._proxied = Counter(
            "frontdesk_llm_proxy_answers",
            "Answers of /v1, by the kind of their callers",
            ["caller"],
            registry=self.registry,
        )
        self._proxied_tokens = Counter(
            "frontdesk_llm_proxy_tokens",
            "Tokens of /v1, as they are accounted",
            ["caller", "kind"],
            registry=self.registry,
        )
        self._ended = Counter("frontdesk_executions_ended", "Executions ended", ["state"], registry=self.registry)

    def request(self, *, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def shedding(self, lane: str) -> Callable[[], None]:
        """What counts a request of this lane that is turned away for want of room."""
        return self._shed.labels(lane).inc

    def stream_opened(self) -> None:
        self._streams.inc()

    def stream_closed(self) -> None:
        self._streams.dec()

    def stream_cut(self) -> None:
        self._cut.inc()

    def first_chunk(self, seconds: float) -> None:
        self._first.observe(seconds)

    def execution_ended(self, state: str, tokens: int) -> None:
        self._ended.labels(state).inc()
        self._tokens.inc(tokens)

    def tool_called(self, tool: str, outcome: str) -> None:
        """`outcome` is `completed` or the code of the failure."""
        self._calls.labels(tool, outcome).inc()

    def proxied(self, caller: str, *, prompt_tokens: int, completion_tokens: int) -> None:
        """`caller` is a kind: callers and models are too many for labels."""
        self._proxied.labels(caller).inc()
        self._proxied_tokens.labels(caller, "prompt").inc(prompt_tokens)
        self._proxied_tokens.labels(caller, "completion").inc(completion_tokens)

    def executions_unfinished(self, counts: Mapping[str, int]) -> None:
        """How many there are in each state, over all processes."""
        for state, count in counts.items():
            self._unfinished.labels(state).set(count)

    def watch(self, name: str, documentation: str, value: Callable[[], float]) -> None:
        """A gauge that is read when it is asked for."""
        Gauge(name, documentation, registry=self.registry).set_function(value)

    def watch_total(self, name: str, documentation: str, value: Callable[[], int]) -> None:
        """A counter that is kept elsewhere and read when it is asked for; its name ends with `_total`."""
        self.registry.register(_Total(name, documentation, value))

    def render(self) -> bytes:
        return generate_latest(self.registry)


class _Total(Collector):
    def __init__(self, name: str, documentation: str, value: Callable[[], int]) -> None:
        self._name = name
        self._documentation = documentation
        self._value = value

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(self._name, self._documentation, value=self._value())
