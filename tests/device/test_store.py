"""The database: what was remembered is there again, whole or not at all."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest
from shallop_device import errors, schema, store, testing
from shallop_protocol import device, messages

AT = testing.FakeClock().now()
AGENT = messages.Agent(version="0", started_at=AT)


def composing(memory: device.Memory, incarnation: str):
    def compose(seq: int) -> messages.Report:
        return device.report(
            memory,
            device.Disk(),
            device="dev-0123456789abcdef",
            incarnation=incarnation,
            seq=seq,
            now=AT,
            clock_synced=False,
            agent=AGENT,
            next_attempts={},
        )

    return compose


def remember(memory_store: store.Store, memory: device.Memory, **more) -> None:
    memory_store.remember(memory, composing(memory, memory_store.incarnation), **more)


@pytest.fixture
def opened(tmp_path: Path):
    opened = store.Store.open(tmp_path)
    yield opened
    opened.close()


def test_a_memory_comes_back_as_it_was(tmp_path: Path, shore):
    order = shore.order(shore.manifest({"a": "text with \u00fc and \U0001f680"}), fallback="DPL-0000000000000000")
    memory = device.receive(device.Memory(), order, AT).memory
    memory = device.held_up(memory, memory.holdings[0].id, messages.Reason.of("disk_full", "full"), AT)
    memory = device.refuse(memory, messages.Reason.of("older_generation", "old"), 3).memory
    first = store.Store.open(tmp_path)
    remember(first, memory, envelope=shore.seal(order))
    report, incarnation = first.report, first.incarnation
    first.close()

    again = store.Store.open(tmp_path)

    assert again.memory == memory
    assert again.report == report
    assert again.incarnation == incarnation
    again.close()


def test_a_number_of_a_report_is_never_used_twice(tmp_path: Path, shore):
    numbers: list[int] = []
    memory = device.Memory()
    for _ in range(3):
        opened = store.Store.open(tmp_path)
        for _ in range(2):
            memory = device.receive(memory, shore.order(None), AT).memory
            remember(opened, memory)
            assert opened.report is not None
            numbers.append(opened.report.seq)
        opened.close()

    assert numbers == [1, 2, 3, 4, 5, 6]


def test_a_report_without_news_is_not_written_again(opened):
    remember(opened, device.Memory())
    opened.mark_sent(1)

    remember(opened, device.Memory())

    assert opened.report is not None
    assert (opened.report.seq, opened.report.sent) == (1, True)


def test_only_the_newest_report_is_marked_sent(opened, shore):
    remember(opened, device.Memory())
    remember(opened, device.receive(device.Memory(), shore.order(None), AT).memory)

    opened.mark_sent(1)

    assert opened.report is not None
    assert (opened.report.seq, opened.report.sent) == (2, False)


def test_memory_and_report_are_committed_together_or_not_at_all(tmp_path: Path, shore):
    before = store.Store.open(tmp_path)
    remember(before, device.Memory())
    was = before.report
    before.close()
    power = testing.Power(cut_before=1)
    cut = testing.PoweredStore.on(tmp_path, power)
    order = shore.order(shore.manifest({"a": "1"}))

    with pytest.raises(testing.PowerCut):
        remember(cut, device.receive(device.Memory(), order, AT).memory, envelope=shore.seal(order))
    cut.close()

    after = store.Store.open(tmp_path)
    assert (after.memory, after.report, after.accepted_digest) == (device.Memory(), was, None)
    after.close()


def test_a_database_that_cannot_be_written_holds_up_and_changes_nothing(tmp_path: Path, opened):
    remember(opened, device.Memory())
    other = sqlite3.connect(tmp_path / schema.FILE, timeout=0)
    other.execute("begin immediate")
    opened._db.conn.execute("pragma busy_timeout = 0")

    with pytest.raises(errors.HeldUp) as error:
        opened.next_connection()
    other.rollback()
    other.close()

    assert error.value.reason.code == "state_database"
    assert opened.next_connection() == 1


def test_connection_numbers_only_rise(tmp_path: Path):
    numbers: list[int] = []
    for _ in range(2):
        opened = store.Store.open(tmp_path)
        numbers += [opened.next_connection(), opened.next_connection()]
        opened.close()

    assert numbers == [1, 2, 3, 4]


def test_events_wait_in_order_and_the_oldest_give_way(opened):
    for number in range(store.KEPT_EVENTS + 5):
        opened.add_event(messages.Event(device="dev-0", at=AT, code="x", message=str(number)))

    found: list[str] = []
    while event := opened.first_event():
        found.append(messages.parse_event(event[1], "dev-0").message)
        opened.drop_event(event[0])

    assert found == [str(number) for number in range(5, store.KEPT_EVENTS + 5)]


def test_the_agent_knows_what_it_died_of(tmp_path: Path):
    deaths: list[int] = []
    for _ in range(3):
        opened = store.Store.open(tmp_path)
        deaths.append(opened.begin_message("digest"))
        opened.close()
    opened = store.Store.open(tmp_path)
    remember(opened, device.Memory(), applying=True)
    opened.close()
    opened = store.Store.open(tmp_path)

    assert deaths == [0, 1, 2]
    assert opened.died_applying
    assert opened.begin_message("digest") == 3
    assert opened.begin_message("digest") == 3
    remember(opened, device.Memory(), judged=True)
    assert opened.begin_message("digest") == 0
    assert not opened.died_applying
    opened.close()


def test_files_are_for_the_agent_only(tmp_path: Path, shore):
    directory = tmp_path / "a/state"
    opened = store.Store.open(directory)
    remember(opened, device.Memory())

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    opened.close()


def test_it_can_be_looked_at_while_it_is_written_and_after(tmp_path: Path):
    writer = store.Store.open(tmp_path)
    remember(writer, device.Memory())
    writer._db.conn.execute("begin immediate")
    reader = store.Store.open_to_read(tmp_path)
    assert reader.report == writer.report
    with pytest.raises(errors.HeldUp):
        reader.next_connection()
    reader.close()
    writer.close()

    reader = store.Store.open_to_read(tmp_path)
    assert reader.report is not None
    reader.close()


def test_what_is_no_database_is_said_so(tmp_path: Path):
    with pytest.raises(errors.AgentError, match="enrol this device first"):
        store.Store.open_to_read(tmp_path)
    (tmp_path / schema.FILE).write_text("this is not a database, it is only some text in a file" * 50)

    with pytest.raises(errors.AgentError, match="cannot read"):
        store.Store.open_to_read(tmp_path)
    with pytest.raises(errors.AgentError, match="cannot open"):
        store.Store.open(tmp_path)


def test_tables_are_strict(opened):
    strict = [
        row["strict"] for row in opened._rows("pragma table_list") if not row["name"].startswith(("sqlite_", "_"))
    ]

    assert len(strict) == 10
    assert set(strict) == {1}


class Noting(store.Store):
    """A store that notes, for each commit, how long the WAL was then if the commit waited for the disk."""

    commits: list[int | None]
    wal: Path

    @classmethod
    def on(cls, directory: Path) -> Noting:
        noting = cls(schema.connect(directory))
        noting.commits, noting.wal = [], directory / f"{schema.FILE}-wal"
        return noting

    def _commit(self) -> None:
        super()._commit()
        is_synced = self._db.conn.execute("pragma synchronous").fetchone() == (2,)
        self.commits.append(self.wal.stat().st_size if is_synced else None)


def test_an_order_and_an_outcome_wait_for_the_disk_and_what_may_be_lost_does_not(tmp_path: Path, shore):
    order = shore.order(shore.manifest({"a": "1"}))
    accepted = device.receive(device.Memory(), order, AT).memory
    noting = Noting.on(tmp_path / "state")

    noting.begin_message("digest")
    remember(noting, accepted, envelope=shore.seal(order), judged=True)
    noting.mark_sent(1)
    remember(noting, device.applied(accepted, order.deployment.id, AT))
    noting.next_connection()

    assert [waited is not None for waited in noting.commits] == [False, True, False, True, True]
    noting.close()


def test_a_loss_of_power_takes_no_more_than_what_was_not_synced(tmp_path: Path, shore):
    """What may be missing after it: everything in the WAL behind the last sync."""
    order = shore.order(shore.manifest({"a": "1"}))
    memory = device.receive(device.Memory(), order, AT).memory
    noting = Noting.on(tmp_path / "state")
    noting.next_connection()
    remember(noting, memory, envelope=shore.seal(order))
    kept = noting.commits[-1]
    noting.mark_sent(1)
    noting.begin_message("digest")
    for name in (schema.FILE, f"{schema.FILE}-wal"):
        (tmp_path / "cut").mkdir(exist_ok=True)
        shutil.copy(tmp_path / "state" / name, tmp_path / "cut" / name)
    os.truncate(tmp_path / "cut" / f"{schema.FILE}-wal", kept)

    after = store.Store.open(tmp_path / "cut")

    assert (after.memory, after.report.sent) == (memory, False)
    assert after.begin_message("digest") == 0
    for each in (noting, after):
        each.close()


def test_a_message_that_the_agent_died_of_is_counted_for_good(tmp_path: Path):
    for deaths in range(3):
        noting = Noting.on(tmp_path)
        assert noting.begin_message("digest") == deaths
        assert [waited is not None for waited in noting.commits] == [deaths > 0]
        noting.close()
