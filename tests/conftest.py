"""What a plain ``pytest`` leaves out, and says so."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from postgres_world import Server

SLOW = "takes long; give --slow to run it"


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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason=SLOW))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if item.config.getoption("--no-skips") and report.skipped and SLOW not in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped, which --no-skips forbids: {call.excinfo.value if call.excinfo else ''}"
    return report
