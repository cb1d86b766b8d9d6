"""A ROS 2 node that gives the running nodes the parameters that shallop put in force, and says whether they took them.

python3 shallop_params_node.py --root /etc/robot --door /run/shallop/shallopd.sock --files nav2/params.yaml
"""

import argparse
import sys
import threading

import apply_params
import follow_current
import rclpy
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, ListParameters, SetParametersAtomically
from rclpy.node import Node
from ros2_params import Parameter

TIMEOUT_S = 5.0
FIELDS = {
    ParameterType.PARAMETER_BOOL: "bool_value",
    ParameterType.PARAMETER_INTEGER: "integer_value",
    ParameterType.PARAMETER_DOUBLE: "double_value",
    ParameterType.PARAMETER_STRING: "string_value",
    ParameterType.PARAMETER_BOOL_ARRAY: "bool_array_value",
    ParameterType.PARAMETER_INTEGER_ARRAY: "integer_array_value",
    ParameterType.PARAMETER_DOUBLE_ARRAY: "double_array_value",
    ParameterType.PARAMETER_STRING_ARRAY: "string_array_value",
}
"""Where a ParameterValue keeps a value of each type."""


class Graph:
    """The running nodes, through their parameter services. Not for the thread that spins the node."""

    def __init__(self, node):
        self._node = node
        self._own = node.get_fully_qualified_name()

    def names(self):
        """The full names of all others."""
        found = {f"{space.rstrip('/')}/{name}" for name, space in self._node.get_node_names_and_namespaces()}
        return found - {self._own}

    def declared(self, node):
        """The names of a node's parameters."""
        return set(self._call(node, ListParameters, "list_parameters", ListParameters.Request()).result.names)

    def values(self, node, names):
        """The values of some of them."""
        answer = self._call(node, GetParameters, "get_parameters", GetParameters.Request(names=names))
        found = {}
        for name, value in zip(names, answer.values, strict=True):
            field = FIELDS.get(value.type)
            if field:
                kept = getattr(value, field)
                found[name] = Parameter(value.type, list(kept) if field.endswith("array_value") else kept)
        return found

    def set_atomically(self, node, parameters):
        """Sets them all, or none. The reason why a node does not take them; None if it does."""
        messages = [
            ParameterMessage(name=name, value=ParameterValue(type=each.type, **{FIELDS[each.type]: each.value}))
            for name, each in sorted(parameters.items())
        ]
        request = SetParametersAtomically.Request(parameters=messages)
        result = self._call(node, SetParametersAtomically, "set_parameters_atomically", request).result
        return None if result.successful else result.reason or "it did not take them, and does not say why"

    def _call(self, node, kind, service, request):
        client = self._node.create_client(kind, f"{node}/{service}")
        try:
            if not client.wait_for_service(timeout_sec=TIMEOUT_S):
                raise ValueError(f"it has no service {service}")
            answered = threading.Event()
            future = client.call_async(request)
            future.add_done_callback(lambda _: answered.set())
            if not answered.wait(TIMEOUT_S):
                raise ValueError(f"it did not answer {service} within {TIMEOUT_S:g} s")
            return future.result()
        finally:
            self._node.destroy_client(client)


def take(graph, wanted, log):
    """What ``follow_current.follow`` calls with each deployment.

    Args:
        wanted: the paths of the parameter files; what a deployment does not have of them is passed over.
    """

    def take_up(deployment):
        if deployment is None:
            return
        texts = {path: deployment.files[path].decode() for path in wanted if path in deployment.files}
        apply_params.apply(texts, graph, log)
        log(f"{deployment.id} is taken up")

    return take_up


def main():
    """The command; what it does not know is ROS 2's own."""
    parser = argparse.ArgumentParser(description="Give running nodes the parameters that shallop put in force.")
    parser.add_argument("--root", required=True, help="the configuration root, in which current is")
    parser.add_argument("--door", required=True, help="the agent's socket")
    parser.add_argument("--files", required=True, nargs="+", help="the parameter files, by their paths below current")
    parser.add_argument("--ack", default="ros2-params", help="acknowledge each deployment under this name")
    chosen, rest = parser.parse_known_args()
    rclpy.init(args=[sys.argv[0], *rest])
    node = Node("shallop_params")
    work = take(Graph(node), chosen.files, node.get_logger().info)
    following = (chosen.root, chosen.door, chosen.ack, work)
    threading.Thread(target=follow_current.follow, args=following, daemon=True).start()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
