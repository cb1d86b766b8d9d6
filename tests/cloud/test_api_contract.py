"""Whatever a client sends, the API answers as its OpenAPI document says. Schemathesis makes up the requests."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
import schemathesis
from cloud_world import RELEASE, World
from schemathesis import Case, CheckContext, GenerationMode, Response, engine
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events
from shallop_cloud.api import feed
from shallop_cloud.services import guesses
from shallop_cloud.testing.ashore import TOKEN


@pytest.fixture
def database_url() -> None:
    """SQLite: nothing here depends on the kind of database."""


EXAMPLES = 12
"""Requests of each kind that are made up for each operation, besides those at the bounds of what it takes."""
SYNTAX = {"request_invalid", "json_invalid", "content_type_unsupported"}
"""What the document can say is said there. Whatever else is wrong with a request has another code."""
SAYS_MORE = {"POST /v1/deployments:batch", "POST /v1/releases"}
"""Operations of whose body more holds than a schema says."""
REFUSALS = ["400", "401", "403", "404", "405", "409", "412", "413", "414", "415", "422", "431"]


class OverAtOnce(feed.Feed):
    """Tells what happened, and then nothing more."""

    @contextlib.asynccontextmanager
    async def listening(self, token: str, expires_at: datetime.datetime | None) -> AsyncGenerator[feed.Listener]:
        async with super().listening(token, expires_at) as listener:
            listener.end()
            yield listener


@schemathesis.check
def what_fits_the_schema_is_understood(ctx: CheckContext, response: Response, case: Case) -> None:
    """The document says no less than the server demands."""
    made = case.meta.generation.mode if case.meta else None
    if made == GenerationMode.POSITIVE and response.status_code in (400, 415, 422):
        code = response.json()["code"]
        assert code not in SYNTAX or case.operation.label in SAYS_MORE, response.json()["detail"]


def _config() -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "continue-on-failure": True,
            "headers": {"Authorization": f"Bearer {TOKEN}"},
            "generation": {"database": "none", "deterministic": True, "max-examples": EXAMPLES},
            "phases": {"stateful": {"enabled": False}},
            "checks": {
                # The check above is in its place: much that fits the schema cannot be done.
                "positive_data_acceptance": {"enabled": False},
                "negative_data_rejection": {"expected-statuses": REFUSALS},
            },
        }
    )


@pytest.fixture
def world(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A shore with a device and a deployment, which is patient with who gives wrong tokens."""
    monkeypatch.setattr(guesses, "MOST", 1_000_000)
    world.ashore.app.state.feed = OverAtOnce(world.ashore.shore.database)
    world.must("POST", "/v1/releases", RELEASE)
    world.device()
    world.order("max: 1\n")
    return world


def _violations(world: World) -> tuple[set[str], list[str]]:
    """Which operations were asked, and what was wrong with the answers."""
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", world.ashore.app, config=_config())
    asked: set[str] = set()
    found: list[str] = []
    for event in engine.from_schema(schema).execute():
        match event:
            case events.ScenarioFinished():
                asked.add(str(event.label))
                found += _failures(event)
            case events.NonFatalError() | events.FatalError():
                found.append(str(event))
            case _:
                pass
    return asked, found


def _failures(scenario: events.ScenarioFinished) -> list[str]:
    recorder: Any = scenario.recorder
    return [
        f"{recorder.interactions[key].request.method} {recorder.interactions[key].request.uri[:300]}: "
        f"{check.failure_info.failure}"
        for key, checks in recorder.checks.items()
        for check in checks
        if check.failure_info
    ]


def _operations(world: World) -> set[str]:
    paths = world.must("GET", "/v1/openapi.json")["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


@pytest.mark.slow
def test_every_operation_answers_as_documented(world: World) -> None:
    asked, found = _violations(world)
    assert found == []
    assert asked == _operations(world) - {"GET /v1/openapi.json"}, "the document itself is not asked for again"
