"""What an agent is given to read, and what of it an answer is taken to have used."""

import pytest

from frontdesk.retrieval.sources.citing import cited, excerpts
from frontdesk.retrieval.sources.models import FoundChunk, SourceType

TRAM = "The tram to the harbour leaves every eleven minutes from the square."
CLOCKS = "The museum of clocks opens at nine and closes at six."


def chunk(label: str, content: str, *, page: int | None = None) -> FoundChunk:
    return FoundChunk(
        id=f"id-{label}",
        source_id="source",
        source_type=SourceType.file,
        source_name="guide.pdf",
        label=label,
        chunk_index=int(label.partition(".")[2]) - 1,
        content=content,
        similarity=0.9,
        start=10,
        end=10 + len(content),
        page=page,
    )


OFFERED = [chunk("1.1", TRAM), chunk("1.2", CLOCKS, page=3)]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("At nine [1.2].", ["1.2"]),
        ("Both [1.2; 1.1], as I said [1.2].", ["1.2", "1.1"]),
        ("They say so 【1.1】 and (1.2).", ["1.1", "1.2"]),
        ("See [7.7] and chapter 1.2 of the law.", []),
        ("It says that the museum of clocks opens at nine, I think.", ["1.2"]),
        ("The museum opens at nine.", []),
        ("", []),
    ],
)
def test_a_label_cites_and_without_any_a_long_quotation_does(text: str, labels: list[str]) -> None:
    assert [one.chunk.label for one in cited(text, OFFERED)] == labels


def test_a_citation_says_where_it_stands_and_what_it_means() -> None:
    (one,) = cited("At nine [1.2], and again [1.2].", OFFERED)
    told = one.told()
    assert one.position == len("At nine [1.2]")
    assert told["span"] == {"start": 10, "end": 10 + len(CLOCKS), "page": 3}
    assert told["chunk"] == {"id": "id-1.2", "index": 1}
    assert (told["source"]["name"], told["excerpt"]) == ("guide.pdf", CLOCKS)


def test_excerpts_name_their_labels_and_places() -> None:
    text = excerpts(OFFERED, [])
    assert f"[1.1] guide.pdf\n{TRAM}" in text
    assert f"[1.2] guide.pdf, page 3\n{CLOCKS}" in text
    assert excerpts([], []) == ""
