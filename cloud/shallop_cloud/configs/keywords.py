"""The keywords of JSON Schema, as jsonschema has them but for what follows here.

They read *linked* schemas (see `linking`): ``$ref`` holds the schema that it leads to, so nothing is ever looked up
or fetched; patterns are compiled; the values of ``enum`` and ``const`` are prepared for comparing.

What differs, and why:

- NaN passes every comparison with a bound; here it fails it.
- ``multipleOf`` goes by the digits as written: 0.3 is a multiple of 0.1, though not of its binary neighbour.
- ``uniqueItems``, ``enum`` and ``const`` take linear time.
- Messages point at the key that is not expected or the item that is repeated, and suggest what was meant.
- Every step is paid for out of a budget, so that no schema and document can keep a process busy: references that
  fan out, alternatives within alternatives, and large lists end in an error instead.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, cast

import jsonschema
import jsonschema.validators
from jsonschema.exceptions import ValidationError

from shallop_cloud.configs import findings, values
from shallop_cloud.configs.budget import STEP, spend
from shallop_cloud.configs.patterns import Pattern

# jsonschema passes validators, schemas and instances untyped, hence Any throughout.
Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError]]

MAX_BRANCH_ERRORS = 20
"""How many errors are kept of each alternative of ``anyOf`` and ``oneOf``."""

_PATTERN_STEPS = 128
"""How many steps of the pattern engine cost as much as looking at one entry."""


@dataclasses.dataclass(frozen=True, slots=True)
class Choices:
    """The values of ``enum``, or the one of ``const``."""

    identities: frozenset[str]
    only_scalars: bool
    words: tuple[str, ...]
    """Those that are texts."""
    shown: str

    @classmethod
    def of(cls, allowed: list[Any]) -> Choices:
        """Choices among ``allowed``."""
        shown = ", ".join(values.show(each) for each in itertools.islice(allowed, 20))
        more = f" … ({len(allowed)} in all)" if len(allowed) > 20 else ""
        words = tuple(each for each in allowed if isinstance(each, str))
        only_scalars = not any(isinstance(each, (dict, list)) for each in allowed)
        return cls(frozenset(values.identity(each) for each in allowed), only_scalars, words, shown + more)

    def hold(self, value: Any) -> bool:
        """Whether ``value`` equals one of them."""
        if self.only_scalars and isinstance(value, (dict, list)):
            return False
        spend(3 * values.weight(value))
        return values.identity(value) in self.identities


def _ref(validator: Any, target: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    return validator.descend(instance, target)


def _type(validator: Any, types: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    names = cast("list[str]", [types] if isinstance(types, str) else types)
    if not any(validator.is_type(instance, name) for name in names):
        wanted = " or ".join(repr(name) for name in names)
        switch = isinstance(instance, str) and instance.lower() in _SWITCHES and "boolean" in names
        yield ValidationError(
            f"{values.show(instance)} is not of type {wanted}{': write true or false' if switch else ''}"
        )


_SWITCHES = frozenset({"on", "off", "yes", "no", "y", "n", "true", "false"})


def _enum(_validator: Any, choices: Choices, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if not choices.hold(instance):
        hint = findings.meant(instance, choices.words) if isinstance(instance, str) else ""
        yield ValidationError(f"{values.show(instance)} is not one of {choices.shown}{hint}")


def _const(_validator: Any, choices: Choices, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if not choices.hold(instance):
        yield ValidationError(f"{values.show(instance)} is not {choices.shown}, the only value allowed")


def _comparison(name: str, bound_name: str) -> Keyword:
    compare = cast("Keyword", jsonschema.Draft202012Validator.VALIDATORS[name])

    def check(validator: Any, bound: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if isinstance(instance, float) and math.isnan(instance):
            yield ValidationError(f"NaN cannot be compared with the {bound_name} of {bound!r}")
        else:
            yield from compare(validator, bound, instance, schema)

    return check


def _multiple_of(validator: Any, divisor: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "number"):
        return
    endless = isinstance(instance, float) and not math.isfinite(instance)
    if endless or Fraction(repr(instance)) % Fraction(repr(divisor)):
        yield ValidationError(f"{instance!r} is not a multiple of {divisor!r}")


def _pattern(validator: Any, pattern: Pattern, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string") and not _matches(pattern, instance):
        yield ValidationError(f"{values.show(instance)} does not match the pattern {values.show(pattern.source)}")


def _matches(pattern: Pattern, text: str) -> bool:
    spend(len(text) * pattern.size // _PATTERN_STEPS)
    return pattern.matches(text)


def _unique_items(validator: Any, wanted: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if not wanted or not validator.is_type(instance, "array"):
        return
    spend(3 * values.weight(instance))
    first: dict[str, int] = {}
    for index, item in enumerate(instance):
        if (earlier := first.setdefault(values.identity(item), index)) != index:
            yield ValidationError(f"{values.show(item)} repeats item {earlier}: items must be unique", path=(index,))
            return


def _required(validator: Any, names: list[str], instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        for name in names:
            if name not in instance:
                spend(STEP)
                yield ValidationError(f"required key {values.show(name)} is missing")


def _dependent_required(validator: Any, wanted: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        for name in wanted.keys() & instance.keys():
            for other in wanted[name]:
                spend(1)
                if other not in instance:
                    spend(STEP)
                    yield ValidationError(f"key {values.show(other)} is missing: {values.show(name)} requires it")


def _property_names(validator: Any, names: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        for key in instance:
            for error in validator.descend(key, names):
                yield ValidationError(f"key {values.show(key)}: {error.message}", path=(key,))


def _pattern_properties(validator: Any, pairs: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        for pattern, subschema in pairs:
            for key, value in instance.items():
                spend(1)
                if _matches(pattern, key):
                    yield from validator.descend(value, subschema, path=key, schema_path=pattern.source)


def _additional_properties(validator: Any, rest: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        for key in instance:
            if key not in schema.get("properties", ()) and not _has_pattern_for(key, schema):
                yield from _unexpected(validator, rest, instance, key, schema)


def _has_pattern_for(key: str, schema: Any) -> bool:
    pairs = schema.get("patternProperties", ())
    spend(len(pairs))
    return any(_matches(pattern, key) for pattern, _ in pairs)


def _unexpected(validator: Any, rest: Any, instance: Any, key: str, schema: Any) -> Iterator[ValidationError]:
    """What ``rest`` says about an entry that no other keyword covers."""
    if rest is not False:
        yield from validator.descend(instance[key], rest, path=key)
        return
    known = [name for name in schema.get("properties", ()) if name not in instance]
    spend(STEP * STEP + len(known))
    yield ValidationError(f"unexpected key {values.show(key)}{findings.meant(key, known)}", path=(key,))


def _any_of(validator: Any, branches: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    failed = _failed_branches(validator, branches, instance)
    if failed is not None:
        yield ValidationError(f"{values.show(instance)} fits none of the alternatives", context=failed)


def _one_of(validator: Any, branches: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    failed = _failed_branches(validator, branches, instance)
    if failed is not None:
        yield ValidationError(f"{values.show(instance)} fits none of the alternatives", context=failed)
        return
    fitting = [str(index + 1) for index, branch in enumerate(branches) if _accepts(validator, branch, instance)]
    if len(fitting) > 1:
        which = " and ".join(fitting[:3])
        yield ValidationError(f"{values.show(instance)} fits more than one alternative: {which} of {len(branches)}")


def _failed_branches(validator: Any, branches: Any, instance: Any) -> list[ValidationError] | None:
    """The errors of all branches, or None if one of them accepts."""
    failed: list[ValidationError] = []
    for index, branch in enumerate(branches):
        every = cast("Iterator[ValidationError]", validator.descend(instance, branch))
        errors = list(itertools.islice(every, MAX_BRANCH_ERRORS))
        if not errors:
            return None
        spend(5 * STEP * len(errors))
        for error in errors:  # descend() leaves out the index where the branch is just false
            error.schema_path.appendleft(index)
        failed += errors
    return failed


def _accepts(validator: Any, schema: Any, instance: Any) -> bool:
    return next(validator.descend(instance, schema), None) is None


def _unevaluated_properties(validator: Any, rest: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    left = dict.fromkeys(instance)
    for part in _taking_part(validator, instance, schema):
        catches_rest = "additionalProperties" in part or (part is not schema and "unevaluatedProperties" in part)
        for key in list(left):
            spend(1)
            if catches_rest or key in part.get("properties", ()) or _has_pattern_for(key, part):
                del left[key]
    for key in left:
        yield from _unexpected(validator, rest, instance, key, schema)


def _unevaluated_items(validator: Any, rest: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "array"):
        return
    left = dict.fromkeys(range(len(instance)))
    for part in _taking_part(validator, instance, schema):
        items = part.get("items")
        tuple_form: list[Any] = part.get("prefixItems", items if isinstance(items, list) else [])
        rest_keyword = "additionalItems" if isinstance(items, list) else "items"
        catches_rest = rest_keyword in part or (part is not schema and "unevaluatedItems" in part)
        # Only 2020-12 counts what ``contains`` matched; it is the draft that knows ``prefixItems``.
        contained = part.get("contains") if "prefixItems" in validator.VALIDATORS else None
        for index in list(left):
            spend(1)
            matched = contained is not None and _accepts(validator, contained, instance[index])
            if catches_rest or index < len(tuple_form) or matched:
                del left[index]
    for index in left:
        if rest is False:
            yield ValidationError(f"unexpected item {values.show(instance[index])}", path=(index,))
        else:
            yield from validator.descend(instance[index], rest, path=index)


def _taking_part(validator: Any, instance: Any, schema: Any) -> Iterator[Any]:
    """The schemas that apply to an instance in place and accept it, ``schema`` itself first.

    Their keywords say which entries count as evaluated (JSON Schema 2020-12, section 11).
    """
    spend(STEP)
    if not isinstance(schema, dict):
        return
    part = cast("dict[str, Any]", schema)
    yield part
    if "$ref" in part:
        yield from _taking_part(validator, instance, part["$ref"])
    branches = [branch for keyword in ("allOf", "anyOf", "oneOf") for branch in part.get(keyword, ())]
    branches += [
        branch
        for key, branch in part.get("dependentSchemas", {}).items()
        if isinstance(instance, dict) and key in instance
    ]
    if "if" in part:
        fits = _accepts(validator, part["if"], instance)
        branches += [part["if"]] if fits else []
        branches.append(part.get("then" if fits else "else", True))
    for branch in branches:
        if _accepts(validator, branch, instance):
            yield from _taking_part(validator, instance, branch)


_OURS: dict[str, Keyword] = {
    "$ref": _ref,
    "type": _type,
    "enum": _enum,
    "const": _const,
    "minimum": _comparison("minimum", "minimum"),
    "maximum": _comparison("maximum", "maximum"),
    "exclusiveMinimum": _comparison("exclusiveMinimum", "exclusive minimum"),
    "exclusiveMaximum": _comparison("exclusiveMaximum", "exclusive maximum"),
    "multipleOf": _multiple_of,
    "pattern": _pattern,
    "uniqueItems": _unique_items,
    "required": _required,
    "dependentRequired": _dependent_required,
    "propertyNames": _property_names,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "unevaluatedProperties": _unevaluated_properties,
    "unevaluatedItems": _unevaluated_items,
}


_IN_PLACE = frozenset({"$ref", "allOf", "anyOf", "oneOf", "not", "if", "dependentSchemas"})
"""Keywords that apply whole schemas to the same value, which takes longer than a comparison."""


def _paid(name: str, keyword: Keyword) -> Keyword:
    price = 3 * STEP if name in _IN_PLACE else STEP

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        spend(price + _breadth(value) + _breadth(instance))
        return keyword(validator, value, instance, schema)

    return check


def _breadth(value: Any) -> int:
    if isinstance(value, (dict, list)):
        return len(cast("list[Any]", value))
    return len(value) >> 8 if isinstance(value, str) else 0


def validator_class(stock: Any) -> Any:
    """A validator class of jsonschema whose keywords read linked schemas and are paid for.

    Draft 7 gets the two halves of its ``dependencies`` under the names that later drafts gave them.
    """
    of_dependencies = {"dependentSchemas": jsonschema.Draft202012Validator.VALIDATORS["dependentSchemas"]}
    known = {**stock.VALIDATORS, **of_dependencies, **_OURS}
    paid = {name: _paid(name, keyword) for name, keyword in known.items()}
    return jsonschema.validators.extend(stock, paid)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
