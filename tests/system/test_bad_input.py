"""Bad input, by the command line and by HTTP: what is said, with what code, and that nothing changes."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from system_world import EXAMPLE, World, example_configs


@pytest.fixture(scope="module")
def shore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A cloud with the example release, one device, and one deployment that was archived; no robot is needed."""
    world = World(tmp_path_factory.mktemp("shore"), "amqtt")
    try:
        world.start()
        world.must("release", "create", "-f", str(EXAMPLE / "release.yaml"))
        world.must("device", "create", "amr-1")
        staged = world.must("deploy", "amr-1", "--release", "1.4.0", *example_configs(), "--staged")
        world.must("deployment", "archive", staged["id"])
        yield world
    finally:
        world.stop()


@dataclasses.dataclass(frozen=True)
class Case:
    """A bad motion-control file: what the command says of it, and the API's problem."""

    content: bytes
    line: str
    exit: int
    code: str


CONFIGS = {
    "bad YAML": Case(b"limits: [1, 2\n", "bad.yaml:2:1", 7, "config_invalid"),
    "a key twice": Case(b"limits: {}\nlimits: {}\n", "bad.yaml:2:1", 7, "config_invalid"),
    "against the schema": Case(
        (EXAMPLE / "configs" / "motion-control-bad.yaml").read_bytes(),
        "bad.yaml:5:3 /limits/max_speed: 12.5 is greater than the maximum of 5",
        7,
        "config_invalid",
    ),
    "10 MB": Case(b"# " + b"x" * 10_000_000, "bytes", 7, "body_too_large"),
    "not UTF-8": Case(b"limits: \xff\n", "UTF-8", 7, ""),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_bad_config(shore: World, tmp_path: Path, name: str) -> None:
    case = CONFIGS[name]
    (tmp_path / "bad.yaml").write_bytes(case.content)
    configs = [*example_configs()[2:], "--config", "motion-control=bad.yaml"]
    with _nothing_changes(shore):
        result = shore.run("deploy", "amr-1", "--release", "1.4.0", *configs, cwd=tmp_path)
        assert (result.code, result.out) == (case.exit, ""), result
        assert case.line in result.err
        assert "Traceback" not in result.err
    if case.code:
        body = _request(("motion-control", case.content.decode()))
        _refused(shore, "/v1/deployments", body, 413 if case.code == "body_too_large" else 422, case.code)


def test_an_unknown_type_and_an_unknown_device(shore: World) -> None:
    motion = EXAMPLE / "configs" / "motion-control.yaml"
    with _nothing_changes(shore):
        result = shore.run("deploy", "amr-1", "--release", "1.4.0", "--config", f"motion-contol={motion}")
        assert result.code == 7
        assert "did you mean 'motion-control'" in result.err
        result = shore.run("deploy", "amr-2", "--release", "1.4.0", *example_configs())
        assert result.code == 5
        assert "did you mean 'amr-1'" in result.err
        result = shore.run("deploy", "amr-1", "--release", "1.4.1", *example_configs())
        assert result.code == 5
        assert "1.4.0" in result.err
    _refused(shore, "/v1/deployments", _request(("motion-contol", "")), 422, "config_type_unknown")
    _refused(shore, "/v1/deployments", _request(device="amr-2"), 404, "device_not_found")
    _refused(shore, "/v1/deployments", _request(release="9.9.9"), 404, "release_not_found")
    _refused(shore, "/v1/deployments", _request(), 422, "config_missing")


@pytest.mark.parametrize("path", ["../x.yaml", "/etc/x.yaml", "a/../../x.yaml"])
def test_a_path_that_leaves_the_root(shore: World, tmp_path: Path, path: str) -> None:
    (tmp_path / "release.yaml").write_text(
        f"version: 3.0.0\nconfig_types:\n  x:\n    schema: opaque\n    format: yaml\n    path: {path}\n"
    )
    with _nothing_changes(shore):
        result = shore.run("release", "create", "-f", "release.yaml", cwd=tmp_path)
        assert result.code == 7
        assert "release.yaml:6:5 /config_types/x/path" in result.err
    release = {"version": "3.0.0", "config_types": [{"name": "x", "schema": "opaque", "format": "yaml", "path": path}]}
    _refused(shore, "/v1/releases", release, 422, "release_invalid")


def test_a_release_made_twice(shore: World) -> None:
    with _nothing_changes(shore):
        result = shore.run("release", "create", "-f", str(EXAMPLE / "release.yaml"))
        assert result.code == 6
        assert "release 1.4.0 exists already" in result.err


def test_a_schema_that_refers_to_nowhere(shore: World, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "example")
    (tmp_path / "example" / "schemas" / "geometry.schema.json").unlink()
    with _nothing_changes(shore):
        result = shore.run("release", "create", "-f", "release.yaml", cwd=tmp_path / "example")
        assert result.code == 7
        assert "geometry.schema.json" in result.err
        assert "schemas/site.schema.json" in result.err
        assert "/$ref" in result.err
    documents = {"site.schema.json": '{"$ref": "nowhere.json"}'}
    schema = {"entry": "site.schema.json", "documents": documents}
    release = {"version": "4.0.0", "config_types": [{"name": "x", "schema": schema, "format": "json", "path": "x"}]}
    problem = _refused(shore, "/v1/releases", release, 422, "release_invalid")
    assert (problem["errors"][0]["source"], problem["errors"][0]["pointer"]) == ("site.schema.json", "/$ref")


def test_an_archived_deployment_deployed_again(shore: World) -> None:
    archived = shore.must("deployment", "list", "--device", "amr-1")["data"][0]["id"]
    with _nothing_changes(shore):
        result = shore.run("deployment", "deploy", archived)
        assert result.code == 6
        assert f"{archived} is archived" in result.err
    _refused(shore, f"/v1/deployments/{archived}:deploy", {}, 409, "deployment_archived")


def test_without_a_token_and_without_a_server(shore: World) -> None:
    result = shore.run("--token", "wrong", "device", "list")
    assert (result.code, "no such token" in result.err) == (4, True)
    result = shore.run("--url", "http://127.0.0.1:9", "device", "list")
    assert (result.code, "http://127.0.0.1:9" in result.err) == (1, True)


def _request(*configs: tuple[str, str], device: str = "amr-1", release: str = "1.4.0") -> dict[str, Any]:
    given = [{"config_type": key, "content": content} for key, content in configs]
    return {"device": device, "release": release, "configs": given}


def _refused(shore: World, path: str, body: object, status: int, code: str) -> dict[str, Any]:
    with _nothing_changes(shore):
        answer = shore.api("POST", path, json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
        problem = answer.json()
        assert problem["code"] == code
        return problem


@contextlib.contextmanager
def _nothing_changes(shore: World) -> Iterator[None]:
    """What the API lists is the same afterwards."""
    before = _everything(shore)
    yield
    assert _everything(shore) == before


def _everything(shore: World) -> list[Any]:
    lists = ("/v1/releases", "/v1/devices", "/v1/deployments", "/v1/devices/amr-1/history")
    return [shore.api("GET", path).json() for path in lists]
