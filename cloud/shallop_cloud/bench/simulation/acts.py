"""What comes from outside, drawn before the run: what operators do, and what goes wrong.

Each act is whole in itself, so that a run can be repeated without some of them.
"""

from __future__ import annotations

import dataclasses
import enum
import random
from collections.abc import Collection, Sequence

from shallop_cloud.bench.simulation.cargo import RELEASES, Fate


class Fault(enum.StrEnum):
    """What can go wrong."""

    POWER = "power"
    KILL = "kill"
    DISK_FULL = "disk-full"
    IO_ERRORS = "io-errors"
    ROT = "rot"
    LOSE_DATABASE = "lose-database"
    CLOCK = "clock"
    OFFLINE = "offline"
    BAD_LINES = "bad-lines"
    POISON = "poison"
    HOSTILE = "hostile"
    BROKER_RESTART = "broker-restart"
    BROKER_WIPE = "broker-wipe"
    CLOUD_KILL = "cloud-kill"
    CLOUD_OFFLINE = "cloud-offline"
    CLOUD_RESTORE = "cloud-restore"
    OLD_COPY = "old-copy"


MEANINGS: dict[Fault, str] = {
    Fault.POWER: "a robot loses its power before the n-th step on its disk or database, and perhaps again as it starts",
    Fault.KILL: "a robot's agent dies before such a step",
    Fault.DISK_FULL: "nothing can be written on a robot's disk for a while",
    Fault.IO_ERRORS: "steps on a robot's disk fail with EIO for a while",
    Fault.ROT: "a file holds other bytes than were written, from the start or later",
    Fault.LOSE_DATABASE: "a robot's state database is gone, and perhaps its disk too",
    Fault.CLOCK: "a robot's wall clock is decades off",
    Fault.OFFLINE: "nothing passes between a robot and the broker for a while; both, or neither, know at once",
    Fault.BAD_LINES: "the broker delivers twice, late, in another order, or forgets what it acknowledged",
    Fault.POISON: "bytes that are no message, or no order for this robot, come from the broker",
    Fault.HOSTILE: "the broker gives old orders and key lists, nothing, echoes alone, or orders by keys that leaked",
    Fault.BROKER_RESTART: "the broker restarts; of the retained messages some are older, or gone",
    Fault.BROKER_WIPE: "the broker forgets every retained message",
    Fault.CLOUD_KILL: "the cloud dies before its n-th commit or message, and comes back",
    Fault.CLOUD_OFFLINE: "nothing passes between the cloud and the broker for a while",
    Fault.CLOUD_RESTORE: "the cloud's database is replaced by an earlier copy",
    Fault.OLD_COPY: "a robot's state database is replaced by an earlier copy: a known flaw, not among 'all'",
}

ALL = frozenset(Fault) - {Fault.OLD_COPY}


class Order(enum.StrEnum):
    """What an operator does."""

    ORDER = "order"
    STAGE = "stage"
    DEPLOY = "deploy"
    ARCHIVE = "archive"
    RESTAGE = "restage"
    MERGE = "merge"
    PATCH = "patch"
    ROLL_BACK = "roll-back"
    DEPLOY_ALL = "deploy-all"
    ARCHIVE_ALL = "archive-all"
    RETIRE = "retire"
    ROTATE = "rotate"
    REVOKE = "revoke"
    EPOCH = "epoch"


class Deed(enum.StrEnum):
    """What robot software does by itself."""

    HOLD = "hold"


@dataclasses.dataclass(frozen=True, slots=True)
class Act:
    """One thing that comes from outside.

    Attributes:
        at: the moment, in seconds.
        robot: which; 0 where it is none's.
        seconds: how long it lasts; of an operator, how long passes between looking and acting, or until a device
            that was archived is taken back, 0 for never; of a hold, when it ends by itself.
        steps: how many steps are done before it strikes; ``again`` likewise, after the start that follows, or -1.
        pick: which of those that there are, for what is chosen when it happens.
        confirm_s: the deployment's own term, 0 for none; ``by_reference`` whether its files travel so.
    """

    at: float
    what: Order | Fault | Deed
    robot: int = 0
    seconds: float = 0.0
    steps: int = 0
    again: int = -1
    pick: int = 0
    fate: Fate = Fate.GOOD
    release: str = RELEASES[0]
    confirm_s: int = 0
    by_reference: bool = False

    def __str__(self) -> str:
        words = [f"{self.what.value:<14}"]
        words += [f"robot {self.robot}"] if self.robot else []
        if isinstance(self.what, Order):
            words += [f"({self.fate.value}, {self.release})"] if self.what in (Order.ORDER, Order.STAGE) else []
            words += [f"within {self.confirm_s} s"] if self.confirm_s else []
            words += ["by reference"] if self.by_reference else []
            words += [f"({self.release})"] if self.what in (Order.DEPLOY_ALL, Order.ARCHIVE_ALL) else []
            words += [f"after {self.seconds:.1f} s"] if self.seconds else []
            return " ".join(words)
        words += [f"after {self.steps} steps"] if self.what in _STRIKES else []
        words += [f"and again after {self.again}"] if self.again >= 0 else []
        words += [f"for {self.seconds:.1f} s"] if self.seconds else []
        return " ".join([*words, f"#{self.pick}"])


_STRIKES = frozenset({Fault.POWER, Fault.KILL, Fault.CLOUD_KILL})
_EVERYBODYS = frozenset({Fault.BROKER_RESTART, Fault.BROKER_WIPE, Fault.CLOUD_KILL, Fault.CLOUD_OFFLINE,
                         Fault.CLOUD_RESTORE, Fault.BAD_LINES})  # fmt: skip
_MEAN_S: dict[Fault, float] = {
    Fault.POWER: 20.0,
    Fault.KILL: 5.0,
    Fault.DISK_FULL: 400.0,
    Fault.IO_ERRORS: 200.0,
    Fault.LOSE_DATABASE: 20.0,
    Fault.OFFLINE: 300.0,
    Fault.HOSTILE: 300.0,
    Fault.BAD_LINES: 300.0,
    Fault.BROKER_RESTART: 30.0,
    Fault.CLOUD_KILL: 60.0,
    Fault.CLOUD_OFFLINE: 200.0,
    Fault.CLOUD_RESTORE: 30.0,
    Fault.OLD_COPY: 20.0,
}
_WEIGHTS = {Fault.POWER: 4, Fault.KILL: 2, Fault.OFFLINE: 2, Fault.CLOUD_KILL: 2}
_MOST_STEPS = 32
"""To bring one deployment on and take another off takes about so many."""
_ORDERS: dict[Order, int] = {
    Order.ORDER: 24,
    Order.STAGE: 16,
    Order.DEPLOY: 10,
    Order.ARCHIVE: 6,
    Order.RESTAGE: 10,
    Order.MERGE: 6,
    Order.PATCH: 4,
    Order.ROLL_BACK: 6,
    Order.DEPLOY_ALL: 2,
    Order.ARCHIVE_ALL: 2,
    Order.RETIRE: 2,
    Order.ROTATE: 1,
    Order.REVOKE: 1,
    Order.EPOCH: 1,
}
_OF_ALL = frozenset({Order.DEPLOY_ALL, Order.ARCHIVE_ALL, Order.ROTATE, Order.REVOKE, Order.EPOCH})
_THINKS_S = (0.0, 5.0, 300.0)
"""How long an operator looks at something before acting, on average."""
_RETIRED_S = (0.0, 60.0, 600.0)
_OVERTAKEN = frozenset({Order.RESTAGE, Order.MERGE})
"""Half of these are overtaken by a new order of somebody else."""
_PATIENT = {Order.DEPLOY: _THINKS_S, Order.RESTAGE: _THINKS_S, Order.MERGE: _THINKS_S, Order.RETIRE: _RETIRED_S}
_FATES = (Fate.GOOD,) * 7 + (Fate.BAD_PATH, Fate.BAD_CONTENT, Fate.BAD_MODE)
_GATED_FATES = (Fate.GOOD, Fate.BAD_CHECK, Fate.BAD_APPLIED, Fate.BAD_HEALTH, Fate.VETOED, Fate.CUTS_OFF, Fate.CRASHES)
_TERMS_S = (20, 60)
_HOLDS_PER_HOUR = 1.0
_HELD_S = (5.0, 60.0, 300.0)
_LONGEST_HOLD_S = 900.0
_ORDERS_PER_HOUR = 6.0
_FAULTS_PER_HOUR = 8.0
_BURSTS_PER_HOUR = 1.0
_BURST_S = 20.0


def draw(rng: random.Random, robots: int, seconds: float, faults: Collection[Fault]) -> list[Act]:
    """What happens in one run, by moment. Each run knows some of the faults only, so that some go far with few.

    Most acts come in bursts, and half of the faults beside an order for the same robot: what breaks things is what
    happens while another thing is under way.
    """
    few = rng.choice((0.15, 0.3, 0.6))
    known = [fault for fault in Fault if fault in faults and rng.random() < few]
    share = robots * seconds / 3600.0
    bursts = [rng.uniform(0.0, seconds) for _ in range(max(1, round(share * _BURSTS_PER_HOUR)))]
    count = max(2, round(share * _ORDERS_PER_HOUR))
    acts = [_order(rng, _moment(rng, bursts, seconds), rng.randint(1, robots), seconds) for _ in range(count)]
    acts += [
        dataclasses.replace(act, at=rng.uniform(act.at, act.at + act.seconds), what=Order.ORDER, seconds=0.0)
        for act in acts
        if act.what in _OVERTAKEN and rng.random() < 0.5
    ]
    if known:
        orders = tuple(acts)
        for _ in range(max(1, round(share * _FAULTS_PER_HOUR))):
            if rng.random() < 0.5:
                beside = rng.choice(orders)
                apart = rng.choice((-1.0, 1.0)) * rng.expovariate(1.0 / rng.choice((0.05, 1.0, 30.0)))
                acts.append(
                    _fault(
                        rng, min(max(0.0, beside.at + apart), seconds), beside.robot or rng.randint(1, robots), known
                    )
                )
            else:
                acts.append(_fault(rng, _moment(rng, bursts, seconds), rng.randint(1, robots), known))
    acts = [_gated(rng, act) for act in acts]
    acts += [_after_the_cloud(rng, act, robots, seconds) for act in acts if act.what is Fault.CLOUD_KILL]
    acts += [_hold(rng, acts, robots, seconds) for _ in range(round(share * _HOLDS_PER_HOUR))]
    return sorted(acts, key=lambda act: act.at)


def _gated(rng: random.Random, act: Act) -> Act:
    """Some orders meet the gates of a robot, or have a term, or come without all their contents."""
    if act.what not in (Order.ORDER, Order.STAGE) or act.fate is not Fate.GOOD or rng.random() < 0.5:
        return act
    return dataclasses.replace(
        act,
        fate=rng.choice(_GATED_FATES),
        confirm_s=rng.choice(_TERMS_S) if rng.random() < 0.3 else 0,
        by_reference=rng.random() < 0.3,
    )


def _after_the_cloud(rng: random.Random, died: Act, robots: int, seconds: float) -> Act:
    """Somebody acts when the cloud is just back, and may not have its connection yet."""
    at = min(seconds, died.at + died.seconds + rng.expovariate(1.0 / 5.0))
    what = rng.choice((Order.ORDER, Order.ARCHIVE))
    return Act(at, what, robot=rng.randint(1, robots), pick=rng.randrange(100), release=rng.choice(RELEASES))


def _hold(rng: random.Random, acts: Sequence[Act], robots: int, seconds: float) -> Act:
    """Software holds, mostly around the time of an order for its robot."""
    beside = rng.choice([act for act in acts if isinstance(act.what, Order)])
    at = min(max(0.0, beside.at + rng.choice((-1.0, 1.0)) * rng.expovariate(1.0 / rng.choice(_HELD_S))), seconds)
    robot = beside.robot or rng.randint(1, robots)
    lasts = min(_LONGEST_HOLD_S, 1.0 + rng.expovariate(1.0 / rng.choice(_HELD_S)))
    return Act(at, Deed.HOLD, robot=robot, seconds=lasts, pick=rng.randrange(100))


def _moment(rng: random.Random, bursts: Sequence[float], seconds: float) -> float:
    if rng.random() < 0.25:
        return rng.uniform(0.0, seconds)
    scale = rng.choice((0.2, 3.0, _BURST_S, 15.0 * _BURST_S))
    return min(rng.choice(bursts) + rng.expovariate(1.0 / scale), seconds)


def _order(rng: random.Random, at: float, robot: int, until: float) -> Act:
    what = rng.choices(list(_ORDERS), list(_ORDERS.values()))[0]
    mean = rng.choice(_PATIENT.get(what, (0.0,)))
    return Act(
        at,
        what,
        robot=0 if what in _OF_ALL else robot,
        seconds=min(until - at, rng.expovariate(1.0 / mean)) if mean else 0.0,
        pick=rng.randrange(100),
        fate=rng.choice(_FATES),
        release=rng.choice(RELEASES),
    )


def _fault(rng: random.Random, at: float, robot: int, known: Sequence[Fault]) -> Act:
    fault = rng.choices(known, [_WEIGHTS.get(fault, 1) for fault in known])[0]
    mean = _MEAN_S.get(fault, 0.0)
    return Act(
        at,
        fault,
        robot=0 if fault in _EVERYBODYS else robot,
        seconds=min(mean * 8.0, rng.expovariate(1.0 / mean)) if mean else 0.0,
        steps=rng.randrange(_MOST_STEPS) if fault in _STRIKES else 0,
        again=rng.randrange(20) if fault in (Fault.POWER, Fault.KILL) and rng.random() < 0.4 else -1,
        pick=rng.randrange(100),
    )
