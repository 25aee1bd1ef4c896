"""OpenTelemetry spans: without an endpoint they cost next to nothing; with one they go there over OTLP/HTTP."""

from opentelemetry import trace

from frontdesk.errors import ConfigurationError


def configure_tracing(endpoint: str | None, *, version: str) -> None:
    """`endpoint` is an OTLP/HTTP address such as `http://127.0.0.1:4318/v1/traces`. Raises `ConfigurationError`."""
    if endpoint is None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  an extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  an extra
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  an extra
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415  an extra
    except ImportError as error:
        raise ConfigurationError("CHAT_OTLP_ENDPOINT needs the extra: pip install 'frontdesk[tracing]'") from error
    provider = TracerProvider(resource=Resource.create({"service.name": "frontdesk", "service.version": version}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)
