import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.kit.server_sent_events import EventParser, EventTooLargeError

LINES = st.one_of(
    st.sampled_from(
        [
            "",
            "data",
            "data:",
            "data: {}",
            "data:  x",
            ": comment",
            ":",
            "event: a",
            "id: 7",
            "retry: 1",
            " data: no",
            "dat",
        ]
    ),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8).map("data: {}".format),
)
STREAMS = st.tuples(
    st.sampled_from(["", "\ufeff"]),
    st.lists(st.tuples(LINES, st.sampled_from(["\n", "\n\n", "\r\n", "\r\n\r\n", "\r", "\r\r"])), max_size=12),
).map(lambda parts: (parts[0] + "".join(line + end for line, end in parts[1])).encode())


def plain_model(stream: bytes) -> list[bytes]:
    """The standard's rules, a line at a time, over the whole stream."""
    lines = re.split(r"\r\n|\r|\n", stream.decode().removeprefix("\ufeff"))
    events, data = [], []
    for line in lines[:-1]:
        if not line:
            if data:
                events.append("\n".join(data).encode())
            data = []
        elif line.split(":")[0] == "data":
            value = line[5:]
            data.append(value.removeprefix(" "))
    return events


def parsed(stream: bytes, cuts: list[int]) -> list[bytes]:
    parser = EventParser()
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [event for start, end in pairwise(edges) for event in parser.feed(stream[start:end])]


@given(stream=STREAMS, cuts=st.lists(st.integers(0, 500), max_size=40))
def test_any_cut_gives_the_events_of_the_standard(stream: bytes, cuts: list[int]) -> None:
    assert parsed(stream, cuts) == plain_model(stream)


@given(stream=STREAMS)
def test_a_byte_at_a_time_gives_the_events_of_the_standard(stream: bytes) -> None:
    assert parsed(stream, list(range(len(stream)))) == plain_model(stream)


@given(stream=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=20))
def test_any_bytes_give_the_same_events_however_they_are_cut(stream: bytes, cuts: list[int]) -> None:
    assert parsed(stream, cuts) == parsed(stream, [])


def test_an_event_comes_out_with_the_byte_that_ends_it() -> None:
    parser = EventParser()
    assert parser.feed(b"data: a\r") == []
    assert parser.feed(b"\n") == []
    assert parser.feed(b"\r") == [b"a"]
    assert parser.feed(b"\n") == []
    assert parser.feed(b"data: b\n\n") == [b"b"]


def test_the_end_hands_over_an_event_without_its_blank_line() -> None:
    parser = EventParser()
    assert parser.feed(b"data: a\n\ndata: b\ndata: c") == [b"a"]
    assert parser.close() == [b"b\nc"]
    assert parser.close() == []


def test_what_is_held_is_bounded() -> None:
    parser = EventParser(max_event_bytes=100)
    assert parser.feed(b"data: " + b"x" * 94) == []
    with pytest.raises(EventTooLargeError, match="100 bytes"):
        parser.feed(b"x")


def test_events_of_the_permitted_size_never_reach_the_bound() -> None:
    parser = EventParser(max_event_bytes=20)
    assert [
        event for _ in range(10) for event in parser.feed(b"data: 0123456789\n\nda")[:1] + parser.feed(b"ta: x\n\n")
    ]
