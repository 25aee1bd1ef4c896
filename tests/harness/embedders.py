"""Every embedder that runs without a download, made for the tests that all of them must pass."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.request import urlopen

import pytest

from frontdesk.adapters.embedder.openai_http import OpenAIHttpEmbedder
from frontdesk.adapters.embedder.packaged_e5 import PackagedE5Embedder
from frontdesk.ports.embedder import Embedder
from harness.embeddings_stub import KEY
from harness.processes import SOURCE, Process

PATHS = f"{SOURCE}:{SOURCE.parent / 'tests'}:{SOURCE.parent}"
MakeHttp = Callable[..., OpenAIHttpEmbedder]


class EmbeddingsStub:
    """A running provider. `url` is the base address for a client."""

    def __init__(self, url: str) -> None:
        self.url = url

    def calls(self, model: str) -> list[dict[str, Any]]:
        with urlopen(f"{self.url.removesuffix('/v1')}/stub/calls?model={model}", timeout=10) as response:
            listed: list[dict[str, Any]] = json.load(response)
            return listed


@pytest.fixture(scope="session")
def embeddings_stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingsStub]:
    log = tmp_path_factory.mktemp("embeddings_stub") / "log"
    with Process("harness.embeddings_stub", log=log, environment={"PYTHONPATH": PATHS}) as process:
        yield EmbeddingsStub(process.ready_line()["url"])


@pytest.fixture
def make_http(embeddings_stub: EmbeddingsStub) -> MakeHttp:
    def make(model: str, **options: Any) -> OpenAIHttpEmbedder:
        return OpenAIHttpEmbedder(**{"base_url": embeddings_stub.url, "api_key": KEY, "model": model, **options})

    return make


@pytest.fixture(scope="session")
async def packaged() -> AsyncIterator[PackagedE5Embedder]:
    embedder = PackagedE5Embedder()
    await embedder.open()
    yield embedder
    await embedder.aclose()


@pytest.fixture
async def over_http(make_http: MakeHttp) -> AsyncIterator[OpenAIHttpEmbedder]:
    embedder = make_http("plain", batch_size=3)
    await embedder.open()
    yield embedder
    await embedder.aclose()


@pytest.fixture(params=["packaged", "over_http"])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    made: Embedder = request.getfixturevalue(request.param)
    return made
