import pytest

from frontdesk.retrieval.fusion import fused
from frontdesk.retrieval.repository import Match


def matches(**scores: float) -> list[Match]:
    return [Match(f"message of {thread}", thread, score) for thread, score in scores.items()]


def ranked(by_likeness: list[Match], by_words: list[Match], *, looked_at: int = 60) -> dict[str, float]:
    found, _ = fused(by_likeness, by_words, looked_at=looked_at)
    return {match.thread_id: match.score for match in found}


def test_how_much_better_counts_and_not_how_many_are_between() -> None:
    by_likeness = matches(clear=0.92, close=0.91, far=0.80)
    by_words = matches(far=10.0, close=9.0)
    found = ranked(by_likeness, by_words)
    assert list(found) == ["close", "clear", "far"]
    assert list(found.values()) == pytest.approx([(11 / 12 + 9 / 10) / 2, 0.5, 0.5])


def test_likeness_counts_from_the_last_that_is_always_looked_at() -> None:
    by_likeness = matches(a=0.9, b=0.85, c=0.8, d=0.1)
    found = ranked(by_likeness, [], looked_at=3)
    assert found == pytest.approx({"a": 0.5, "b": 0.25, "c": 0.0, "d": 0.0})
    assert list(found) == ["a", "b", "c", "d"], "what counts for nothing stays in order"


@pytest.mark.parametrize("likeness", [{"a": 0.9}, {"a": 0.9, "b": 0.9}, {}])
def test_one_list_alone_and_equal_scores(likeness: dict[str, float]) -> None:
    words = {"x": 2.0, "y": 1.0}
    assert ranked(matches(**likeness), matches(**words)) == pytest.approx(
        dict.fromkeys(likeness, 0.5) | {"x": 0.5, "y": 0.25}
    )
    assert ranked(matches(**likeness), []) == pytest.approx(dict.fromkeys(likeness, 0.5))


def test_the_message_that_stands_better_in_its_list_is_shown() -> None:
    by_likeness = [Match("like", "a", 0.9), Match("other", "b", 0.8)]
    by_words = [Match("words", "b", 3.0), Match("said", "a", 1.0)]
    found, found_by = fused(by_likeness, by_words, looked_at=60)
    assert {match.thread_id: match.message_id for match in found} == {"a": "like", "b": "words"}
    assert found_by == {"a": ["semantic", "text"], "b": ["semantic", "text"]}
