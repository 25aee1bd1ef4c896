import pytest

from frontdesk.extractor.chunks import ChunkSizes, chunk_text
from frontdesk.extractor.headings import MAX_HEADING_CHARACTERS, Headings

TEXT = """# Clocks

Some clocks.

## Opening

At nine.

### Mondays

Closed.

## Tickets

```
# a comment

# another
```

Five euros.
"""


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("Some", "Clocks"),
        ("At nine", "Clocks > Opening"),
        ("Closed", "Clocks > Opening > Mondays"),
        ("Five", "Clocks > Tickets"),
    ],
)
def test_a_place_stands_under_its_headings(place, path):
    assert Headings(TEXT).above(TEXT.index(place)) == path


@pytest.mark.parametrize("text", ["# sets the port\nport = 80\n", "#no blank\n\nText", "Text before\n# close\n\n", ""])
def test_what_is_no_heading_is_none(text):
    assert Headings(text).offsets == []


def test_the_same_title_stands_once_and_long_ones_are_cut():
    assert Headings("# A\n\n## A\n\n### B\n\nText").above(17) == "A > B"
    long = f"# {'x' * 400}\n\n## End\n\nText"
    path = Headings(long).above(len(long) - 1)
    assert len(path) <= MAX_HEADING_CHARACTERS
    assert path.endswith(" > End")


def test_chunks_end_at_headings_and_repeat_nothing_over_them():
    first, second = "One sentence about clocks. " * 12, "Another about tickets. " * 12
    text = f"# Clocks\n\n{first.strip()}\n\n# Tickets\n\n{second.strip()}"
    spans = list(chunk_text(text, pages=[], sizes=ChunkSizes(tokens=400, overlap=60), headings=Headings(text)))
    assert [span.heading for span in spans] == ["Clocks", "Tickets"]
    assert text[spans[1].start :].startswith("# Tickets")
    assert len(list(chunk_text(text, pages=[], sizes=ChunkSizes(tokens=400, overlap=60)))) == 1
    assert text[spans[0].start : spans[0].end] == f"# Clocks\n\n{first.strip()}"


def test_short_sections_share_a_chunk():
    text = "\n\n".join(f"## Part {number}\n\nYes." for number in range(8))
    spans = list(chunk_text(text, pages=[], sizes=ChunkSizes(), headings=Headings(text)))
    assert len(spans) == 1
