"""``examples/ros2-params``: parameter files are read as ROS 2 reads them, and reach the nodes they are for."""

from __future__ import annotations

import importlib
import sys
import threading
import types
from collections.abc import Generator
from pathlib import Path
from typing import Any

import door_world
import pytest
from door_world import eventually

HERE = Path(__file__).parents[2] / "examples" / "ros2-params"
ROBOTS = Path(__file__).parents[2].parent / "shared" / "robots"
NAMES = ("ros2_params", "apply_params", "follow_current", "shallop_params_node")


class FakeNode:
    """A running node with parameters, behind the services that each ROS 2 node has."""

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters
        self.read_only: set[str] = set()
        self.calls: list[str] = []

    def list_parameters(self, _request: Any) -> Any:
        return types.SimpleNamespace(result=types.SimpleNamespace(names=list(self.parameters)))

    def get_parameters(self, request: Any) -> Any:
        return types.SimpleNamespace(values=[self.parameters[name] for name in request.names])

    def set_parameters_atomically(self, request: Any) -> Any:
        self.calls.append(",".join(each.name for each in request.parameters))
        for each in request.parameters:
            if each.name in self.read_only:
                return self._result(f"parameter '{each.name}' cannot be set because it is read-only")
            if each.name not in self.parameters:
                return self._result(f"parameter '{each.name}' was not declared")
            if self.parameters[each.name].type != each.value.type:
                return self._result(f"wrong parameter type for '{each.name}'")
        self.parameters.update({each.name: each.value for each in request.parameters})
        return self._result(None)

    def _result(self, reason: str | None) -> Any:
        return types.SimpleNamespace(result=types.SimpleNamespace(successful=reason is None, reason=reason or ""))


class FakeGraph:
    """A fake rclpy's Node: the graph around it, and its clients."""

    def __init__(self, **nodes: FakeNode) -> None:
        self.nodes = {name.replace("__", "/"): node for name, node in nodes.items()}
        self.said: list[str] = []

    def get_fully_qualified_name(self) -> str:
        return "/shallop_params"

    def get_node_names_and_namespaces(self) -> list[tuple[str, str]]:
        full = [*self.nodes, "/shallop_params"]
        return [(name.rpartition("/")[2], name.rpartition("/")[0] or "/") for name in full]

    def create_client(self, _kind: Any, service: str) -> Any:
        name, _, method = service.rpartition("/")
        node = self.nodes[name]

        def call_async(request: Any) -> Any:
            answer = getattr(node, method)(request)
            return types.SimpleNamespace(add_done_callback=lambda done: done(None), result=lambda: answer)

        return types.SimpleNamespace(wait_for_service=lambda timeout_sec: True, call_async=call_async)

    def destroy_client(self, _client: Any) -> None:
        pass


def message(*fields: str) -> type:
    def make(self: Any, **values: Any) -> None:
        assert values.keys() <= set(fields)
        vars(self).update(values)

    return type("Message", (), {"__init__": make})


def fake_ros() -> dict[str, types.ModuleType]:
    made = {name: types.ModuleType(name) for name in
            ("rclpy", "rclpy.node", "rcl_interfaces", "rcl_interfaces.msg", "rcl_interfaces.srv")}  # fmt: skip
    kinds = {"BOOL": 1, "INTEGER": 2, "DOUBLE": 3, "STRING": 4}
    arrays = {f"{name}_ARRAY": number + 5 for name, number in kinds.items()}
    fields = [f"{name.lower()}_value" for name in {**kinds, **arrays}]
    msg, srv = made["rcl_interfaces.msg"], made["rcl_interfaces.srv"]
    msg.ParameterType = type("ParameterType", (), {f"PARAMETER_{name}": at for name, at in {**kinds, **arrays}.items()})
    msg.Parameter, msg.ParameterValue = message("name", "value"), message("type", *fields)
    for name, field in {
        "GetParameters": "names",
        "ListParameters": "",
        "SetParametersAtomically": "parameters",
    }.items():
        setattr(srv, name, type(name, (), {"Request": message(field)}))
    made["rclpy.node"].Node = FakeGraph
    return made


@pytest.fixture(scope="module")
def example() -> Generator[types.SimpleNamespace]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        for name, module in fake_ros().items():
            patch.setitem(sys.modules, name, module)
        yield types.SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
        for name in NAMES:
            sys.modules.pop(name, None)


def value(kind: int, kept: Any) -> Any:
    field = {1: "bool", 2: "integer", 3: "double", 4: "string"}[kind % 5] + ("_array" if kind > 5 else "") + "_value"
    return types.SimpleNamespace(type=kind, **{field: kept})


@pytest.mark.parametrize(
    ("written", "kind", "read"),
    [
        ("true", 1, True), ("on", 1, True), ("n", 1, False), ('"on"', 4, "on"),
        ("1", 2, 1), ("-1", 2, -1), ("010", 2, 8), ("0x1F", 2, 31), ("09", 3, 9.0),
        ("1.", 3, 1.0), ("1e3", 3, 1000.0), (".5", 3, 0.5), ("-.inf", 3, float("-inf")), (".nan", 3, float("nan")),
        ("null", 4, "null"), ("~", 4, "~"), ("2026-01-01", 4, "2026-01-01"), ("1:30", 4, "1:30"), ("1_000", 4, "1_000"),
        ('""', 4, ""), ("map", 4, "map"),
        ("[1, 2]", 7, [1, 2]), ("[1.0, 2.0]", 8, [1.0, 2.0]), ("[a, 'b']", 9, ["a", "b"]), ("[true]", 6, [True]),
    ],
)  # fmt: skip
def test_types_are_those_of_ros(example, written, kind, read):
    [(node, parameters)] = example.ros2_params.read(f"n:\n  ros__parameters:\n    y: {written}\n")
    assert (node, parameters) == ("/n", {"y": example.ros2_params.Parameter(kind, read)})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n:\n  ros__parameters:\n    p: [1, 2.0]\n", "/n p: an array has values, all of one type"),
        ("n:\n  ros__parameters:\n    p: []\n", "an array has values"),
        ("n:\n  ros__parameters:\n    p:\n", "line 3: there is no value"),
        ("n:\n  ros__parameters:\n    p: 9223372036854775808\n", "line 3: 9223372036854775808 does not fit"),
        ("n: &a\n  ros__parameters:\n    p: 1\nm: *a\n", "line 4: ROS 2 takes no aliases"),
        ("n: 1\n", "/n: expected ros__parameters"),
        ("n:\n  ros__parameters: 1\n", "/n: ros__parameters are names and values"),
        ("- 1\n", "names of nodes on top"),
        ("a: [\n", "not YAML"),
    ],
)
def test_what_ros_would_not_load(example, text, words):
    with pytest.raises(ValueError, match=words):
        example.ros2_params.read(text)


@pytest.mark.parametrize(
    ("pattern", "names", "others"),
    [
        ("/**", ["/a", "/a/b/c"], []),
        ("/*", ["/a"], ["/a/b"]),
        ("/**/costmap", ["/costmap", "/local/costmap"], ["/local/costmap2", "/costmap/x"]),
        ("/r1/*", ["/r1/amcl"], ["/r2/amcl", "/r1", "/r1/a/b"]),
        ("/amcl", ["/amcl"], ["/amcl2", "/r1/amcl"]),
    ],
)
def test_patterns(example, pattern, names, others):
    matches = example.ros2_params.matches
    assert [matches(pattern, name) for name in [*names, *others]] == [True] * len(names) + [False] * len(others)


def test_a_name_goes_before_a_pattern_and_namespaces_nest(example):
    text = (
        "r1:\n  amcl:\n    ros__parameters:\n      a: 1\n      deep: {b: {c: 2}}\n"
        "/**:\n  ros__parameters:\n    a: 3\n    sim: true\n"
    )
    found, by_name = example.ros2_params.for_node([example.ros2_params.read(text)], "/r1/amcl")
    assert {name: each.value for name, each in found.items()} == {"a": 1, "deep.b.c": 2, "sim": True}
    assert by_name == {"a", "deep.b.c"}


def test_the_configs_of_real_robots(example):
    if not ROBOTS.exists():
        pytest.skip("the real robots' configs are not beside the project")
    paths = sorted([*ROBOTS.glob("nav2/*.yaml"), *ROBOTS.glob("autoware/**/*.param.yaml")])
    read = {path.name: example.ros2_params.read(path.read_text()) for path in paths}
    assert len(read) > 10
    amcl, _ = example.ros2_params.for_node([read["nav2_params.yaml"]], "/amcl")
    assert (amcl["alpha1"], amcl["max_beams"]) == (
        example.ros2_params.Parameter(3, 0.2),
        example.ros2_params.Parameter(2, 60),
    )
    stop_filter, by_name = example.ros2_params.for_node([read["stop_filter.param.yaml"]], "/stop_filter")
    assert stop_filter
    assert not by_name


def apply(example, graph: FakeGraph, text: str) -> None:
    node = example.shallop_params_node
    deployment = example.follow_current.Deployment("DPL-1", {"nav2/params.yaml": text.encode()})
    node.take(node.Graph(graph), ["nav2/params.yaml", "absent.yaml"], graph.said.append)(deployment)


def test_only_what_differs_is_set_at_once_where_it_belongs(example):
    graph = FakeGraph(
        __amcl=FakeNode(a=value(3, 0.1), b=value(9, ["x"]), c=value(1, False)),
        __r1__amcl=FakeNode(a=value(3, 0.1)),
        __other=FakeNode(z=value(2, 1)),
    )
    text = (
        "amcl:\n  ros__parameters: {a: 0.2, b: [x]}\n/**:\n  ros__parameters: {c: true, unknown: 1}\n"
        "gone:\n  ros__parameters: {d: 1}\n"
    )
    apply(example, graph, text)

    assert {name: node.calls for name, node in graph.nodes.items()} == {"/amcl": ["a,c"], "/r1/amcl": [], "/other": []}
    assert graph.said == ["/amcl: set a, c", "/gone: no such node runs", "DPL-1 is taken up"]
    apply(example, graph, text)
    assert graph.nodes["/amcl"].calls == ["a,c"], "the second time nothing differs"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("{a: 2}", "/amcl: wrong parameter type for 'a'"),
        ("{a: 0.5, fixed: true}", "/amcl: parameter 'fixed' cannot be set because it is read-only"),
        ("{nonsense: 1}", "/amcl: parameter 'nonsense' was not declared"),
        ("{a: [}", "nav2/params.yaml: not YAML"),
    ],
)
def test_what_a_node_does_not_take_is_said(example, parameters, words):
    graph = FakeGraph(__amcl=FakeNode(a=value(3, 0.1), fixed=value(1, False)))
    graph.nodes["/amcl"].read_only.add("fixed")
    with pytest.raises(ValueError, match=words):
        apply(example, graph, f"amcl:\n  ros__parameters: {parameters}\n")
    assert graph.nodes["/amcl"].parameters["a"].double_value == 0.1


class Done(BaseException):
    """Ends the thread of a test."""


def test_beside_an_agent(example, monkeypatch):
    """A node that refuses brings the deployment before back, and then it has its old values."""
    monkeypatch.setattr(example.follow_current, "POLL_S", 0.01)
    graph = FakeGraph(__amcl=FakeNode(a=value(3, 0.1), b=value(3, 0.1)), __nav=FakeNode(c=value(2, 0)))
    text = "amcl:\n  ros__parameters: {{a: {a}}}\nnav:\n  ros__parameters: {{c: {c}}}\n"
    is_done = threading.Event()
    take = example.shallop_params_node.take(example.shallop_params_node.Graph(graph), ["p.yaml"], graph.said.append)

    def take_up(deployment: Any) -> None:
        if is_done.is_set():
            raise Done
        take(deployment)

    def follow() -> None:
        with pytest.raises(Done):
            example.follow_current.follow(str(local.robot.root), str(local.path), "nav2", take_up)

    with door_world.local(door_world.ACKED) as local:
        following = threading.Thread(target=follow)
        following.start()
        first = local.order({"p.yaml": text.format(a=0.2, c=1)})
        eventually(lambda: local.ask("GET", "/v1/status").json["current"]["activity"] == "deployed")
        second = local.order({"p.yaml": text.format(a=0.3, c=0.5)}, fallback=first.id)
        eventually(lambda: local.ask("GET", "/v1/status").json["current"]["id"] == first.id)
        eventually(lambda: graph.nodes["/amcl"].parameters["a"].double_value == 0.2)
        told = local.ask("GET", "/v1/status").json["report"]["deployments"]
        is_done.set()
        local.order({"p.yaml": text.format(a=0.4, c=1)}, fallback=first.id)
        following.join(10)
        assert not following.is_alive()
    assert graph.nodes["/amcl"].calls == ["a", "a", "a"]
    [reason] = [each["reason"] for each in told if each["id"] == second.id]
    assert reason == {"code": "vetoed", "message": "nav2: /nav: wrong parameter type for 'c'"}
