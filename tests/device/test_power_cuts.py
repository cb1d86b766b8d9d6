"""The power is cut before every step on the disk and before every commit, by enumeration, and again while recovering.

What a cut loses of unsynced data cannot be seen within one process; ``test_files`` holds the order of the syncs.
"""

from __future__ import annotations

import dataclasses
import shutil
import sqlite3
from pathlib import Path

import certificates_world
import pytest
import sqlite_utils
from cryptography import x509
from shallop_device import applier, certificate, files, gates, identity, schema, store, testing, worker
from shallop_protocol import keys, strict_json
from shallop_protocol.desired import Desired, Manifest
from shallop_protocol.statuses import Activity, Error

OLD = {"nav2/params.yaml": "speed: 1\n", "map.txt": "old"}
NEW = {"nav2/params.yaml": "speed: 2\n", "arm/grip.yaml": "force: 3\n"}

Outcome = dict[str, tuple[Activity, Error]]
IN_FORCE = (Activity.DEPLOYED, Error.NONE)
GONE = (Activity.ARCHIVED, Error.NONE)
FAILED = (Activity.ARCHIVED, Error.FAILED)


@dataclasses.dataclass(frozen=True)
class Case:
    """A robot at rest, the order that it takes next, and what may and must come of that.

    Attributes:
        meanwhile: what robot software may find at any moment; None stands for nothing.
        damage: a file of the deployment in force that is changed while the agent is down.
        is_accepted: the order was accepted just before that.
        rotates: another key signs the order, in another epoch; the list that says so comes after it.
        rules: the robot's gates; ``unwell`` is the deployment that does not pass ``health``.
    """

    before: tuple[Desired, ...]
    order: Desired
    sound: tuple[Manifest, ...]
    meanwhile: list[dict[str, str] | None]
    finally_visible: Manifest | None
    outcome: Outcome
    damage: str | None = None
    is_accepted: bool = False
    rotates: bool = False
    rules: gates.Rules = worker.NO_RULES
    unwell: str | None = None


def first_apply(contents: dict[str, str] = NEW) -> tuple[testing.Shore, Case]:
    shore = testing.Shore()
    new = shore.manifest(contents)
    return shore, Case((), shore.order(new), (new,), [None, contents], new, {new.id: IN_FORCE})


def first_apply_of_one_file() -> tuple[testing.Shore, Case]:
    return first_apply({"a": "new"})


def replace() -> tuple[testing.Shore, Case]:
    shore = testing.Shore()
    old, new = shore.manifest(OLD), shore.manifest(NEW)
    before = (shore.order(old),)
    outcome = {old.id: IN_FORCE, new.id: IN_FORCE}
    return shore, Case(before, shore.order(new, fallback=old.id), (old, new), [OLD, NEW], new, outcome)


def replace_without_fallback(
    old_contents: dict[str, str] = OLD, new_contents: dict[str, str] = NEW
) -> tuple[testing.Shore, Case]:
    shore = testing.Shore()
    old, new = shore.manifest(old_contents), shore.manifest(new_contents)
    before = (shore.order(old),)
    outcome = {old.id: GONE, new.id: IN_FORCE}
    return shore, Case(before, shore.order(new), (old, new), [old_contents, new_contents], new, outcome)


def replace_of_one_file() -> tuple[testing.Shore, Case]:
    return replace_without_fallback({"a": "old"}, {"a": "new"})


def remove() -> tuple[testing.Shore, Case]:
    shore = testing.Shore()
    old, new = shore.manifest(OLD), shore.manifest(NEW)
    before = (shore.order(old), shore.order(new, fallback=old.id))
    outcome = {old.id: GONE, new.id: GONE}
    return shore, Case(before, shore.order(None), (old, new), [NEW, OLD, None], None, outcome)


def rejected() -> tuple[testing.Shore, Case]:
    shore = testing.Shore()
    old, bad = shore.manifest(OLD), shore.manifest({"../bad": "x"})
    before = (shore.order(old),)
    outcome = {old.id: IN_FORCE, bad.id: FAILED}
    return shore, Case(before, shore.order(bad, fallback=old.id), (old,), [OLD], old, outcome)


def heal_damage() -> tuple[testing.Shore, Case]:
    shore = testing.Shore()
    old = shore.manifest(OLD)
    order = shore.order(old)
    torn = {**OLD, "map.txt": "torn"}
    return shore, Case((order,), order, (old,), [torn, OLD], old, {old.id: IN_FORCE}, damage="map.txt")


def failed_in_force() -> tuple[testing.Shore, Case]:
    """What is in force was damaged, and its content is ordered anew in a way that can never be applied."""
    shore = testing.Shore()
    old, new = shore.manifest(OLD), shore.manifest(NEW)
    before = (shore.order(old), shore.order(new, fallback=old.id))
    broken = new.model_copy(
        update={"instances": (new.instances[0].model_copy(update={"size": 99}), *new.instances[1:])}
    )
    torn = {**NEW, "arm/grip.yaml": "torn"}
    outcome = {old.id: IN_FORCE, new.id: FAILED}
    order = shore.order(broken, fallback=old.id)
    return shore, Case(before, order, (old,), [torn, OLD], old, outcome, "arm/grip.yaml", is_accepted=True)


def rotated() -> tuple[testing.Shore, Case]:
    shore, case = replace()
    return shore, dataclasses.replace(case, order=case.order.model_copy(update={"epoch": 2}), rotates=True)


WITH_HEALTH = gates.Rules(check=True, applied=True, health=gates.Health(window=5.0, interval=1.0, passes=2))


def first_apply_with_gates() -> tuple[testing.Shore, Case]:
    shore, case = first_apply()
    return shore, dataclasses.replace(case, rules=WITH_HEALTH)


def failed_health(old_contents: dict[str, str] = OLD, new_contents: dict[str, str] = NEW) -> tuple[testing.Shore, Case]:
    """What comes into sight does not become well in its window: the robot returns to the fallback."""
    shore = testing.Shore()
    old, new = shore.manifest(old_contents), shore.manifest(new_contents)
    before, order = (shore.order(old),), shore.order(new, fallback=old.id)
    outcome = {old.id: IN_FORCE, new.id: FAILED}
    seen = [old_contents, new_contents]
    return shore, Case(before, order, (old, new), seen, old, outcome, rules=WITH_HEALTH, unwell=new.id)


def failed_health_of_one_file() -> tuple[testing.Shore, Case]:
    return failed_health({"a": "old"}, {"a": "new"})


CASES = [
    first_apply,
    replace,
    replace_without_fallback,
    remove,
    rejected,
    failed_in_force,
    heal_damage,
    rotated,
    first_apply_with_gates,
    failed_health,
]


def prepare(directory: Path, shore: testing.Shore, case: Case) -> None:
    robot = testing.Robot(directory, shore, case.rules)
    robot.boot()
    for order in case.before:
        robot.take(order)
        robot.settle()
    if case.is_accepted:
        robot.take(case.order)
    if case.damage:
        (robot.root / applier.CURRENT / case.damage).write_text("torn")
    robot.store.close()
    if case.rotates:
        shore.rotate(keys.KeyState.REVOKED, epochs=1)


def robot_on_copy(directory: Path, copy: Path, shore: testing.Shore, case: Case) -> testing.Robot:
    shutil.copytree(directory, copy, symlinks=True)
    return testing.Robot(copy, shore, case.rules)


def settle(robot: testing.Robot, unwell: str | None) -> None:
    """Works until there is nothing left to do; the hook ``health`` finds one deployment unwell."""
    for _ in range(1000):
        robot.worker.work()
        if robot.errands.open:
            wanted = robot.store.memory.wanted
            robot.end(int(robot.errands.name == "health" and wanted is not None and wanted.id == unwell))
        elif (wake_at := robot.worker.wake_at) is None:
            return
        else:
            robot.clock.sleep(max(0.0, wake_at - robot.clock.monotonic()))
    raise AssertionError("the robot does not come to rest")


def run_until_cut(robot: testing.Robot, case: Case, power: testing.Power) -> bool:
    """Boots, hears the retained order and works. Whether the power went meanwhile."""
    try:
        robot.boot(power)
        robot.take(case.order)
        if case.rotates:
            robot.worker.renew(robot.shore.key_list)
        settle(robot, case.unwell)
    except testing.PowerCut:
        return True
    finally:
        robot.store.close()
    return False


def check_at_the_cut(robot: testing.Robot, case: Case) -> None:
    assert robot.visible() in case.meanwhile
    memory = store.Store.open_to_read(robot.state)
    told, committed = memory.report, memory.memory
    who = memory.identity
    assert who is not None
    trusted = memory.trust(who.anchor)
    memory.close()
    assert committed.order is None or committed.order.epoch <= trusted.listed.epoch
    if case.damage or told is None:
        return
    disk = applier.Applier(files.RootedFiles(robot.root))
    seen = disk.observe({manifest.id: manifest.digest for manifest in case.sound})
    assert seen.damaged == frozenset()
    entries = {entry.id: (entry.activity, entry.error) for entry in testing.read_report(told.body).deployments}
    assert {deployment for deployment, state in entries.items() if state == IN_FORCE} <= seen.trees
    assert entries == {holding.id: (holding.activity, holding.error) for holding in committed.holdings}


def check_recovery(robot: testing.Robot, case: Case) -> None:
    robot.boot()
    if case.rotates:
        robot.worker.renew(robot.shore.key_list)
    robot.take(case.order)
    settle(robot, case.unwell)
    held = {deployment for deployment, state in case.outcome.items() if state == IN_FORCE}
    report = robot.report
    assert robot.visible() == (case.finally_visible and contents(case.finally_visible))
    assert robot.leftovers() == []
    assert {name.partition(".")[0] for name in robot.trees()} == held
    assert len(robot.trees()) == len(held)
    assert report.current == (case.finally_visible.id if case.finally_visible else None)
    assert {entry.id: (entry.activity, entry.error) for entry in report.deployments} == case.outcome
    assert (report.epoch, report.generation) == (case.order.epoch, case.order.generation)
    robot.take(case.order)
    settle(robot, case.unwell)
    assert robot.report == report
    robot.store.close()


def contents(manifest: Manifest) -> dict[str, str]:
    return {instance.path: instance.content for instance in manifest.instances}


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_every_cut_is_survived(make, memory_path: Path):
    shore, case = make()
    prepare(memory_path / "0", shore, case)
    for step in range(1, 1000):
        robot = robot_on_copy(memory_path / "0", memory_path / str(step), shore, case)
        was_cut = run_until_cut(robot, case, testing.Power(step))
        check_at_the_cut(robot, case)
        check_recovery(robot, case)
        shutil.rmtree(memory_path / str(step))
        if not was_cut:
            break
    assert step > 4


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(first_apply_of_one_file),
        pytest.param(replace_of_one_file, marks=pytest.mark.slow),
        pytest.param(failed_health_of_one_file, marks=pytest.mark.slow),
    ],
    ids=lambda make: make.__name__,
)
def test_every_cut_during_the_recovery_of_every_cut_is_survived(make, memory_path: Path):
    shore, case = make()
    prepare(memory_path / "0", shore, case)
    points = 0
    for step in range(1, 1000):
        robot = robot_on_copy(memory_path / "0", memory_path / "1", shore, case)
        was_cut = run_until_cut(robot, case, testing.Power(step))
        for again in range(1, 1000):
            robot = robot_on_copy(memory_path / "1", memory_path / "2", shore, case)
            was_cut_again = run_until_cut(robot, case, testing.Power(again))
            check_recovery(robot, case)
            shutil.rmtree(memory_path / "2")
            points += was_cut_again
            if not was_cut_again:
                break
        shutil.rmtree(memory_path / "1")
        if not was_cut:
            break
    assert points > 100


class Office:
    """A cloud that enrols who comes first with a token, and nobody else: by the secret and the key in the request."""

    def __init__(self, shore: testing.Shore) -> None:
        self._shore = shore
        self._owner: tuple[str, bytes] | None = None
        self._certificate: str | None = None

    def answer(self, enrolling: store.Enrolling) -> bytes:
        csr = certificate.request(enrolling.key)
        asks = (enrolling.secret, certificates_world.key_of(csr))
        if self._owner is None:
            self._owner = asks
            self._certificate = certificates_world.signed(x509.load_pem_x509_csr(csr.encode()).public_key())
        assert asks == self._owner, "the token is burnt: another robot enrolled with it"
        answer = self._shore.answer()
        return strict_json.dumps({**answer, "mqtt": {**answer["mqtt"], "certificate": self._certificate}})


def enrolled(directory: Path, office: Office, power: testing.Power) -> identity.Identity | None:
    """Enrols once; None if the power went before that was done."""
    memory = None
    try:
        memory = store.Store(schema.connect(directory, testing.powered_database(power)))
        enrolling = memory.begin_enrolment("http://127.0.0.1", directory / "root", "token")
        answer = office.answer(enrolling)
        power.step()  # the answer is lost with the power
        memory.finish_enrolment(answer)
    except testing.PowerCut:
        return None
    else:
        return memory.identity
    finally:
        if memory is not None:
            memory.close()


def test_every_cut_while_enrolling_is_survived(memory_path: Path, shore: testing.Shore):
    """Before each SQL statement that changes something, the making of the database among them, and before the answer
    comes. The robot is enrolled or not, and can always be: its token is not burnt."""
    for step in range(1, 1000):
        state = memory_path / str(step)
        office = Office(shore)
        found = enrolled(state, office, testing.Power(step))
        again = enrolled(state, office, testing.Power())
        assert again is not None
        assert again.device == shore.device
        certificate.check(again.certificate)
        assert found in (None, again)
        shutil.rmtree(state)
        if found is not None:
            break
    assert step > 20


def as_first_made(state: Path) -> None:
    """Makes a state directory one of the first version: with the tables and columns that there were then."""
    now = sqlite3.connect(state / schema.FILE)
    old = sqlite_utils.Database(sqlite3.connect(state / "old.db"))
    schema.MIGRATIONS.apply(old, stop_before="m002_gates")
    for table in old.table_names():
        columns = ", ".join(f'"{column.name}"' for column in old[table].columns)
        rows = [] if table.startswith("_") else now.execute(f"select {columns} from {table}").fetchall()
        if rows:
            old.conn.execute(f"delete from {table}")
            marks = ", ".join("?" * len(rows[0]))
            old.conn.executemany(f"insert into {table} ({columns}) values ({marks})", rows)
            old.conn.commit()
    now.close()
    old.close()
    for path in state.glob(f"{schema.FILE}*"):
        path.unlink()
    (state / "old.db").rename(state / schema.FILE)


def test_every_cut_while_an_old_database_is_brought_up_to_date_is_survived(memory_path: Path, shore: testing.Shore):
    """And the robot goes on where it was: identity, order, holdings and report are those of before."""
    old, new = shore.manifest(OLD), shore.manifest(NEW)
    case = Case((shore.order(old),), shore.order(new), (old, new), [OLD, NEW], new, {old.id: GONE, new.id: IN_FORCE})
    prepare(memory_path / "0", shore, case)
    memory = store.Store.open(memory_path / "0" / "state")
    before = (memory.identity, memory.memory, memory.report, memory.accepted_digest)
    memory.close()
    as_first_made(memory_path / "0" / "state")
    for step in range(1, 1000):
        shutil.copytree(memory_path / "0", memory_path / str(step), symlinks=True)
        state = memory_path / str(step) / "state"
        was_cut = False
        try:
            schema.connect(state, testing.powered_database(testing.Power(step))).close()
        except testing.PowerCut:
            was_cut = True
        memory = store.Store.open(state)
        assert (memory.identity, memory.memory, memory.report, memory.accepted_digest) == before
        memory.close()
        if step % 5 == 0 or not was_cut:
            check_recovery(testing.Robot(memory_path / str(step), shore), case)
        shutil.rmtree(memory_path / str(step))
        if not was_cut:
            break
    assert step > 5


def test_every_cut_while_tidying_is_survived(memory_path: Path, shore: testing.Shore):
    """What earlier cuts left behind is deleted, however often the power goes meanwhile."""
    manifest = shore.manifest({"d/f": "1"})
    order = shore.order(manifest)
    case = Case((order,), order, (manifest,), [{"d/f": "1"}], manifest, {manifest.id: IN_FORCE})
    prepare(memory_path / "0", shore, case)
    trees = memory_path / "0/root/deployments"
    for name in (".staging-0", ".trash-0", ".trash-1", f"{manifest.id}.1"):
        shutil.copytree(trees / manifest.id, trees / name)
    (memory_path / "0/root/.current-0").symlink_to("deployments/none")
    for step in range(1, 1000):
        robot = robot_on_copy(memory_path / "0", memory_path / str(step), shore, case)
        was_cut = run_until_cut(robot, case, testing.Power(step))
        check_at_the_cut(robot, case)
        check_recovery(robot, case)
        shutil.rmtree(memory_path / str(step))
        if not was_cut:
            break
    assert step > 15
