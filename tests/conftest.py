"""What a plain ``pytest`` leaves out, and says so."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator

import pytest
from postgres_world import Server

SLOW = "takes long; give --slow to run it"
POSTGRESQL = "needs PostgreSQL, which takes long; give --slow to run it"


@pytest.fixture(scope="session")
def postgres() -> Generator[Server]:
    """A PostgreSQL of this test process."""
    server = Server()
    yield server
    server.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that take long, too")
    parser.addoption(
        "--no-skips", action="store_true", help="a test that lacks what it needs fails instead of skipping"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keeps bytecode for a run's hundreds of processes: not beside the source where the environment forbids that."""
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None) and "PYTHONPYCACHEPREFIX" not in os.environ:
        sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(config.rootpath / ".pytest_cache" / "bytecode")
        sys.dont_write_bytecode = False


def pytest_xdist_auto_num_workers() -> int:
    """Three for two cores: many tests wait for other processes."""
    return max(1, len(os.sched_getaffinity(0)) * 3 // 2)


def pytest_collection_finish() -> None:
    """Thousands of tests and their modules stay to the end: without this, every full collection walks them again."""
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and _needs_postgresql(item):
            item.add_marker(pytest.mark.postgresql)
            item.add_marker(pytest.mark.slow)
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason=POSTGRESQL if "postgresql" in item.keywords else SLOW))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if item.config.getoption("--no-skips") and report.skipped and "give --slow" not in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped, which --no-skips forbids: {call.excinfo.value if call.excinfo else ''}"
    return report


def _needs_postgresql(item: pytest.Function) -> bool:
    called = getattr(item, "callspec", None)
    return "postgres" in item.fixturenames or (called is not None and "postgresql" in called.params.values())
