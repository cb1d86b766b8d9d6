"""The worlds that are searched. The operator orders their deployments in any order, and may withdraw any of them."""

from __future__ import annotations

from model_world import moves
from model_world.orders import Fate
from model_world.search import Small

GOOD, FAILS_CHECK, FAILS_HEALTH, ON_TRIAL = Fate.GOOD, Fate.FAILS_CHECK, Fate.FAILS_HEALTH, Fate.ON_TRIAL
RESTORE = ("back up",)
NO_RESTORE = tuple(kind for kind in moves.FAULTS if kind not in RESTORE)

BRIEF = (
    Small("good", (GOOD,), faults=1, kinds=NO_RESTORE),
    Small("fails-check", (FAILS_CHECK,), faults=1, kinds=NO_RESTORE),
    Small("fails-health", (FAILS_HEALTH,), faults=1, kinds=NO_RESTORE),
    Small("on-trial", (ON_TRIAL,), faults=1, kinds=NO_RESTORE),
    Small("restored", (GOOD,), faults=1, kinds=RESTORE, archives=False),
    Small("overtaking", (GOOD,), faults=1, kinds=("repeat",), room=2),
    Small("two", (GOOD, FAILS_HEALTH), faults=0, archives=False),
    Small("again", (GOOD,), faults=0, again=(GOOD,)),
    Small("retired", (GOOD,), faults=1, kinds=("power cut",), retires=True),
)
"""Small enough for every run of the tests."""

LONG = (
    Small("fails-check-twice", (FAILS_CHECK,), faults=2, kinds=NO_RESTORE),
    Small("fails-health-twice", (FAILS_HEALTH,), faults=2, kinds=NO_RESTORE),
    Small("withdrawn-restored", (GOOD,), faults=1, kinds=RESTORE),
    Small("fails-health-restored", (FAILS_HEALTH,), faults=1),
    Small("two-on-trial", (GOOD, ON_TRIAL), faults=1, kinds=("power cut", "damage"), archives=False),
    Small("trial-after-trial", (ON_TRIAL, ON_TRIAL), faults=0),
    Small("again-restored", (GOOD,), faults=1, kinds=RESTORE, archives=False, again=(GOOD,)),
    Small("two-retired", (GOOD, FAILS_HEALTH), faults=1, kinds=("power cut",), archives=False, retires=True),
)
"""Those that take up to a minute, for the long run of the tests."""

LONGEST = (
    Small("good-twice", (GOOD,), faults=2),
    Small("overtaking-once", (GOOD,), faults=1, room=2),
    Small("two-good", (GOOD, GOOD), faults=1, kinds=NO_RESTORE),
    Small("two-fails-check", (GOOD, FAILS_CHECK), faults=1, kinds=NO_RESTORE),
    Small("two-fails-health", (GOOD, FAILS_HEALTH), faults=1, kinds=NO_RESTORE),
    Small("two-twice", (GOOD, FAILS_HEALTH), faults=2, kinds=NO_RESTORE, archives=False),
    Small("two-restored", (GOOD, FAILS_HEALTH), faults=1, kinds=RESTORE, archives=False),
)
"""Those that take longer, for ``make model-check``."""

ALL = {world.name: world for world in (*BRIEF, *LONG, *LONGEST)}
