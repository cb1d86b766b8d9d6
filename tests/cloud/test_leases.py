"""Who may do what only one may do, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from shallop_cloud.keyring import Keyring
from shallop_cloud.link.connection import BrokerUrl
from shallop_cloud.link.lease import ALONE, Lease, Terms
from shallop_cloud.link.link import Link, Settings, Standing
from shallop_cloud.store import leases
from shallop_cloud.store.database import Database
from shallop_protocol.topics import Topics
from system_world import wait

NOBODY = BrokerUrl("127.0.0.1", 9)
MINUTE_MS = 60_000


@pytest.fixture
def database(tmp_path: Path, database_url: str | None) -> Iterator[Database]:
    made = Database.at(database_url) if database_url else Database.in_directory(tmp_path)
    yield made
    made.close()


def _take(database: Database, holder: str, lifetime_ms: int = MINUTE_MS) -> int | None:
    with database.write() as connection:
        return leases.take(connection, "some", holder, lifetime_ms, connected=False)


def _held(database: Database) -> leases.Lease | None:
    with database.read() as connection:
        return leases.held(connection, "some")


def test_who_comes_first_has_it(database: Database) -> None:
    assert _held(database) is None
    assert _take(database, "a") == 1
    assert _take(database, "b") is None
    assert _held(database) == leases.Lease("a", 1, connected=False)


def test_who_has_it_holds_on_to_it_in_the_same_term(database: Database) -> None:
    assert [_take(database, "a"), _take(database, "a")] == [1, 1]


def test_what_ran_out_is_anothers_in_a_new_term(database: Database) -> None:
    assert _take(database, "a", lifetime_ms=0) == 1
    assert _held(database) is None
    assert _take(database, "b") == 2
    assert _take(database, "a") is None


def test_what_was_given_back_is_free(database: Database) -> None:
    _take(database, "a")
    with database.write() as connection:
        leases.release(connection, "some", "b")  # which has nothing to give
    assert _take(database, "b") is None
    with database.write() as connection:
        leases.release(connection, "some", "a")
    assert _take(database, "b") == 2


def test_a_holder_that_was_not_renewed_in_time_holds_nothing(database: Database) -> None:
    """It knows by itself, without asking the database, which may be what is away."""
    lease = Lease(database, Terms(lifetime=0.0, renew_every=1.0, try_every=1.0))
    assert lease.attempt(connected=True)
    assert not lease.is_held
    lease = Lease(database, ALONE)
    assert lease.attempt(connected=True)
    assert lease.is_held
    lease.release()
    assert not lease.is_held


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    return Settings(NOBODY, "3.1.1", Topics(), Keyring(tmp_path, database), 120_000)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_one_of_two_holds_the_link_and_the_other_follows(database: Database, settings: Settings) -> None:
    first, second = Link(database, settings), Link(database, settings)
    with second:
        with first:
            wait("one of them holds it", lambda: first.standing.holds or second.standing.holds)
            one, other = (first, second) if first.standing.holds else (second, first)
            assert other.standing == Standing(holds=False, connected=False)
            if one is second:
                return
        wait("the other holds it", lambda: second.standing.holds, within=2)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_who_stands_by_says_whether_the_holder_is_connected(database: Database, settings: Settings) -> None:
    holder = Lease(database)
    assert holder.attempt(connected=True)
    with Link(database, settings) as link:
        wait("it looked", lambda: link.standing == Standing(holds=False, connected=True))
        holder.release()
        wait("it took over", lambda: link.standing == Standing(holds=True, connected=False))
