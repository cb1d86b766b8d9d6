"""Runs the torture from a terminal; see docs/torture.md."""

from __future__ import annotations

import argparse
import logging
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from torture import runner
from torture.checker import check
from torture.history import History
from torture.nemeses import KINDS


def main() -> int:
    """0 if nothing was found, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the storm lasts")
    parser.add_argument("--robots", type=int, default=4)
    parser.add_argument("--broker", choices=["amqtt", "mosquitto"], default="amqtt")
    parser.add_argument("--seed", type=int, help="of the storm; by default another one each time")
    parser.add_argument("--nemesis", metavar="LIST", help=f"kinds of faults, by default all of: {','.join(KINDS)}")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the history and the logs stay")
    parser.add_argument("--check", type=Path, metavar="FILE", help="run nothing: hold the rules against this history")
    given = parser.parse_args()
    if given.check:
        violations = check(History.read(given.check))
        _say(
            "\n".join(
                [*map(str, violations), f"torture: {len(violations)} violations" if violations else "torture: ok"]
            )
        )
        return int(bool(violations))
    kinds = tuple(given.nemesis.split(",")) if given.nemesis else tuple(KINDS)
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        parser.error(f"no such nemesis: {', '.join(unknown)}; there are: {', '.join(KINDS)}")
    if given.keep and given.keep.is_dir() and any(given.keep.iterdir()):
        parser.error(f"{given.keep} is not empty: name a directory that is, or that is not there yet")
    seed = random.randrange(2**32) if given.seed is None else given.seed
    settings = runner.Settings(given.seconds, given.robots, given.broker, seed, kinds, keep=given.keep)
    logging.getLogger("paho.mqtt.client").setLevel(logging.CRITICAL)  # it tells of what the nemesis did to it
    _say(f"seed        {seed}")
    _say(f"replay      {settings.replay}")
    verdict = runner.run(settings)
    _say(str(verdict))
    if verdict.violations:
        _say(f"torture: {len(verdict.violations)} violations; again with: {settings.replay}")
        return 1
    _say("torture: ok")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
