"""One leg: a robot on file systems of one kind, and one power cut after another. The disk is never made anew.

Every other cut is before one given change of one given story, until each has had its turn twice: all that was not
synced is lost, or the kernel happened to write it just before. The rest fall at random: before some change or at some
moment, in a story, in the recovery from the cut before, or at rest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from power import kernel, life, robot, rules, stories
from power.cloud import Cloud, spoiled
from power.life import PowerGone
from power.violation import Violation
from power.volume import Volume
from shallop_device import applier, worker
from shallop_protocol import strict_json

CHECKED_EVERY = 100
"""So many cuts lie between two looks of e2fsck."""
MOST_STORIES = 30
"""In one life, in which the power goes after at most ``FARTHEST`` changes."""
FARTHEST = 300
SPARE = 3
"""Changes by which a story may be longer than it was when it was rehearsed: SQLite clears its log now and then."""
_TIMED_S = 0.06

Kind = type[life.Stepped] | type[life.Timed]


@dataclasses.dataclass(frozen=True, slots=True)
class Leg:
    """File systems of one kind.

    Attributes:
        options: of mount(8).
        apart: database and configuration are on a file system each; else on one, where a sync for the one helps the
            other.
        gated: the robot has hooks, and each deployment its trial.
    """

    options: str
    apart: bool
    gated: bool

    @property
    def name(self) -> str:
        """How it is called on the command line."""
        return f"{self.options}/{'two' if self.apart else 'one'}{'/gates' if self.gated else ''}"


_ALL = (
    Leg("noauto_da_alloc", apart=False, gated=False),
    Leg("data=writeback", apart=False, gated=True),
    Leg("commit=300", apart=False, gated=False),
    Leg("noauto_da_alloc", apart=True, gated=True),
    Leg("data=writeback", apart=True, gated=False),
    Leg("commit=300", apart=True, gated=True),
)
LEGS = {leg.name: leg for leg in _ALL}


@dataclasses.dataclass(slots=True)
class Log:
    """What came of a leg.

    Attributes:
        boundaries: stories and changes before which the power went, with and without what was not synced;
            ``of_boundaries`` is how many there are.
        most_blocks: blocks of 4096 bytes that a file system had in use at rest, at most.
    """

    cuts: int = 0
    acknowledged: int = 0
    boundaries: int = 0
    of_boundaries: int = 0
    most_blocks: int = 0
    violation: str | None = None


class Voyage:
    """A leg under way.

    Args:
        directory: for the images and where they are mounted.
        seed: of the orders and of the moments; those of the clock are never the same again.
        told: the names of the stories that are told; by default all.
    """

    def __init__(self, directory: Path, leg: Leg, seed: int, told: Sequence[str] = ()) -> None:
        self._seed = f"{seed} {leg.name}"
        self._rng = random.Random(self._seed)
        self._ashore = Cloud(random.Random(self._rng.random()))
        self._volumes = [Volume(directory, "config", leg.options)]
        if leg.apart:
            self._volumes.append(Volume(directory, "state", leg.options))
        root = self._volumes[0].point / "root"
        state = self._volumes[-1].point / "state"
        all_stories = stories.GATED if leg.gated else stories.FREE
        self._stories = [story for story in all_stories if not told or story.__name__ in told]
        rules_of_it = robot.RULES if leg.gated else worker.NO_RULES
        self._berth = robot.Berth(state, root, strict_json.dumps(self._ashore.shore.answer()), rules_of_it)
        self._life: life.Stepped | life.Timed | None = None
        self._where = ""
        self._changes = 0
        self._is_written = False
        self._own_blocks = 0
        self.log = Log()

    def run(self, cuts: int) -> Log:
        """Cuts the power so often, or until something is violated."""
        try:
            with self._power():
                self._own_blocks = self._volumes[0].blocks_used - rules.blocks_of_files(self._volumes[0].point)
                self._boot()
                boundaries = [at for story in self._stories for at in self._rehearse(story)]
            self._rng.shuffle(boundaries)
            written = [self._rng.random() < 0.5 for _ in boundaries]
            turns = [(*at, is_written) for at, is_written in zip(boundaries, written, strict=True)]
            turns += [(*at, not is_written) for at, is_written in zip(boundaries, written, strict=True)]
            turns.reverse()
            self.log.of_boundaries = len(turns)
            for number in range(cuts):
                # Anew for each, so that one moment of the clock does not change all that follow.
                self._rng.seed(f"{self._seed} {number}")
                if turns and number % 2 == 0:
                    self._cut_at(*turns.pop())
                    self.log.boundaries += 1
                elif self._rng.random() < 0.5:
                    self._cut_within(self._rng.randint(1, FARTHEST), life.Stepped)
                else:
                    self._cut_within(self._rng.uniform(0.0, _TIMED_S), life.Timed)
                self.log.cuts += 1
                self.log.acknowledged = self._ashore.acknowledged
                if self.log.cuts % CHECKED_EVERY == 0:
                    self._check_file_systems()
            with self._power():
                self._recover(life.Stepped)
        except Violation as violation:
            self.log.violation = f"after cut {self.log.cuts}, {self._where}: {violation}"
        finally:
            for volume in self._volumes:
                volume.close()
        return self.log

    @contextlib.contextmanager
    def _power(self) -> Iterator[None]:
        """Power from here to the end of the block, or until it goes."""
        for volume in self._volumes:
            volume.mount()
        try:
            yield
        except PowerGone as gone:
            self._where += f", {gone.where}"
            self._hear()
        finally:
            if self._life is not None:
                self._life.stop()
            self._life = None
            for volume in self._volumes:
                volume.unmount()

    def _rehearse(self, story: stories.Story) -> Iterator[tuple[stories.Story, int]]:
        """The places of a story at which the power can go."""
        self._prepare(story)
        self._alive().arm(0)
        self._changes = 0
        self._tell(story)
        for change in range(1, self._changes + self._alive().changes + SPARE + 1):
            yield story, change

    def _cut_at(self, story: stories.Story, change: int, is_written: bool) -> None:
        """The power goes before a given change of a story.

        Args:
            is_written: all that was changed before has reached the disk, by whim of the kernel; else only what was
                synced.
        """
        self._where = f"in {story.__name__}{', all else written' if is_written else ''}"
        self._is_written = is_written
        with self._power():
            self._recover(life.Stepped)
            self._prepare(story)
            self._alive().arm(change)
            self._alive().write_back_at(change if is_written else 0, self._write_back)
            self._tell(story)
            raise self._alive().cut("at rest")

    def _cut_within(self, moment: float, kind: Kind) -> None:
        """The power goes at some moment from the start on, whatever the robot does then."""
        self._where = "in the recovery"
        self._is_written = False
        with self._power():
            self._recover(kind, moment)
            for _ in range(MOST_STORIES):
                story = self._rng.choice(self._stories)
                self._where = f"in {story.__name__}"
                self._prepare(story)
                self._tell(story)
            raise self._alive().cut("at rest")

    def _recover(self, kind: Kind, moment: float = 0) -> None:
        """After a cut: what a reader finds, what the robot makes of it alone, and then with its newest order again."""
        rules.at_the_cut(self._berth.root, self._ashore)
        self._boot(kind, moment, self._rng.randint(0, FARTHEST) if moment else 0)
        if self._ashore.sealed:
            self._order(self._ashore.sealed[-1])
            self._check_goal()

    def _boot(self, kind: Kind = life.Stepped, moment: float = 0, written_back_at: int = 0) -> None:
        """Starts the robot, with the power to go at a moment, and lets it do what it does by itself.

        Args:
            moment: as ``life.Life.arm`` has it; 0 for none.
            written_back_at: the change at which the kernel writes back what waits, if the power goes later than that.
        """
        # The database first: where the two are not cut off at one instant, the robot may go on with what it decided,
        # and decides nothing more, as if both had gone a moment later. The other way round it would take a disk that is
        # gone for a damaged one, and remember that.
        self._life = kind(self._berth, [volume.cut for volume in reversed(self._volumes)])
        self._life.arm(moment)
        self._life.write_back_at(written_back_at, self._write_back)
        self._rest()

    def _alive(self) -> life.Stepped | life.Timed:
        assert self._life is not None
        return self._life

    def _prepare(self, story: stories.Story) -> None:
        """Brings the robot to where a story begins."""
        expected = self._ashore.after(len(self._ashore.orders))
        if story is stories.first:
            if expected.current is not None:
                self._order(self._ashore.order(None))
        elif expected.current is None:
            self._order(self._ashore.order(self._ashore.make()))
        elif not self._ashore.is_alone(expected.current):
            self._order(self._ashore.order(self._ashore.manifests[expected.current]))
        self._check_goal()

    def _tell(self, story: stories.Story) -> None:
        """Tells a story to its end, with a look at the robot after each of its orders."""
        for event in story(self._ashore):
            if isinstance(event, bytes):
                self._order(event)
                self._check_goal()
                continue
            before = self._alive()
            before.stop()
            if isinstance(event, stories.Damage):
                self._damage(event.deployment)
            else:
                self._wipe()
            self._write_back()
            self._boot(type(before), before.left, int(before.left) if self._is_written else 0)
            self._changes += before.changes

    def _order(self, data: bytes) -> None:
        self._alive().order(data)
        self._rest()

    def _rest(self) -> None:
        """Lets the robot come to rest, and looks whether it is where the order that it has accepted leads."""
        self._alive().rest()
        report = self._hear()
        self._ashore.damaged = {}
        if report is not None:
            expected = self._ashore.after(report.generation)
            rules.at_rest(self._berth.root, self._berth.state, report, expected, self._ashore)
            for volume in self._volumes:
                rules.space(volume.point, volume.blocks_used, self._own_blocks)
                self.log.most_blocks = max(self.log.most_blocks, volume.blocks_used)

    def _check_goal(self) -> None:
        heard = self._ashore.heard
        if heard is None or heard.generation != len(self._ashore.orders):
            raise Violation("L1", f"order {len(self._ashore.orders)} was heard, and the robot says {heard}")

    def _hear(self) -> rules.Report | None:
        told = self._alive().told
        rules.opened(told, self._ashore)
        self._ashore.hear(told.reports)
        told.opened, told.reports = None, []
        return self._ashore.heard

    def _damage(self, deployment: str) -> None:
        instance = self._ashore.damage(deployment)
        (self._berth.root / applier.CURRENT / instance.path).write_bytes(spoiled(instance))

    def _wipe(self) -> None:
        for directory in (self._berth.root, self._berth.state):
            shutil.rmtree(directory)
        self._ashore.forget()

    def _write_back(self) -> None:
        for volume in self._volumes:
            kernel.write_back(volume.point)

    def _check_file_systems(self) -> None:
        """What e2fsck finds, after the journal was played back."""
        with self._power():
            pass
        for volume in self._volumes:
            if faults := volume.faults():
                raise Violation("S22", f"the file system itself is damaged: {faults}")
