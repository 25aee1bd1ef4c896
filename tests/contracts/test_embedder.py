"""What every embedder keeps to."""

import asyncio

import numpy as np
import pytest

from frontdesk.ports.embedder import Embedder

TEXTS = [
    "The cat sleeps.",
    "Der Hund schläft.",
    "Invoices are due in thirty days.",
    "",
    "x",
    "ünïcödé \U0001f600 \u2028",
]


async def test_a_vector_of_unit_length_for_each_text_in_their_order(embedder: Embedder) -> None:
    for embed in (embedder.embed_queries, embedder.embed_passages):
        together = await embed(TEXTS)
        assert together.shape == (len(TEXTS), embedder.dimension)
        assert together.dtype == np.float32
        assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
        for text, vector in zip(TEXTS, together, strict=True):
            assert (await embed([text]))[0] == pytest.approx(vector, abs=1e-3)


async def test_no_texts_give_no_vectors(embedder: Embedder) -> None:
    assert (await embedder.embed_passages([])).shape == (0, embedder.dimension)
    assert (await embedder.embed_queries([])).shape == (0, embedder.dimension)


async def test_no_text_is_refused(embedder: Embedder) -> None:
    hard = ["long " * 20_000, "a\0b", "\ud800 unpaired", " ", "\n", "\u202e\ufeff"]
    vectors = await embedder.embed_passages(hard)
    assert vectors.shape == (len(hard), embedder.dimension)
    assert np.isfinite(vectors).all()
    assert np.isfinite(await embedder.embed_queries(hard)).all()


async def test_calls_at_once_get_their_own_vectors(embedder: Embedder) -> None:
    texts = [f"text number {number}" for number in range(12)]
    alone = await embedder.embed_passages(texts)
    at_once = await asyncio.gather(*(embedder.embed_passages([text]) for text in texts))
    assert np.concatenate(at_once) == pytest.approx(alone, abs=1e-3)


async def test_a_caller_that_leaves_harms_no_other(embedder: Embedder) -> None:
    leaving = asyncio.ensure_future(embedder.embed_passages(["a text " * 50] * 40))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert (await embedder.embed_queries(["still there"])).shape == (1, embedder.dimension)


async def test_it_names_its_model(embedder: Embedder) -> None:
    assert embedder.model
    assert embedder.dimension > 0
