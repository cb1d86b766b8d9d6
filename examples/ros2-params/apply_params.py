"""Gives running nodes the parameters of a deployment. Knows nothing of rclpy: ``nodes`` is what talks to them."""

import ros2_params


def apply(files, nodes, log=print):
    """Sets, for each running node, what the files say for it and what is not so already, all at once or nothing.

    A file speaks to one node by its name, or to many by a pattern such as ``/**``. What is said by a pattern is set
    where the node knows the parameter; what is said by name has to be taken. A node that does not run is passed over:
    it gets its parameters from the same file when it is launched.

    Args:
        files: texts of parameter files, by their paths.
        nodes: has ``names()``, ``declared(node)``, ``values(node, names)`` and ``set_atomically(node, parameters)``,
            which gives the reason why a node does not take them, or None. It raises ValueError for a node that does
            not answer.

    Raises:
        ValueError: a file cannot be used, or a node did not take what is for it. All of them are told.
    """
    read_files, wrong = [], []
    for path, text in sorted(files.items()):
        try:
            read_files.append(ros2_params.read(text))
        except ValueError as error:
            wrong.append(f"{path}: {error}")
    if wrong:
        raise ValueError("; ".join(wrong))
    running = sorted(nodes.names())
    for node in running:
        try:
            reason = _apply_to(node, read_files, nodes, log)
        except ValueError as error:
            reason = str(error)
        if reason:
            wrong.append(f"{node}: {reason}")
    for pattern in sorted({pattern for each in read_files for pattern, _ in each}):
        if not any(ros2_params.matches(pattern, node) for node in running):
            log(f"{pattern}: no such node runs")
    if wrong:
        raise ValueError("; ".join(wrong))


def _apply_to(node, read_files, nodes, log):
    wanted, by_name = ros2_params.for_node(read_files, node)
    if not wanted:
        return None
    declared = nodes.declared(node)
    wanted = {name: value for name, value in wanted.items() if name in declared or name in by_name}
    values = nodes.values(node, sorted(declared & wanted.keys()))
    changed = {name: value for name, value in wanted.items() if values.get(name) != value}
    if not changed:
        return None
    reason = nodes.set_atomically(node, changed)
    if reason is None:
        log(f"{node}: set {', '.join(sorted(changed))}")
    return reason
