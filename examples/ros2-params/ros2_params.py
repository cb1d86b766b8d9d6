"""What a ROS 2 parameter file says for which node, read as ROS 2 reads it (rcl_yaml_param_parser). Needs PyYAML.

The same bytes mean something else to most YAML readers: here ``on`` is a bool, ``010`` is 8, ``1e3`` a double, ``null``
a string; aliases and arrays of mixed types are refused. So is what ROS 2 itself would not load.
"""

import re

import yaml

BOOL, INTEGER, DOUBLE, STRING = 1, 2, 3, 4
"""As rcl_interfaces/msg/ParameterType has them; an array of each is five more."""
ARRAY = 5
_TYPES = {bool: BOOL, int: INTEGER, float: DOUBLE, str: STRING}

_TRUE = ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON")
_FALSE = ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF")
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|[0-9]+)")
_DOUBLE = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LARGEST = 2**63 - 1


class Parameter:
    """A value with its type: a number of rcl_interfaces/msg/ParameterType."""

    def __init__(self, type, value):
        self.type = type
        self.value = value

    def __eq__(self, other):
        return isinstance(other, Parameter) and (self.type, repr(self.value)) == (other.type, repr(other.value))

    def __hash__(self):
        return hash((self.type, repr(self.value)))

    def __repr__(self):
        return f"Parameter({self.type}, {self.value!r})"


class _Loader(yaml.SafeLoader):
    """Mappings and sequences as they are; a plain scalar becomes what ROS 2 makes of it."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  the base class has it so

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise ValueError(f"line {self.peek_event().start_mark.line + 1}: ROS 2 takes no aliases")
        return super().compose_node(parent, index)


def _scalar(_loader, node):
    text = node.value
    if node.style is not None:  # it has quotes
        return text
    where = f"line {node.start_mark.line + 1}"
    if text == "":
        raise ValueError(f"{where}: there is no value")
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        digits = text.lstrip("+-")
        base = 16 if digits[:2] in ("0x", "0X") else 8 if digits.startswith("0") and len(digits) > 1 else 10
        try:
            number = int(digits, base) * (-1 if text.startswith("-") else 1)
        except ValueError:
            return float(text)  # 09 is no octal number
        if abs(number) > _LARGEST:
            raise ValueError(f"{where}: {text} does not fit into 64 bits")
        return number
    if _DOUBLE.fullmatch(text):
        return float(text.replace(".", "") if "n" in text.lower() else text)  # Python writes inf and nan without a dot
    return text


def _mapping(loader, node):
    """A key is text whatever it looks like: ``y`` is the name of a parameter, and no bool."""
    return {key.value: loader.construct_object(value, deep=True) for key, value in node.value}


_Loader.add_constructor("tag:yaml.org,2002:str", _scalar)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read(text):
    """The file: a list of (pattern of a node's full name, parameters by their full names), in its order.

    Raises:
        ValueError: it is no parameter file; the text says where.
    """
    try:
        document = yaml.load(text, _Loader)  # noqa: S506  a SafeLoader with less
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from None
    if not isinstance(document, dict):
        raise ValueError("a parameter file has the names of nodes on top")
    found = []
    _nodes(document, "", found)
    return found


def _nodes(level, namespace, found):
    for name, below in level.items():
        full = f"{namespace}/{name.strip('/')}"
        if not isinstance(below, dict):
            raise ValueError(f"{full}: expected ros__parameters, or a node, below it")
        below = dict(below)
        if "ros__parameters" in below:
            parameters = below.pop("ros__parameters")
            if not isinstance(parameters, dict):
                raise ValueError(f"{full}: ros__parameters are names and values")
            found.append((full, dict(_flat(parameters, "", full))))
        _nodes(below, full, found)


def _flat(level, prefix, node):
    for key, value in level.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.", node)
        elif isinstance(value, list):
            kinds = {type(each) for each in value}
            if len(kinds) != 1 or not kinds <= set(_TYPES):
                raise ValueError(f"{node} {name}: an array has values, all of one type")
            yield name, Parameter(_TYPES[kinds.pop()] + ARRAY, value)
        else:
            yield name, Parameter(_TYPES[type(value)], value)


def matches(pattern, node):
    """Whether a node's full name is one that a pattern names. ``*`` is one part of it, ``**`` any number of them."""
    parts = [part for part in pattern.split("/") if part]
    regex = "".join({"**": r"(/\w+)*", "*": r"/\w+"}.get(part, "/" + re.escape(part)) for part in parts)
    return re.fullmatch(regex, node) is not None


def is_wildcard(pattern):
    """Whether it may name nodes that do not know all of its parameters."""
    return "*" in pattern


def for_node(read_files, node):
    """What files say for a node: what patterns say, in their order, and then what is said for it by its name.

    Returns:
        parameters by name, and the names of those that were said for it by its name.
    """
    said = [(pattern, parameters) for each in read_files for pattern, parameters in each if matches(pattern, node)]
    by_pattern = {}
    for pattern, parameters in said:
        if is_wildcard(pattern):
            by_pattern.update(parameters)
    by_name = {}
    for pattern, parameters in said:
        if not is_wildcard(pattern):
            by_name.update(parameters)
    return {**by_pattern, **by_name}, set(by_name)
