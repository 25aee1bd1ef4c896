"""The messages that hold the words of a question, best first: by how rare the words are and how often they come.

SQLite's FTS5 ranks so by itself (BM25). PostgreSQL does not know how many messages hold a word: the owner's newest are
looked at, and what is rare among them is counted. What is ranked is bounded: of a word that very many messages hold,
the newest.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, column, literal_column, select, table, text

from frontdesk.retrieval.entries import owner_lexeme
from frontdesk.retrieval.models import messages, search_entries
from frontdesk.retrieval.repository import Match, Scope, visible

CANDIDATES = 1_000
_SAMPLE = 200
_MOST_COUNTED = 5_000
_SCORED_STEMS = 16
_K1, _B = 1.2, 0.75  # BM25's usual ones
# Of a word that comes n times ts_rank makes 0.1 * (1/1 + 1/4 + ... + 1/n^2) / _LIMIT, so n is about this minus _NONE.
_LIMIT, _NONE = 1.644934, 0.607927
_search_words = table("search_words", column("rowid"))
# With a plan for these words alone: one for all of them would take each for as rare as any other.
_COUNTS = text(f"""
WITH newest AS MATERIALIZED (
  SELECT words FROM search_entries WHERE user_id = :owner ORDER BY message_id DESC LIMIT {_SAMPLE}),
looked_at AS MATERIALIZED (
  SELECT stem, query, (SELECT count(*) FROM newest WHERE words @@ CAST(alone AS tsquery)) AS hits
  FROM unnest(CAST(:stems AS text[]), CAST(:queries AS text[]), CAST(:alone AS text[])) AS asked (stem, query, alone))
SELECT stem, hits, (SELECT count(*) FROM newest) AS sample, (SELECT avg(length(words)) FROM newest) AS usual_length,
  CASE WHEN hits <= 2 THEN (SELECT count(*) FROM (
    SELECT FROM search_entries WHERE words @@ CAST(query AS tsquery) LIMIT {CANDIDATES}) AS rare) END AS counted,
  (SELECT count(*) FROM (
    SELECT FROM search_entries WHERE user_id = :owner LIMIT {_MOST_COUNTED}) AS of_owner) AS of_owner,
  (SELECT reltuples FROM pg_class WHERE oid = CAST('search_entries' AS regclass)) AS of_all,
  set_config('plan_cache_mode', 'force_custom_plan', true)
FROM looked_at
""")  # noqa: S608  figures of ours

# BM25 of one stem, from how often it comes.
_SCORE = f"""CAST(:weight_{{number}} AS float8) * (1 - 1 / (1 + (
  1 / ({_LIMIT + 0.0001} - {10 * _LIMIT} * ts_rank(words, CAST(CAST(:stem_{{number}} AS text) AS tsquery))) - {_NONE})
  / ({_K1} * ({1 - _B} + {_B} * length(words) / CAST(:usual_length AS float8)))))"""


class _Corpus(msgspec.Struct, frozen=True):
    """What the owner's messages are like: what each stem that there is counts for (BM25's inverse document frequency),
    rarest first; the rarest of them, at least one, as many as bring in about `CANDIDATES`; whether these are so few
    that all that have one of them can be looked at; how many stems there usually are in a message.
    """

    weights: Mapping[str, float]
    rare: Sequence[str]
    is_rare: bool
    usual_length: float


def list_by_words(connection: Connection, scope: Scope, stems: Sequence[str], *, limit: int) -> list[Match]:
    """Those with all of the stems first, then those with some of them."""
    if connection.dialect.name == "postgresql":
        return _on_postgres(connection, scope, stems, limit=limit)
    found = _on_sqlite(connection, scope, _joined(stems, " AND ", '"'), limit=limit)
    if len(stems) == 1 or len(found) >= limit:
        return found
    return _with_more(found, _on_sqlite(connection, scope, _joined(stems, " OR ", '"'), limit=limit), limit=limit)


def _on_sqlite(connection: Connection, scope: Scope, terms: str, *, limit: int) -> list[Match]:
    asked = f'user_id : "{scope.principal.id}" AND words : ({terms})'
    rank: ColumnElement[float] = literal_column("bm25(search_words, 0.0, 1.0)")  # lower is better
    statement = (
        select(messages.c.id, messages.c.thread_id, (-rank).label("score"))
        .join_from(_search_words, search_entries, search_entries.c.id == _search_words.c.rowid)
        .join(messages, messages.c.id == search_entries.c.message_id)
        .where(text("search_words MATCH :asked").bindparams(asked=asked))
        .order_by(rank, messages.c.id.desc())
    )
    return _matches(connection, visible(connection, statement, scope).limit(limit))


def _on_postgres(connection: Connection, scope: Scope, stems: Sequence[str], *, limit: int) -> list[Match]:
    corpus = _look_at(connection, scope, stems)
    with_all = _joined(stems, " & ") if len(corpus.weights) == len(stems) else None
    found: list[Match] = []
    if with_all is not None and not corpus.is_rare:
        found = _best(connection, scope, with_all, corpus=corpus, limit=limit)
        if len(stems) == 1 or len(found) >= limit:
            return found
    if not corpus.rare:
        return found
    some = _joined(corpus.rare, " | ")
    return _with_more(found, _best(connection, scope, some, first=with_all, corpus=corpus, limit=limit), limit=limit)


def _look_at(connection: Connection, scope: Scope, stems: Sequence[str]) -> _Corpus:
    owner = owner_lexeme(scope.principal.id)
    queries = [f"'{owner}' & '{stem}'" for stem in stems]
    given = {"owner": scope.principal.id, "stems": [*stems], "queries": queries, "alone": [f"'{s}'" for s in stems]}
    counts: dict[str, float] = {}
    total, usual_length = 0.0, 1.0
    for row in connection.execute(_COUNTS, given):
        total = float(row.of_owner if row.of_owner < _MOST_COUNTED else max(row.of_owner, row.of_all))
        counts[row.stem] = float(row.hits / row.sample * total if row.counted is None else row.counted)
        usual_length = max(1.0, float(row.usual_length or 1))
    there = sorted((stem for stem, count in counts.items() if count), key=lambda stem: counts[stem])
    weights = {stem: math.log(1 + max(0, total - counts[stem] + 0.5) / (counts[stem] + 0.5)) for stem in there}
    rare = _rarest(there, counts)
    is_rare = sum(counts[stem] for stem in rare) <= CANDIDATES
    return _Corpus(weights, rare, is_rare, usual_length)


def _rarest(stems: Sequence[str], counts: Mapping[str, float]) -> list[str]:
    rarest: list[str] = []
    for stem in stems:
        if rarest and sum(counts[each] for each in [*rarest, stem]) > CANDIDATES:
            break
        rarest.append(stem)
    return rarest


def _best(
    connection: Connection, scope: Scope, terms: str, *, corpus: _Corpus, limit: int, first: str | None = None
) -> list[Match]:
    """Ranked before they are joined with what tells whether the asker may see them, unless more than that is asked.
    Those that match `first` come first.
    """
    weights = list(corpus.weights.items())[:_SCORED_STEMS]
    given: dict[str, Any] = {
        "owner": scope.principal.id,
        "terms": f"'{owner_lexeme(scope.principal.id)}' & ({terms})",
        "usual_length": corpus.usual_length,
        **{f"stem_{number}": f"'{stem}'" for number, (stem, _) in enumerate(weights)},
        **{f"weight_{number}": weight for number, (_, weight) in enumerate(weights)},
    }
    if first is not None:
        given["first"] = first
    most = CANDIDATES if scope.is_plain else None
    chosen = _ranked(len(weights), has_first=first is not None, most=most, is_rare=corpus.is_rare)
    ranked = text(chosen).bindparams(**given)
    best = ranked.columns(column("message_id"), column("score"), column("is_first")).subquery("best")
    statement = (
        select(messages.c.id, messages.c.thread_id, best.c.score)
        .join_from(best, messages, messages.c.id == best.c.message_id)
        .order_by(best.c.is_first.desc(), best.c.score.desc(), best.c.message_id.desc())
    )
    return _matches(connection, visible(connection, statement, scope).limit(limit))


@cache
def _ranked(stems: int, *, has_first: bool, most: int | None, is_rare: bool) -> str:
    """As text: to put it together and to look it up would cost SQLAlchemy as much as PostgreSQL takes for it.

    Few need no order before they are ranked; their number is an estimate, so it is bounded all the same.
    """
    score = " + ".join(_SCORE.format(number=number) for number in range(stems)) or "0.0"
    is_first = "words @@ CAST(CAST(:first AS text) AS tsquery)" if has_first else "false"
    bound, order = "", ""
    if most is not None:
        bound = f"LIMIT {2 * most}" if is_rare else f"ORDER BY message_id DESC LIMIT {most}"
        order = f"ORDER BY is_first DESC, score DESC, message_id DESC LIMIT {most}"
    return f"""
SELECT message_id, {score} AS score, {is_first} AS is_first FROM (
  SELECT message_id, words FROM search_entries
  WHERE words @@ CAST(CAST(:terms AS text) AS tsquery) AND user_id = CAST(:owner AS text) {bound}) AS looked_at {order}
"""  # noqa: S608  figures and pieces of ours


def _with_more(found: list[Match], more: Sequence[Match], *, limit: int) -> list[Match]:
    known = {match.message_id for match in found}
    return [*found, *(match for match in more if match.message_id not in known)][:limit]


def _joined(stems: Sequence[str], joint: str, quote: str = "'") -> str:
    return joint.join(f"{quote}{stem}{quote}" for stem in stems)


def _matches(connection: Connection, statement: Select[Any]) -> list[Match]:
    return [Match(row.id, row.thread_id, float(row.score)) for row in connection.execute(statement).all()]
