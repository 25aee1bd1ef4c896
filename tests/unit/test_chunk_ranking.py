import numpy as np
import pytest

from frontdesk.ports.chunk_store import DocumentChunk
from frontdesk.retrieval.passages import packed_words, passages_of
from frontdesk.retrieval.sources.ranking import best_of
from frontdesk.retrieval.words import asked_stems

FILLER = "The museum of clocks opens at nine, and on Mondays it stays closed."


def ranked(question: str, texts: list[str], similarities: list[float], count: int = 3) -> list[int]:
    words = [packed_words(text, "") for text in texts]
    return best_of(np.array(similarities), asked_stems(question, limit=32), words, count=count)


@pytest.mark.parametrize("question", ["What does ata1 mean?", "Что значит ata1?"])
def test_a_word_that_one_chunk_has_finds_it_however_far_its_vector_is(question):
    texts = [f"{number} {FILLER}" for number in range(99)] + ["ata1: configured for UDMA"]
    assert ranked(question, texts, [0.82] * 99 + [0.78])[0] == 99


def test_a_question_whose_words_stand_nowhere_goes_by_meaning():
    similarities = [0.8 + number % 7 / 100 for number in range(50)]
    assert ranked("quokka", [FILLER] * 50, similarities, count=4) == [6, 13, 20, 27]


def test_a_chunk_that_repeats_one_word_comes_behind_one_that_has_them_all():
    texts = ["closed " * 60, "The library is closed on Fridays.", *[FILLER] * 30]
    assert ranked("When is the library closed?", texts, [0.8] * 32)[0] == 1


def test_words_in_any_form_and_in_headings_count():
    words = [packed_words(FILLER, "Загрузочные параметры"), packed_words(FILLER, "Ключи"), packed_words(FILLER, "")]
    assert best_of(np.full(3, 0.8), asked_stems("параметр загрузочный", limit=32), words, count=1) == [0]


def test_a_chunk_without_words_is_found_by_meaning():
    assert best_of(np.array([0.7, 0.9]), ["clock"], [b"", b""], count=2) == [1, 0]


def test_a_passage_has_its_headings_and_no_addresses():
    content = 'See [the [old] guide](http://example.org/guide_1 "Guide") and ![a clock](clock.png).'
    chunk = DocumentChunk(content=content, start=0, end=len(content), heading="Clocks > Opening")
    assert passages_of(chunk) == ["Clocks > Opening\nSee the [old] guide and a clock."]


def test_a_long_chunk_has_several_passages_that_hold_all_of_it():
    sentences = [f"Sentence number {number} of the clock museum is here." for number in range(40)]
    content = " ".join(sentences)
    passages = passages_of(DocumentChunk(content=content, start=0, end=len(content), heading="Clocks"))
    assert len(passages) > 1
    assert all(passage.startswith("Clocks\n") for passage in passages)
    assert all(any(sentence in passage for passage in passages) for sentence in sentences)


def test_a_chunk_that_shows_nothing_has_a_passage_all_the_same():
    assert passages_of(DocumentChunk(content="![](a.png)", start=0, end=10)) == ["![](a.png)"]
