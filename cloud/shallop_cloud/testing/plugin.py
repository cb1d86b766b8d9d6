"""The pytest plugin: a fixture ``fleet`` that starts broker, cloud and robots, and ends them when the test is over.

It is there wherever shallop is installed, and loads nothing until a test asks for the fixture::

    def test_the_fleet_takes_my_configs(fleet):
        amrs = fleet(robots=20, release=Path("release.yaml"))
        amrs.deploy({"motion-control": Path("configs/motion-control.yaml")})
        amrs.fault(30, "power-cut 1s")
        amrs.await_converged(within=30)
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from shallop_cloud.testing.fleets import Fleet, StartFleet


@pytest.fixture
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[StartFleet]:
    """Starts fleets: ``fleet(robots=3, simulated=True, release=None, broker=None)`` gives a running one.

    Where its logs are is in the report of a test that fails.
    """
    try:
        from shallop_cloud.testing import fleets
    except ImportError as error:
        pytest.fail(f"a fleet needs the bench, which is not installed ({error}): pip install 'shallop-cloud[bench]'")
    numbers = itertools.count(1)
    with contextlib.ExitStack() as stack:

        def start(
            robots: int = 3, *, simulated: bool = True, release: Path | None = None, broker: str | None = None
        ) -> Fleet:
            directory = tmp_path / f"fleet-{next(numbers)}"
            request.node.add_report_section("call", "shallop", f"data and logs of a fleet: {directory}\n")
            return stack.enter_context(fleets.running(directory, robots, simulated, release, broker))

        yield start
