"""What each embedder has of its own."""

import asyncio
import traceback

import numpy as np
import pytest

from frontdesk.adapters.embedder.choice import open_embedder
from frontdesk.adapters.embedder.packaged_e5 import PackagedE5Embedder
from frontdesk.errors import BadEmbeddingError, ConfigurationError, UnavailableError
from frontdesk.settings import Settings
from harness.embedders import EmbeddingsStub, MakeHttp
from harness.embeddings_stub import DIMENSION, KEY, STRICT_CHARACTERS
from harness.fixtures import Logged


async def test_the_packaged_model_finds_what_is_meant_in_another_language(packaged: PackagedE5Embedder) -> None:
    passages = ["Der Hund schläft vor dem Ofen.", "The invoice is due in thirty days.", "Photosynthesis needs light."]
    found = await packaged.embed_passages(passages)
    asked = await packaged.embed_queries(["where is the dog", "when do I have to pay", "how do plants live"])
    assert (asked @ found.T).argmax(axis=1).tolist() == [0, 1, 2]


async def test_queries_and_passages_have_prefixes_of_their_own(packaged: PackagedE5Embedder) -> None:
    query, passage = await packaged.embed_queries(["a text"]), await packaged.embed_passages(["a text"])
    assert not np.allclose(query, passage, atol=1e-3)


async def test_a_query_is_answered_while_passages_are_embedded(packaged: PackagedE5Embedder) -> None:
    """As many as there is time for: if queries waited for the passages, none would be."""
    filling = asyncio.ensure_future(packaged.embed_passages(["Some words of a passage. " * 12] * 6))
    answered = 0
    while not filling.done():
        await packaged.embed_queries(["how much"])
        answered += not filling.done()
    assert answered >= 3
    assert (await filling).shape == (6, 384)


async def test_a_query_is_answered_while_batches_are_awaited_from_a_provider(
    make_http: MakeHttp, embeddings_stub: EmbeddingsStub
) -> None:
    embedder = make_http("batches", batch_size=1)
    await embedder.open()
    filling = asyncio.ensure_future(embedder.embed_passages([f"passage {number}" for number in range(100)]))
    await embedder.embed_queries(["a question"])
    assert not filling.done()
    await filling
    await embedder.aclose()
    assert len(embeddings_stub.calls("batches")) == 102


async def test_batches_are_no_larger_than_told_and_ask_for_what_is_set(
    make_http: MakeHttp, embeddings_stub: EmbeddingsStub
) -> None:
    embedder = make_http("intfloat/multilingual-e5-large", batch_size=4, dimensions=20)
    await embedder.open()
    assert (await embedder.embed_passages([f"{number}" for number in range(10)])).shape == (10, 20)
    await embedder.aclose()
    _, *calls = embeddings_stub.calls("intfloat/multilingual-e5-large")
    assert [call["input"] for call in calls] == [
        [f"passage: {number}" for number in numbers] for numbers in (range(4), range(4, 8), range(8, 10))
    ]
    assert {call["dimensions"] for call in calls} == {20}


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_may_pass_is_tried_again(make_http: MakeHttp, embeddings_stub: EmbeddingsStub, status: int) -> None:
    model = f"fail-{status}-2"
    embedder = make_http(model)
    await embedder.open()
    await embedder.aclose()
    assert embedder.dimension == DIMENSION
    assert len(embeddings_stub.calls(model)) == 3


async def test_what_does_not_pass_is_told_without_the_key(make_http: MakeHttp) -> None:
    for embedder, error in (
        (make_http("fail-503-9"), UnavailableError),
        (make_http("plain", api_key="another-" + KEY), ConfigurationError),
        (make_http("plain", base_url="http://127.0.0.1:9/v1", max_retries=0), UnavailableError),
    ):
        with pytest.raises(error) as caught:
            await embedder.open()
        await embedder.aclose()
        assert KEY not in "".join(traceback.format_exception(caught.value)) + caught.value.detail


async def test_a_provider_may_be_away_at_first_when_its_dimension_is_known(make_http: MakeHttp) -> None:
    embedder = make_http("plain", base_url="http://127.0.0.1:9/v1", max_retries=0, dimensions=DIMENSION)
    await embedder.open()
    with pytest.raises(UnavailableError):
        await embedder.embed_queries(["a"])
    await embedder.aclose()


def test_a_key_that_cannot_be_one_is_refused_and_not_told(make_http: MakeHttp) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_http("plain", api_key="secret\r\nX-Header: 1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("few", "1 vectors for 2 texts"),
        ("narrow", "11 dimensions, not 12"),
        ("text", "not a list"),
        ("infinite", "none"),
    ],
)
async def test_an_answer_that_does_not_fit_is_refused(make_http: MakeHttp, model: str, told: str) -> None:
    embedder = make_http("plain", dimensions=None)
    await embedder.open()
    embedder._asked["model"] = model
    with pytest.raises(BadEmbeddingError, match=told):
        await embedder.embed_passages(["a", "b"])
    await embedder.aclose()


async def test_numbers_are_as_good_as_base64(make_http: MakeHttp) -> None:
    vectors = []
    for model in ("floats", "plain"):
        embedder = make_http(model)
        await embedder.open()
        vectors.append(await embedder.embed_queries(["a", "b"]))
        await embedder.aclose()
    assert vectors[0] == pytest.approx(vectors[1], abs=1e-6)


async def test_a_text_that_the_provider_finds_too_long_is_cut_and_the_others_are_not(
    make_http: MakeHttp, embeddings_stub: EmbeddingsStub
) -> None:
    embedder = make_http("strict")
    await embedder.open()
    long, short = "abcdefgh" * 500, "short"
    vectors = await embedder.embed_passages([short, long, short])
    assert vectors[0] == pytest.approx(vectors[2])
    await embedder.aclose()
    taken = {text for call in embeddings_stub.calls("strict") for text in call["input"]}
    assert max(len(text) for text in taken if len(text) <= STRICT_CHARACTERS) == 500
    assert short in taken


async def test_the_packaged_model_is_used_where_the_named_one_cannot_be_had(logged: Logged) -> None:
    embedder = await open_embedder(Settings(_env_file=None))
    try:
        assert embedder.dimension == 384
        (line,) = [line for line in logged() if line["event"] == "embedder_chosen"]
        assert line["model"] == embedder.model
        assert line["instead_of"] == "intfloat/multilingual-e5-large"
        assert "sentence-transformers" in line["reason"]
    finally:
        await embedder.aclose()


async def test_a_provider_is_used_when_it_is_named(embeddings_stub: EmbeddingsStub) -> None:
    given = {"embedder": "openai", "embedding_model_name": "chosen", "embedding_api_base": embeddings_stub.url}
    embedder = await open_embedder(Settings(_env_file=None, embedding_api_key=KEY, **given))
    await embedder.aclose()
    assert (embedder.model, embedder.dimension) == ("chosen", DIMENSION)
    with pytest.raises(ConfigurationError, match="CHAT_EMBEDDING_API_KEY"):
        await open_embedder(Settings(_env_file=None, **given))


async def test_what_is_not_installed_is_asked_for_by_its_extra() -> None:
    with pytest.raises(ConfigurationError, match=r"frontdesk\[sentence-transformers\]"):
        await open_embedder(Settings(_env_file=None, embedder="sentence_transformers"))
