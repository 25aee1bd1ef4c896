"""Accounts and tokens on real databases: who is first, what a refresh does, when a token is dead."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, delete, func, select

from frontdesk.database.types import metadata
from frontdesk.errors import (
    BadCredentialsError,
    BadTokenError,
    ForbiddenError,
    NotFoundError,
    TooManyRequestsError,
    UsernameTakenError,
)
from frontdesk.identity.tokens.models import Family, refresh_families
from frontdesk.identity.tokens.service import LINGER, LONGEST_ROTATION
from frontdesk.identity.users.models import Registration, Role
from frontdesk.identity.users.models import users as users_table
from frontdesk.kit.clock import HeldClock, SystemClock
from harness.identities import PASSWORD, Identity, open_identity, settings_for

OWN_TABLES = {"users", "refresh_families", "idempotency_keys"}


@pytest.fixture
async def identity(database_url: str) -> AsyncIterator[Identity]:
    async with open_identity(settings_for(database_url)) as opened:
        yield opened


@pytest.fixture
async def two(database_url: str) -> AsyncIterator[tuple[Identity, Identity]]:
    """Two processes' worth of services on one database."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(open_identity(settings_for(database_url)))
        second = await stack.enter_async_context(open_identity(settings_for(database_url)))
        yield first, second


async def test_the_migration_makes_the_tables_that_the_program_declares(identity: Identity) -> None:
    def differences(connection: Connection) -> list[object]:
        def is_own(_item: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:  # noqa: FBT001
            return kind != "table" or name in OWN_TABLES

        options = {"include_object": is_own, "compare_type": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    assert await identity.database.read(differences) == []


async def test_of_many_that_come_first_at_once_exactly_one_wins(two: tuple[Identity, Identity]) -> None:
    wanted = [Registration(username=f"ann{number}", password=PASSWORD) for number in range(24)]
    for _ in range(10):
        outcomes = await asyncio.gather(
            *(two[number % 2].users.register(None, one) for number, one in enumerate(wanted)), return_exceptions=True
        )
        winners = [outcome.result for outcome in outcomes if not isinstance(outcome, BaseException)]
        assert [winner.role for winner in winners] == [Role.admin]
        assert all(isinstance(outcome, ForbiddenError) for outcome in outcomes if isinstance(outcome, BaseException))
        assert await two[0].users.list() == winners
        await two[0].database.write(lambda connection: connection.execute(delete(users_table)))


async def test_of_two_first_ones_with_one_name_the_other_is_forbidden_too(two: tuple[Identity, Identity]) -> None:
    wanted = Registration(username="ann", password=PASSWORD)
    outcomes = await asyncio.gather(*(one.users.register(None, wanted) for one in two), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ForbiddenError", "Once"]


async def test_a_name_is_taken_in_every_spelling(identity: Identity) -> None:
    await identity.create_user("Straße")
    outcomes = await asyncio.gather(
        *(identity.create_user(name) for name in ("STRASSE", "strasse", "\uff33traße")), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [UsernameTakenError] * 3


async def test_a_name_that_many_want_at_once_goes_to_one(two: tuple[Identity, Identity]) -> None:
    await two[0].create_user("root")
    outcomes = await asyncio.gather(
        *(two[number % 2].create_user("ann") for number in range(10)), return_exceptions=True
    )
    assert sum(isinstance(outcome, UsernameTakenError) for outcome in outcomes) == 9


async def test_a_text_that_looks_like_sql_is_a_name(identity: Identity) -> None:
    user = await identity.create_user("x'); DROP TABLE users;--")
    assert (await identity.users.find_by_name("X'); drop table USERS;--")) == user


async def test_users_are_listed_by_key(identity: Identity) -> None:
    made = [await identity.create_user(f"user{number}") for number in range(5)]
    page = await identity.users.list(limit=2)
    rest = await identity.users.list(after=page[-1].id, limit=10)
    assert [*page, *rest] == made


async def test_no_user_is_not_found(identity: Identity) -> None:
    missing = (await identity.create_user("ann")).id[:-1] + "x"
    for call in (
        identity.users.get(missing),
        identity.users.suspend(missing),
        identity.users.set_role(missing, Role.user),
    ):
        with pytest.raises(NotFoundError):
            await call
    assert await identity.users.find_by_name("bob") is None


async def test_a_wrong_pair_is_refused_with_one_text(identity: Identity) -> None:
    user = await identity.create_user("ann")
    suspended = await identity.create_user("bob")
    await identity.users.suspend(suspended.id)
    said = set()
    for name, password in (("ann", "wrong"), ("nobody", PASSWORD), ("bob", PASSWORD), ("ann", PASSWORD + "x" * 1024)):
        with pytest.raises(BadCredentialsError) as caught:
            await identity.users.login(name, password, address="192.0.2.1")
        said.add(caught.value.detail)
    assert len(said) == 1
    assert (await identity.users.login("ANN", PASSWORD, address="192.0.2.1")).id == user.id
    await identity.users.activate(suspended.id)
    assert (await identity.users.login("bob", PASSWORD, address="192.0.2.1")).id == suspended.id


async def test_200_guesses_at_once_get_exactly_the_limit(sqlite_url: str) -> None:
    clock = HeldClock()
    async with open_identity(settings_for(sqlite_url, login_attempts_per_user=10), clock) as identity:
        await identity.create_user("ann")
        # The bound on waiting verifications is under test elsewhere: 50 at once stay below it.
        for _ in range(4):
            outcomes = await asyncio.gather(
                *(identity.users.login("ann", "wrong", address=f"192.0.2.{number}") for number in range(50)),
                return_exceptions=True,
            )
            refused = sum(isinstance(outcome, TooManyRequestsError) for outcome in outcomes)
            tried = sum(isinstance(outcome, BadCredentialsError) for outcome in outcomes)
            assert tried + refused == 50
            assert tried == (10 if _ == 0 else 0)
        with pytest.raises(TooManyRequestsError) as caught:
            await identity.users.login("ann", PASSWORD, address="198.51.100.1")
        assert caught.value.headers["Retry-After"] == "300"
        clock.advance(300)
        assert (await identity.users.login("ann", PASSWORD, address="192.0.2.1")).username == "ann"


async def test_200_at_once_with_one_address_get_exactly_the_limit(sqlite_url: str) -> None:
    async with open_identity(settings_for(sqlite_url, login_attempts_per_address=40), HeldClock()) as identity:
        outcomes = await asyncio.gather(
            *(identity.users.login(f"user{number}", "wrong", address="192.0.2.1") for number in range(200)),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, BadCredentialsError) for outcome in outcomes) == 40
        assert sum(isinstance(outcome, TooManyRequestsError) for outcome in outcomes) == 160


async def test_right_passwords_are_not_counted_and_forgive_no_wrong_ones(sqlite_url: str) -> None:
    async with open_identity(settings_for(sqlite_url, login_attempts_per_user=3), HeldClock()) as identity:
        await identity.create_user("ann")
        for _ in range(2):
            with pytest.raises(BadCredentialsError):
                await identity.users.login("ann", "wrong", address="192.0.2.1")
        for _ in range(5):
            await identity.users.login("ann", PASSWORD, address="192.0.2.1")
        with pytest.raises(BadCredentialsError):
            await identity.users.login("ann", "wrong", address="192.0.2.1")
        with pytest.raises(TooManyRequestsError):
            await identity.users.login("ann", PASSWORD, address="192.0.2.1")


async def test_50_refreshes_at_once_log_nobody_out_and_a_replay_ends_the_family(two: tuple[Identity, Identity]) -> None:
    clock = SystemClock()
    pair = await two[0].tokens.issue(await two[0].create_user("ann"))
    for _ in range(20):
        used, arrived_at = pair.refresh_token, clock.now()
        answers = await asyncio.gather(
            *(two[number % 2].tokens.refresh(used, arrived_at=arrived_at) for number in range(50))
        )
        pair = answers[0]
        assert all(answer == pair for answer in answers)
        assert pair.refresh_token != used
        await two[1].tokens.authenticate(pair.access_token)
    for token in (used, pair.refresh_token):
        with pytest.raises(BadTokenError):
            await two[0].tokens.refresh(token, arrived_at=clock.now())


async def test_no_answer_leaves_before_its_rotation_is_closed(identity: Identity) -> None:
    clock = SystemClock()
    first = await identity.tokens.issue(await identity.create_user("ann"))
    await identity.tokens.refresh(first.refresh_token, arrived_at=clock.now())
    answered_at = clock.now()
    family = await only_family(identity)
    assert family.rotated_at is not None
    assert family.closed_at is not None
    assert family.rotated_at + LINGER <= family.closed_at <= answered_at


@pytest.mark.parametrize(("after", "accepted"), [(-0.000001, True), (0.0, False), (0.001, False)])
async def test_the_closing_divides_tabs_from_thieves(identity: Identity, after: float, *, accepted: bool) -> None:
    clock = SystemClock()
    first = await identity.tokens.issue(await identity.create_user("ann"))
    second = await identity.tokens.refresh(first.refresh_token, arrived_at=clock.now())
    closed_at = (await only_family(identity)).closed_at
    assert closed_at is not None
    arrived_at = closed_at + timedelta(seconds=after)
    if accepted:
        assert await identity.tokens.refresh(first.refresh_token, arrived_at=arrived_at) == second
        assert await identity.tokens.refresh(second.refresh_token, arrived_at=clock.now()) != second
        return
    for token in (first, second):
        with pytest.raises(BadTokenError):
            await identity.tokens.refresh(token.refresh_token, arrived_at=arrived_at)


async def test_tabs_that_straggle_are_waited_for(database_url: str) -> None:
    clock = HeldClock()  # however slowly the machine goes, each tab comes within `LINGER` of the one before
    async with AsyncExitStack() as stack:
        two = [await stack.enter_async_context(open_identity(settings_for(database_url), clock)) for _ in range(2)]
        first, began = await two[0].tokens.issue(await two[0].create_user("ann")), clock.now()
        waiting = []
        for number in range(6):
            came = two[number % 2].tokens.refresh(first.refresh_token, arrived_at=clock.now())
            waiting.append(asyncio.create_task(came))
            while (await only_family(two[0])).open_until != clock.now() + LINGER:
                assert not any(tab.done() for tab in waiting)
            clock.advance(LINGER.total_seconds() / 2)
        assert not any(tab.done() for tab in waiting)
        clock.advance(LINGER.total_seconds() / 2)
        assert len(set(await asyncio.gather(*waiting))) == 1
        assert (await only_family(two[0])).closed_at == began + 3.5 * LINGER


async def test_an_answer_that_never_left_can_be_asked_for_again(identity: Identity) -> None:
    clock = SystemClock()
    first = await identity.tokens.issue(await identity.create_user("ann"))
    lost = asyncio.create_task(identity.tokens.refresh(first.refresh_token, arrived_at=clock.now()))
    while (await only_family(identity)).rotated_at is None:
        assert not lost.done()
    lost.cancel()
    await asyncio.gather(lost, return_exceptions=True)
    second = await identity.tokens.refresh(first.refresh_token, arrived_at=clock.now() + 2 * LINGER)
    assert await identity.tokens.refresh(second.refresh_token, arrived_at=clock.now())


async def test_who_keeps_asking_cannot_hold_the_answer_for_ever(database_url: str) -> None:
    clock = HeldClock()
    async with open_identity(settings_for(database_url), clock) as identity:
        first, begun = await identity.tokens.issue(await identity.create_user("ann")), clock.now()
        asked = [asyncio.create_task(identity.tokens.refresh(first.refresh_token, arrived_at=clock.now()))]
        while not asked[0].done():
            assert clock.now() - begun <= 2 * LONGEST_ROTATION
            asked.append(asyncio.create_task(identity.tokens.refresh(first.refresh_token, arrived_at=clock.now())))
            await asyncio.sleep(0.02)
            clock.advance(0.1)
        await asyncio.gather(*asked, return_exceptions=True)


async def test_a_grandparent_is_a_replay_however_early(identity: Identity) -> None:
    clock = SystemClock()
    first = await identity.tokens.issue(await identity.create_user("ann"))
    second = await identity.tokens.refresh(first.refresh_token, arrived_at=clock.now())
    third = await identity.tokens.refresh(second.refresh_token, arrived_at=clock.now())
    for token in (first, third):
        with pytest.raises(BadTokenError):
            await identity.tokens.refresh(token.refresh_token, arrived_at=clock.now())


async def test_a_replay_ends_one_family_and_no_other(identity: Identity) -> None:
    clock = SystemClock()
    user = await identity.create_user("ann")
    stolen, other = await identity.tokens.issue(user), await identity.tokens.issue(user)
    await identity.tokens.refresh(stolen.refresh_token, arrived_at=clock.now())
    with pytest.raises(BadTokenError):
        await identity.tokens.refresh(stolen.refresh_token, arrived_at=clock.now())
    assert await identity.tokens.refresh(other.refresh_token, arrived_at=clock.now())


async def test_expired_families_are_purged(database_url: str) -> None:
    clock = HeldClock()
    settings = settings_for(database_url, refresh_token_expire_minutes=10)
    async with open_identity(settings, clock) as identity:
        user = await identity.create_user("ann")
        await identity.tokens.issue(user)
        clock.advance(300)
        await identity.tokens.issue(user)
        clock.advance(301)
        assert await identity.tokens.purge_expired(clock.now()) == 1
        assert (await only_family(identity)).issued_at == clock.now() - timedelta(seconds=301)


REVOCATIONS: dict[str, Callable[[Identity, str], Awaitable[None]]] = {
    "logout": lambda identity, user_id: identity.tokens.logout(user_id),
    "password": lambda identity, user_id: identity.users.set_password(user_id, "another horse"),
    "suspend": lambda identity, user_id: identity.users.suspend(user_id),
    "demote": lambda identity, user_id: identity.users.set_role(user_id, Role.user),
}


@pytest.mark.parametrize("name", REVOCATIONS)
async def test_a_revocation_holds_here_at_once_and_elsewhere_within_a_second(
    two: tuple[Identity, Identity], name: str
) -> None:
    here, there = two
    user = await here.create_user("ann")
    pair = await here.tokens.issue(user)
    for one in two:
        await one.tokens.authenticate(pair.access_token)
    await REVOCATIONS[name](here, user.id)
    revoked_at = time.monotonic()
    with pytest.raises(BadTokenError):
        await here.tokens.authenticate(pair.access_token)
    assert await _seconds_until_refused(there, pair.access_token, since=revoked_at) <= 1
    with pytest.raises(BadTokenError):
        await there.tokens.refresh(pair.refresh_token, arrived_at=SystemClock().now())
    alive = select(func.count()).select_from(refresh_families).where(refresh_families.c.revoked_at.is_(None))
    assert await here.database.read(lambda connection: connection.execute(alive).scalar_one()) == 0


async def test_new_allow_lists_and_a_promotion_leave_tokens_alive(two: tuple[Identity, Identity]) -> None:
    here, there = two
    await here.create_user("root")
    user = await here.create_user("ann")
    pair = await here.tokens.issue(user)
    assert (await there.tokens.authenticate(pair.access_token)).products is None
    await here.users.set_allow_lists(user.id, products=("p",), agents=())
    await here.users.set_role(user.id, Role.admin)
    principal = await here.tokens.authenticate(pair.access_token)
    assert (principal.products, principal.agents, principal.is_admin) == (frozenset({"p"}), frozenset(), True)
    deadline = time.monotonic() + 1
    while await there.tokens.authenticate(pair.access_token) != principal:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_revocation_during_a_read_is_not_undone_by_it(identity: Identity) -> None:
    user = await identity.create_user("ann")
    for _ in range(20):
        pair = await identity.tokens.issue(await identity.users.get(user.id))
        identity.tokens._standings.forget(user.id)
        reading = asyncio.create_task(identity.tokens.authenticate(pair.access_token))
        await identity.tokens.logout(user.id)
        with pytest.raises(BadTokenError):
            await identity.tokens.authenticate(pair.access_token)
        await asyncio.gather(reading, return_exceptions=True)
        with pytest.raises(BadTokenError):
            await identity.tokens.authenticate(pair.access_token)


async def test_known_users_are_authenticated_without_the_database(identity: Identity) -> None:
    pair = await identity.tokens.issue(await identity.create_user("ann"))
    await identity.tokens.authenticate(pair.access_token)
    standings = identity.tokens._standings
    held = standings._entries.copy()
    for _ in range(100):
        await identity.tokens.authenticate(pair.access_token)
        assert not standings._tasks
    assert standings._entries == held


async def test_no_hash_of_a_password_is_in_a_record(identity: Identity) -> None:
    user = await identity.create_user("ann")
    stored = await identity.database.read(
        lambda connection: connection.execute(select(users_table.c.password_hash)).scalar_one()
    )
    assert stored.startswith("$argon2id$")
    assert "argon2" not in repr(user)


async def only_family(identity: Identity) -> Family:
    row = await identity.database.read(lambda connection: connection.execute(select(refresh_families)).one())
    return Family(**row._asdict())


async def _seconds_until_refused(identity: Identity, token: str, *, since: float) -> float:
    while time.monotonic() - since < 5:
        try:
            await identity.tokens.authenticate(token)
        except BadTokenError:
            return time.monotonic() - since
        await asyncio.sleep(0.01)
    raise AssertionError("the token outlived five seconds")
