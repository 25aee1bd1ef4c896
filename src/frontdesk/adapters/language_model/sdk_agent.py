"""An `Agent` of the OpenAI Agents SDK as a function of our events.

The SDK runs its loop and its own tools, which are shown as activity and given an `AnswerContext`. It asks our
configured provider, unless the agent brings a model of its own. Nothing is traced to anybody.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, cast

import msgspec
from agents import (
    Agent,
    Model,
    ModelProvider,
    ModelSettings,
    OpenAIChatCompletionsModel,
    RunConfig,
    Runner,
    RunResultStreaming,
    StreamEvent,
)
from agents.exceptions import MaxTurnsExceeded
from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    DefaultAsyncHttpxClient,
    Timeout,
)

from frontdesk.adapters.language_model import openai_wire as wire
from frontdesk.agents.context import AnswerContext
from frontdesk.agents.events import Activity, ActivityState, Event, Request, Text, UsageReport
from frontdesk.ports.language_model import ModelCallError


class SdkAgent:
    """`events` is the function. The record's temperature and limits go with each of the SDK's own turns."""

    def __init__(
        self,
        agent: Agent[Any],
        *,
        base_url: str,
        api_key: str | None,
        timeout: float,
        connect_timeout: float,
        max_retries: int,
        default_model: Callable[[], Awaitable[str]],
    ) -> None:
        """The provider's, as `OpenAIHttpLanguageModel` has them, and the model for a request that names none."""
        self._agent = agent
        self._default_model = default_model
        self._client = AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or "none",
            timeout=Timeout(timeout, connect=connect_timeout),
            max_retries=max_retries,
            http_client=DefaultAsyncHttpxClient(trust_env=False, follow_redirects=False),
        )

    async def events(self, request: Request) -> AsyncIterator[Event]:
        context = AnswerContext(request)
        try:
            running = Runner.run_streamed(
                self._agent,
                cast("Any", input_items(request.messages)),
                context=context,
                max_turns=request.steps_left,
                run_config=await self._configured(request),
            )
            async with aclosing(cast("Any", _events(running))) as events:
                async for event in events:
                    for shown in context.take_shown():
                        yield shown
                    yield event
            for shown in context.take_shown():
                yield shown
            for call in context.take_calls():
                yield call
        except MaxTurnsExceeded as error:
            raise ModelCallError("step_limit", "The agent asked its model too often without an end") from error
        except APIError as error:
            raise _failure(error) from error

    async def aclose(self) -> None:
        await self._client.close()

    async def _configured(self, request: Request) -> RunConfig:
        own = self._agent.model
        name = request.model
        if not name and own is None:
            name = await self._default_model()
        provider = _ConfiguredProvider(self._client, name)
        return RunConfig(
            model=provider.get_model(name) if own is None else None,
            model_provider=provider,
            model_settings=ModelSettings(
                temperature=request.temperature, max_tokens=request.max_tokens, include_usage=True
            ),
            tracing_disabled=True,
        )


class _ConfiguredProvider(ModelProvider):
    def __init__(self, client: AsyncOpenAI, default: str) -> None:
        self._client = client
        self._default = default

    def get_model(self, model_name: str | None) -> Model:
        return OpenAIChatCompletionsModel(model_name or self._default, self._client)


async def _events(running: RunResultStreaming) -> AsyncIterator[Event]:
    called: dict[str, Activity] = {}
    async with aclosing(cast("Any", running.stream_events())) as stream:
        try:
            async for event in stream:
                if (said := _event(event, called)) is not None:
                    yield said
        finally:
            if not running.is_complete:
                running.cancel()  # closing the stream would wait for the whole run
    used = running.context_wrapper.usage
    yield UsageReport(used.input_tokens, used.output_tokens)
    if running.interruptions:
        raise RuntimeError("a tool of the SDK's agent needs approval, which is not asked for here")


def _event(event: StreamEvent, called: dict[str, Activity]) -> Event | None:
    """`called` are the calls under way, by their ids."""
    if event.type == "raw_response_event":
        return Text(event.data.delta) if event.data.type == "response.output_text.delta" else None
    if event.type != "run_item_stream_event":
        return None
    item = event.item
    if item.type == "tool_call_item":
        name, arguments = _field(item.raw_item, "name"), _field(item.raw_item, "arguments")
        call_id = _field(item.raw_item, "call_id") or _field(item.raw_item, "id")
        called[call_id] = Activity(call_id, name or _field(item.raw_item, "type"), _decoded(arguments))
        return called[call_id]
    if item.type == "tool_call_output_item" and (call := called.pop(item.call_id or "", None)) is not None:
        return Activity(call.call_id, call.tool, call.arguments, ActivityState.completed, item.output)
    return None


def input_items(messages: Any) -> list[dict[str, Any]]:
    """OpenAI's messages as the items that the SDK takes."""
    items: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "tool":
            output = {"call_id": message["tool_call_id"], "output": message["content"]}
            items.append({"type": "function_call_output", **output})
            continue
        if message["content"]:
            items.append({"role": message["role"], "content": message["content"]})
        items += [
            {"type": "function_call", "call_id": call["id"], **call["function"]}
            for call in message.get("tool_calls", ())
        ]
    return items


def _field(item: Any, name: str) -> str:
    """The SDK has some items as dictionaries and others as objects."""
    value = item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
    return value if isinstance(value, str) else ""


def _decoded(arguments: str) -> Any:
    try:
        return msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return arguments


def _failure(error: APIError) -> ModelCallError:
    if isinstance(error, APIStatusError):
        return wire.status_failure(error.status_code, error.response.headers.get("retry-after"))
    if isinstance(error, APITimeoutError):
        return wire.failure("timeout_first_byte")
    return wire.failure("connect" if isinstance(error, APIConnectionError) else "error_in_stream")
