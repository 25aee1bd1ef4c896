"""What every index of vectors keeps to."""

import asyncio

import numpy as np
import pytest

from frontdesk.errors import SearchIndexError
from frontdesk.kit.ids import new_id
from frontdesk.ports.embedder import Vectors
from frontdesk.ports.vector_index import Collection, Neighbour, Where
from harness.vector_indexes import DIMENSION, Indexed, clustered, entry, vectors

ANN, BEN = new_id(), new_id()
THREADS = [new_id() for _ in range(4)]


async def found(indexed: Indexed, collection: Collection, vector: Vectors, where: Where, count: int = 5) -> list[str]:
    neighbours = await indexed.index.nearest(collection, vector, where=where, count=count)
    similarities = [neighbour.similarity for neighbour in neighbours]
    assert similarities == sorted(similarities, reverse=True)
    return [neighbour.id for neighbour in neighbours]


async def test_what_was_put_is_found_nearest_first(indexed: Indexed) -> None:
    collection = await indexed.collection()
    entries = [entry(ANN, THREADS[number % 4]) for number in range(20)]
    rows = vectors(20, seed=1)
    await indexed.index.put(collection, entries, rows)
    neighbours = await indexed.index.nearest(collection, rows[3:4], where=Where(owner=ANN), count=20)
    cosines = rows @ rows[3]
    assert [neighbour.id for neighbour in neighbours] == [entries[at].id for at in np.argsort(-cosines)]
    best = neighbours[0]
    assert isinstance(best, Neighbour)
    assert (best.id, best.group) == (entries[3].id, entries[3].group)
    assert [neighbour.similarity for neighbour in neighbours] == pytest.approx(sorted(cosines, reverse=True), abs=1e-5)


async def test_an_entry_that_is_put_again_is_replaced_whole(indexed: Indexed) -> None:
    collection = await indexed.collection()
    old = entry(ANN, THREADS[0], made_at=1, role="user", model="m")
    rows = vectors(2, seed=2)
    await indexed.index.put(collection, [old], rows[:1])
    new = entry(BEN, THREADS[1], made_at=2, id_=old.id, role="assistant")
    await indexed.index.put(collection, [new], rows[1:])
    assert await indexed.index.count(collection) == 1
    for former in (Where(owner=ANN), Where(owner=BEN, labels={"model": "m"}), Where(owner=BEN, until=1)):
        assert await found(indexed, collection, rows[:1], former) == []
    now = Where(owner=BEN, groups=frozenset({THREADS[1]}), labels={"role": "assistant"}, since=2)
    (only,) = await indexed.index.nearest(collection, rows[1:], where=now, count=5)
    assert only.group == THREADS[1]
    assert only.similarity == pytest.approx(1, abs=1e-5)


async def test_of_an_id_that_is_put_twice_at_once_the_last_holds(indexed: Indexed) -> None:
    collection = await indexed.collection()
    first, second = entry(ANN, THREADS[0], id_="a"), entry(ANN, THREADS[1], id_="a")
    rows = vectors(2, seed=3)
    await indexed.index.put(collection, [first, second], rows)
    (only,) = await indexed.index.nearest(collection, rows[1:], where=Where(owner=ANN), count=5)
    assert (only.group, round(only.similarity, 4)) == (THREADS[1], 1)


async def test_what_is_removed_is_not_found(indexed: Indexed) -> None:
    collection = await indexed.collection()
    entries = [entry(ANN, THREADS[number % 4]) for number in range(12)]
    rows = vectors(12, seed=4)
    await indexed.index.put(collection, entries, rows)
    await indexed.index.remove(collection, [entries[0].id, new_id()])
    await indexed.index.remove(collection, [entries[0].id])
    await indexed.index.remove(collection, [])
    assert await indexed.index.count(collection) == 11
    await indexed.index.remove_groups(collection, [THREADS[1], THREADS[2], new_id()])
    await indexed.index.remove_groups(collection, [])
    left = {each.id for each in entries[1:] if each.group in {THREADS[0], THREADS[3]}}
    assert set(await found(indexed, collection, rows[:1], Where(owner=ANN), 12)) == left
    assert await indexed.index.count(collection) == len(left) == 5


async def test_thousands_of_groups_and_ids_are_removed_at_once(indexed: Indexed) -> None:
    collection = await indexed.collection()
    entries = [entry(ANN, THREADS[number]) for number in range(4)]
    await indexed.index.put(collection, entries, vectors(4, seed=5))
    await indexed.index.remove_groups(collection, [*(new_id() for _ in range(3000)), THREADS[0]])
    await indexed.index.remove(collection, [*(new_id() for _ in range(3000)), entries[1].id])
    assert await indexed.index.ids(collection, after=None, count=9) == sorted(each.id for each in entries[2:])


async def test_every_filter_holds_and_all_of_them_together(indexed: Indexed) -> None:
    collection = await indexed.collection()
    entries = [
        entry(owner, THREADS[number % 3], made_at=number, role=role, model=f"m{number % 2}")
        for number in range(12)
        for owner in (ANN, BEN)
        for role in ("user", "assistant")
    ]
    rows = vectors(len(entries), seed=6)
    await indexed.index.put(collection, entries, rows)
    for where in (
        Where(owner=ANN),
        Where(owner=ANN, groups=frozenset()),
        Where(owner=ANN, groups=frozenset({THREADS[0]})),
        Where(owner=BEN, groups=frozenset({THREADS[0], THREADS[2], new_id()})),
        Where(owner=ANN, labels={"role": "user"}),
        Where(owner=ANN, labels={"role": "user", "model": "m1"}),
        Where(owner=ANN, labels={"colour": "red"}),
        Where(owner=ANN, since=3, until=7),
        Where(owner=ANN, since=11),
        Where(owner=BEN, groups=frozenset({THREADS[1]}), labels={"role": "assistant"}, since=2, until=8),
        Where(owner=new_id()),
    ):
        wanted = {
            each.id
            for each in entries
            if each.owner == where.owner
            and (where.groups is None or each.group in where.groups)
            and where.labels.items() <= each.labels.items()
            and (where.since is None or each.made_at >= where.since)
            and (where.until is None or each.made_at <= where.until)
        }
        assert set(await found(indexed, collection, rows[:1], where, 50)) == wanted, where


async def test_a_nearer_vector_of_another_owner_is_never_found(indexed: Indexed) -> None:
    collection = await indexed.collection()
    rows = vectors(60, seed=7)
    mine = [entry(ANN, THREADS[0]) for _ in range(3)]
    others = [entry(new_id(), THREADS[0]) for _ in range(57)]
    await indexed.index.put(collection, [*others, *mine], rows)
    for row in range(60):
        ids = await found(indexed, collection, rows[row : row + 1], Where(owner=ANN, groups=frozenset(THREADS)), 10)
        assert set(ids) == {each.id for each in mine}


async def test_vectors_of_another_dimension_are_refused(indexed: Indexed) -> None:
    collection = await indexed.collection()
    wrong = vectors(1, seed=8, dimension=DIMENSION + 1)
    with pytest.raises(SearchIndexError, match="frontdesk search reindex"):
        await indexed.index.put(collection, [entry(ANN, THREADS[0])], wrong)
    with pytest.raises(SearchIndexError, match="frontdesk search reindex"):
        await indexed.index.nearest(collection, wrong, where=Where(owner=ANN), count=1)
    assert await indexed.index.count(collection) == 0


@pytest.mark.parametrize("other", [{"generation": 2}, {"model": "another"}, {"dimension": 8}, {"name": "elsewhere"}])
async def test_a_collection_that_is_not_there_says_what_makes_it(indexed: Indexed, other: dict[str, object]) -> None:
    made = await indexed.collection()
    asked = {"name": made.name, "generation": 1, "model": "a-model", "dimension": DIMENSION} | other
    missing = Collection(**asked)
    vector = vectors(1, seed=9, dimension=missing.dimension)
    index = indexed.index
    for call in (
        index.put(missing, [entry(ANN, THREADS[0])], vector),
        index.remove(missing, ["a"]),
        index.remove_groups(missing, ["a"]),
        index.nearest(missing, vector, where=Where(owner=ANN), count=1),
        index.ids(missing, after=None, count=1),
        index.count(missing),
    ):
        with pytest.raises(SearchIndexError, match="frontdesk search reindex"):
            await call
    await index.check()


async def test_a_generation_is_filled_beside_the_one_in_use_and_dropped_alone(indexed: Indexed) -> None:
    old = await indexed.collection()
    new = await indexed.collection(name=old.name, generation=2)
    await indexed.index.put(old, [entry(ANN, THREADS[0], id_="a")], vectors(1, seed=10))
    assert await indexed.index.count(new) == 0
    await indexed.index.create(old)
    assert await indexed.index.count(old) == 1
    await indexed.index.drop(new)
    await indexed.index.drop(new)
    assert await indexed.index.count(old) == 1
    with pytest.raises(SearchIndexError):
        await indexed.index.count(new)
    await indexed.index.drop(old)
    await indexed.index.create(old)
    assert await indexed.index.ids(old, after=None, count=5) == []


async def test_ids_come_in_pages_in_their_order(indexed: Indexed) -> None:
    collection = await indexed.collection()
    entries = [entry(ANN, THREADS[0]) for _ in range(25)]
    await indexed.index.put(collection, entries[::-1], vectors(25, seed=11))
    pages, after = [], None
    while page := await indexed.index.ids(collection, after=after, count=10):
        pages.append(page)
        after = page[-1]
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [id_ for page in pages for id_ in page] == sorted(each.id for each in entries)


async def test_what_was_put_is_there_when_it_is_opened_again(indexed: Indexed) -> None:
    collection = await indexed.collection()
    entries = [entry(ANN, THREADS[number % 2], made_at=number, role="user") for number in range(300)]
    rows = vectors(300, seed=12)
    await indexed.index.put(collection, entries, rows)
    await indexed.index.remove(collection, [entries[7].id])
    await indexed.reopen()
    assert await indexed.index.count(collection) == 299
    assert len(await indexed.index.ids(collection, after=None, count=500)) == 299
    where = Where(owner=ANN, labels={"role": "user"}, since=8, until=8)
    assert await found(indexed, collection, rows[8:9], where) == [entries[8].id]
    assert entries[7].id not in await found(indexed, collection, rows[7:8], Where(owner=ANN))


async def test_puts_at_once_are_all_stored(indexed: Indexed) -> None:
    collection = await indexed.collection()
    shared = [entry(ANN, THREADS[0]) for _ in range(20)]
    batches = [[entry(ANN, THREADS[1]) for _ in range(20)] + shared[:: 1 if number % 2 else -1] for number in range(8)]
    await asyncio.gather(
        *(indexed.index.put(collection, batch, vectors(40, seed=number)) for number, batch in enumerate(batches))
    )
    stored = await indexed.index.ids(collection, after=None, count=1000)
    assert stored == sorted({each.id for batch in batches for each in batch})
    assert await indexed.index.count(collection) == 180


async def test_a_put_whose_caller_leaves_harms_no_other_call(indexed: Indexed) -> None:
    collection = await indexed.collection()
    rows = vectors(400, seed=13)
    put = indexed.index.put(collection, [entry(ANN, THREADS[0]) for _ in range(400)], rows)
    leaving, asked = (asyncio.ensure_future(call) for call in (put, indexed.index.count(collection)))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await asked in range(401)
    with pytest.raises(asyncio.CancelledError):
        await leaving
    mine = entry(BEN, THREADS[0])
    await indexed.index.put(collection, [mine], rows[:1])
    assert await found(indexed, collection, rows[:1], Where(owner=BEN)) == [mine.id]


async def test_the_ten_nearest_are_what_comparing_all_finds_also_under_a_filter(indexed: Indexed) -> None:
    dimension, owners = 48, [new_id() for _ in range(10)]
    collection = await indexed.collection(dimension=dimension)
    rows = clustered(2000, seed=14, dimension=dimension)
    entries = [entry(owners[number % 10], THREADS[0], role=str(number // 10 % 10)) for number in range(2000)]
    await indexed.index.put(collection, entries, rows)
    questions = clustered(20, seed=15, dimension=dimension)
    for labels in ({}, {"role": "3"}):
        of = [
            at for at, each in enumerate(entries) if each.owner == owners[4] and labels.items() <= each.labels.items()
        ]
        hits = 0
        for question in questions:
            best = sorted(of, key=lambda at, question=question: -float(rows[at] @ question))[:10]
            ids = await found(indexed, collection, question[None], Where(owner=owners[4], labels=labels), 10)
            hits += len({entries[at].id for at in best} & set(ids))
        assert hits >= 0.97 * 200
