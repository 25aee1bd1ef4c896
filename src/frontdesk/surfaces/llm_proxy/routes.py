"""`/v1`: chat completions, embeddings and the model list, as OpenAI has them."""

from collections.abc import Awaitable
from typing import TypeVar

from anyio import CancelScope
from fastapi import Request, Response

from frontdesk.errors import LlmDisabledError, NotFoundError, ProviderError, ProviderTimeoutError
from frontdesk.http.admission import waiting_elsewhere
from frontdesk.http.event_stream import SERVER_WIRE, Wire
from frontdesk.http.openai_errors import PREFIX
from frontdesk.http.routing import DeclaredRouter, InternalOrUser
from frontdesk.http.services import Services, services
from frontdesk.identity.principal import Principal
from frontdesk.kit.time_limit import not_counted
from frontdesk.ports.language_model import ModelCallError
from frontdesk.ports.model_relay import RelayedAnswer
from frontdesk.surfaces.llm_proxy.answering import PassedOn
from frontdesk.surfaces.llm_proxy.asking import Asked, read_chat, read_embeddings
from frontdesk.surfaces.llm_proxy.passage import EventPassage, Passage, WholePassage
from frontdesk.surfaces.llm_proxy.refusals import refusal

router = DeclaredRouter(PREFIX, tag="openai")
# What stands below it is described by whose API it is: the provider's words pass as they are.
DESCRIBED = {
    "name": "openai",
    "description": f"{PREFIX}/chat/completions, {PREFIX}/embeddings and {PREFIX}/models are OpenAI's API",
    "externalDocs": {"description": "OpenAI's description", "url": "https://github.com/openai/openai-openapi"},
}
T = TypeVar("T")
_TO_PROVIDER = ("accept", "traceparent", "tracestate")
_FROM_PROVIDER = frozenset(
    {"openai-processing-ms", "openai-version", "ratelimit", "ratelimit-policy", "x-should-retry"}
)
_FROM_PROVIDER_BEGIN = ("retry-after", "x-ratelimit-")
_EVENTS, _JSON = "text/event-stream", "application/json"
_ANSWERED = range(200, 300)
_LEFT = 499  # nobody is there to be answered; for the log


@router.post("/chat/completions", include_in_schema=False)
async def complete_chat(request: Request, caller: InternalOrUser) -> Response:
    return await _ask(request, caller, read_chat(await request.body()), path="/chat/completions")


@router.post("/embeddings", include_in_schema=False)
async def embed(request: Request, caller: InternalOrUser) -> Response:
    return await _ask(request, caller, read_embeddings(await request.body()), path="/embeddings")


@router.get("/models", include_in_schema=False)
async def list_models(request: Request, _caller: InternalOrUser) -> Response:
    async def nothing() -> None: ...

    held = _with_model(request)
    answer = await _while_there(request, _sent(request, "GET", "/models"))
    if answer is None:
        return Response(status_code=_LEFT)
    if answer.status not in _ANSWERED:
        return await _refused(request, answer)
    passage = WholePassage(answers=False)
    return PassedOn(answer, passage, held.streams, headers=_headers(answer), settle=nothing)


@router.get("/models/{model:path}", include_in_schema=False)
async def find_model(request: Request, _caller: InternalOrUser, model: str) -> dict[str, object]:
    """Out of the list: a name is nothing to ask the provider's addresses with."""
    for listed in await _with_model(request).models.list_models():
        if listed.get("id") == model:
            return listed
    raise NotFoundError("There is no such model", param="model")


async def _ask(request: Request, caller: Principal, asked: Asked, *, path: str) -> Response:
    held = _with_model(request)
    ticket = await held.usage.admit(caller, asked.model, tokens=asked.reserved_tokens)
    passed_on = False
    try:
        answer = await _while_there(request, _sent(request, "POST", path, body=asked.body))
        if answer is None:
            return Response(status_code=_LEFT)
        if answer.status not in _ANSWERED:
            return await _refused(request, answer)
        passage = _passage(answer, path, asked)
        passed_on = True
    finally:
        if not passed_on:
            await held.usage.give_back(ticket)

    async def settle() -> None:
        await held.usage.settle(ticket, passage.spent(asked.prompt_tokens))

    return PassedOn(answer, passage, held.streams, headers=_headers(answer), settle=settle)


def _with_model(request: Request) -> Services:
    held = services(request)
    if not held.settings.llm_enabled:
        raise LlmDisabledError
    return held


async def _sent(request: Request, method: str, path: str, *, body: bytes | None = None) -> RelayedAnswer:
    headers = {name: value for name in _TO_PROVIDER if (value := request.headers.get(name))}
    headers["X-Request-Id"] = request.scope["request_id"]
    if body is not None:
        headers["Content-Type"] = _JSON
    with not_counted(), waiting_elsewhere(request):
        try:
            return await services(request).relay.send(method, path, body, headers=headers)
        except ModelCallError as error:
            if error.kind.startswith("timeout"):
                raise ProviderTimeoutError(error.detail) from error
            raise


async def _while_there(request: Request, work: Awaitable[T]) -> T | None:
    """None when the caller has left before it was done; then it is given up."""
    wire: Wire = request.scope[SERVER_WIRE]
    with CancelScope() as waiting:
        wire.watch(lambda: waiting.cancel() if wire.lost else None)
        if wire.lost:
            waiting.cancel()
        return await work
    return None


async def _refused(request: Request, answer: RelayedAnswer) -> Response:
    key = services(request).settings.llm_api_key
    secret = None if key is None else key.get_secret_value()
    with not_counted(), waiting_elsewhere(request):
        return await refusal(answer, headers=_telling(answer), secret=secret)


def _passage(answer: RelayedAnswer, path: str, asked: Asked) -> Passage:
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == _EVENTS:
        return EventPassage(hides_usage=asked.hides_usage)
    if media_type == _JSON:
        return WholePassage(answers=path != "/embeddings")
    answer.leave()
    raise ProviderError("The model provider answered in a form that is not understood")


def _telling(answer: RelayedAnswer) -> dict[str, str]:
    """What the provider tells of its limits and its work."""
    told = answer.headers.items()
    return {name: text for name, text in told if name in _FROM_PROVIDER or name.startswith(_FROM_PROVIDER_BEGIN)}


def _headers(answer: RelayedAnswer) -> dict[str, str]:
    told = {**_telling(answer), "content-type": answer.headers["content-type"]}
    return told | {"cache-control": "no-cache", "x-accel-buffering": "no"}
