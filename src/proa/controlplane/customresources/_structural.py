"""Whether a definition is one: its names, its versions, and that their schemas are structural. Pure.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from proa.controlplane._errors import Cause, duplicate, forbidden, invalid_value, not_supported, required
from proa.controlplane._json import Document
from proa.controlplane.cel import (
    MAX_REQUEST,
    Budget,
    EvaluationError,
    RuleError,
    compile_rule,
    estimate,
    smallest,
)
from proa.controlplane.registry._names import dns_1035_label, dns_subdomain

from ._json_path import InvalidPathError, fields, parse
from ._rules import REASONS, VARIABLES, is_transition, source_of, typed_by
from ._values import validate

SCOPES = ("Cluster", "Namespaced")
TYPES = ("array", "boolean", "integer", "number", "object", "string")
COLUMN_TYPES = ("integer", "number", "string", "boolean", "date")
_KIND = re.compile(r"[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?")
_SCHEMA = "schema.openAPIV3Schema"
_UNSUPPORTED = (
    "definitions",
    "dependencies",
    "deprecated",
    "discriminator",
    "id",
    "patternProperties",
    "$ref",
)
_VALUE_ONLY = ("type", "default", "additionalProperties", "nullable", "title", "description")
MAX_COST = 10_000_000
MAX_TOTAL_COST = 100_000_000
_WORST = 4
"""How many items a list without `maxItems` may have at most: a request's bytes."""


def validate_definition(definition: Document) -> list[Cause]:
    """All that is wrong with a definition."""
    spec = definition["spec"]
    names, found = spec.get("names", {}), []
    expected = f"{names.get('plural', '')}.{spec.get('group', '')}"
    if definition["metadata"].get("name") != expected:
        why = f"must be spec.names.plural+'.'+spec.group: {expected}"
        found.append(invalid_value("metadata.name", definition["metadata"].get("name", ""), why))
    if not spec.get("group"):
        found.append(required("spec.group"))
    else:
        wrong = dns_subdomain(spec["group"])
        if "." not in spec["group"]:
            wrong.append("should be a domain with at least one dot")
        found += [invalid_value("spec.group", spec["group"], why) for why in wrong]
    if spec.get("scope") not in SCOPES:
        found.append(not_supported("spec.scope", spec.get("scope", ""), SCOPES))
    found += _validate_names(names)
    found += _validate_versions(spec)
    found += _validate_conversion(spec.get("conversion", {}))
    return found


def _validate_names(names: Document) -> Iterator[Cause]:
    for name in ("plural", "singular"):
        if not names.get(name):
            yield required(f"spec.names.{name}")
        else:
            why = dns_1035_label(names[name])
            yield from (invalid_value(f"spec.names.{name}", names[name], one) for one in why)
    for name in ("kind", "listKind"):
        if not names.get(name):
            yield required(f"spec.names.{name}")
        elif not _KIND.fullmatch(names[name]) or len(names[name]) > 63:
            yield invalid_value(f"spec.names.{name}", names[name], "may have letters and digits only")
    for key in ("shortNames", "categories"):
        for index, name in enumerate(names.get(key, ())):
            why = dns_1035_label(name)
            yield from (invalid_value(f"spec.names.{key}[{index}]", name, one) for one in why)


def _validate_versions(spec: Document) -> Iterator[Cause]:
    versions = spec.get("versions", [])
    if not versions:
        yield required("spec.versions")
        return
    stored = [version for version in versions if version.get("storage")]
    if len(stored) != 1:
        why = "must have exactly one version marked as storage version"
        yield invalid_value("spec.versions", [version.get("name") for version in versions], why)
    seen: set[str] = set()
    for index, version in enumerate(versions):
        field, name = f"spec.versions[{index}]", version.get("name", "")
        if name in seen:
            yield duplicate(f"{field}.name", name)
        seen.add(name)
        yield from (invalid_value(f"{field}.name", name, why) for why in dns_1035_label(name))
        yield from _validate_version(version, field)


def _validate_version(version: Document, field: str) -> Iterator[Cause]:
    schema = version.get("schema", {}).get("openAPIV3Schema")
    if schema is None:
        yield required(f"{field}.{_SCHEMA}", "schemas are required")
    else:
        yield from _validate_root(schema, f"{field}.{_SCHEMA}")
    for index, column in enumerate(version.get("additionalPrinterColumns", ())):
        yield from _validate_column(column, f"{field}.additionalPrinterColumns[{index}]")
    scale = version.get("subresources", {}).get("scale")
    if scale is not None:
        for name, root in (("specReplicasPath", "spec"), ("statusReplicasPath", "status")):
            yield from _validate_path(scale.get(name, ""), f"{field}.subresources.scale.{name}", (root,))
        if scale.get("labelSelectorPath"):
            where = f"{field}.subresources.scale.labelSelectorPath"
            yield from _validate_path(scale["labelSelectorPath"], where, ("spec", "status"))
    for index, selectable in enumerate(version.get("selectableFields", ())):
        where = f"{field}.selectableFields[{index}].jsonPath"
        yield from _validate_path(selectable.get("jsonPath", ""), where, ())


def _validate_column(column: Document, field: str) -> Iterator[Cause]:
    if not column.get("name"):
        yield required(f"{field}.name")
    if column.get("type") not in COLUMN_TYPES:
        yield not_supported(f"{field}.type", column.get("type", ""), COLUMN_TYPES)
    try:
        parse(column.get("jsonPath", ""))
    except InvalidPathError as error:
        yield invalid_value(f"{field}.jsonPath", column.get("jsonPath", ""), str(error))


def _validate_path(text: str, field: str, roots: tuple[str, ...]) -> Iterator[Cause]:
    try:
        names = fields(text)
    except InvalidPathError as error:
        yield invalid_value(field, text, str(error))
        return
    if roots and names[0] not in roots:
        under = " or ".join(f".{root}" for root in roots)
        yield invalid_value(field, text, f"should be a json path under {under}")


def _validate_conversion(conversion: Document) -> Iterator[Cause]:
    strategy = conversion.get("strategy", "None")
    if strategy not in {"None", "Webhook"}:
        yield not_supported("spec.conversion.strategy", strategy, ("None", "Webhook"))
    webhook = conversion.get("webhook")
    if strategy == "Webhook" and webhook is None:
        yield required("spec.conversion.webhook", "required when strategy is set to Webhook")
    elif webhook is not None and strategy == "Webhook" and not webhook.get("conversionReviewVersions"):
        yield required("spec.conversion.webhook.conversionReviewVersions")
    elif strategy == "None" and webhook is not None:
        yield forbidden("spec.conversion.webhook", "should not be set when strategy is not set to Webhook")


def _validate_root(schema: Document, field: str) -> Iterator[Cause]:
    if schema.get("type") != "object":
        message = "must be object at the root"
        yield (
            invalid_value(f"{field}.type", schema["type"], message)
            if schema.get("type")
            else required(f"{field}.type", "must not be empty at the root")
        )
    if schema.get("nullable"):
        yield forbidden(f"{field}.nullable", "nullable cannot be true at the root")
    metadata = schema.get("properties", {}).get("metadata", {})
    if metadata.get("type", "object") != "object":
        yield invalid_value(f"{field}.properties[metadata].type", metadata["type"], "must be object")
    if set(metadata.get("properties", {})) - {"name", "generateName"}:
        why = (
            "must not specify anything other than name and generateName, but metadata is implicitly specified"
        )
        yield forbidden(f"{field}.properties[metadata]", why)
    yield from _validate_schema(schema, field, 1, root=True)
    yield from _too_costly(schema, field)


def _too_costly(schema: Document, field: str) -> Iterator[Cause]:
    """The rules of a schema together, if they may cost too much; the worst of them are named, too."""
    costs = sorted(_costs(schema, field, 1), key=lambda one: one[1], reverse=True)
    total = sum(cost for _, cost in costs)
    if total <= MAX_TOTAL_COST:
        return
    what = "estimated rule cost total for entire OpenAPIv3 schema"
    for where, cost in costs[:_WORST]:
        if cost >= MAX_TOTAL_COST / 100:
            yield forbidden(where, f"contributed to {what} exceeding cost limit")
    yield forbidden(field, _too_much(what, total, MAX_TOTAL_COST))


def _validate_schema(schema: Any, field: str, many: int | None, *, root: bool = False) -> Iterator[Cause]:
    """`many` is how many values there can be at this place of one object; None for any number."""
    if type(schema) is not dict:
        yield invalid_value(field, schema, "must be a schema")
        return
    for name in _UNSUPPORTED:
        if schema.get(name):
            yield forbidden(f"{field}.{name}", f"{name} is not supported")
    int_or_string = schema.get("x-kubernetes-int-or-string")
    kind = schema.get("type", "")
    if kind and kind not in TYPES:
        yield not_supported(f"{field}.type", kind, TYPES)
    if not kind and not int_or_string and not schema.get("x-kubernetes-preserve-unknown-fields") and not root:
        yield required(f"{field}.type", "must not be empty for specified object fields")
    if int_or_string and kind:
        yield invalid_value(f"{field}.type", kind, "must be empty if x-kubernetes-int-or-string is true")
    if schema.get("uniqueItems"):
        yield forbidden(
            f"{field}.uniqueItems", "uniqueItems cannot be set to true since the runtime cost is quadratic"
        )
    if schema.get("properties") and schema.get("additionalProperties"):
        yield forbidden(f"{field}.additionalProperties", "mutually exclusive with properties")
    yield from _validate_extensions(schema, field)
    yield from _validate_pattern(schema, field)
    if "default" in schema:
        yield from _validate_default(schema, field)
    for junctor in ("allOf", "anyOf", "oneOf"):
        for index, one in enumerate(schema.get(junctor, ())):
            yield from _validate_value_schema(
                one, f"{field}.{junctor}[{index}]", allows_type=bool(int_or_string)
            )
    if "not" in schema:
        yield from _validate_value_schema(schema["not"], f"{field}.not")
    yield from _validate_rules(schema, field, many)
    yield from _validate_parts(schema, field, many)


def _validate_parts(schema: Document, field: str, many: int | None) -> Iterator[Cause]:
    for name, inner in schema.get("properties", {}).items():
        yield from _validate_schema(inner, f"{field}.properties[{name}]", many)
    others, items = schema.get("additionalProperties"), schema.get("items")
    if type(others) is dict:
        yield from _validate_schema(others, f"{field}.additionalProperties", _times(many, schema))
    if items is not None:
        yield from _validate_schema(items, f"{field}.items", _times(many, schema))
    elif schema.get("type") == "array":
        yield required(f"{field}.items", "must be specified")


def _times(many: int | None, schema: Document) -> int | None:
    """How many items there can be of a list or a map of which there are that many."""
    most = schema.get("maxItems" if "items" in schema else "maxProperties")
    return None if many is None or most is None else many * max(0, int(most))


def _validate_extensions(schema: Document, field: str) -> Iterator[Cause]:
    kind = schema.get("x-kubernetes-list-type")
    if kind is not None and schema.get("type") != "array":
        yield invalid_value(
            f"{field}.type", schema.get("type", ""), "must be array if x-kubernetes-list-type is specified"
        )
    if kind not in {None, "atomic", "map", "set"}:
        yield not_supported(f"{field}.x-kubernetes-list-type", kind, ("atomic", "set", "map"))
    keys = schema.get("x-kubernetes-list-map-keys", ())
    if kind == "map" and not keys:
        yield required(
            f"{field}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map"
        )
    if keys and kind != "map":
        yield invalid_value(
            f"{field}.x-kubernetes-list-type", kind, "must be map if x-kubernetes-list-map-keys is non-empty"
        )
    item: Any = schema.get("items")
    item = item if type(item) is dict else {}
    for index, key in enumerate(keys if kind == "map" else ()):
        where = f"{field}.x-kubernetes-list-map-keys[{index}]"
        if key not in item.get("properties", {}):
            yield invalid_value(where, key, "entries must all be names of item properties")
        elif key not in item.get("required", ()) and "default" not in item["properties"][key]:
            why = "a key of the list must have a default or be a required property"
            yield required(f"{field}.items.properties[{key}].default", why)
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        yield invalid_value(
            f"{field}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined"
        )
    if schema.get("x-kubernetes-embedded-resource") and schema.get("type") != "object":
        yield invalid_value(
            f"{field}.type",
            schema.get("type", ""),
            "must be object if x-kubernetes-embedded-resource is true",
        )


def _validate_pattern(schema: Document, field: str) -> Iterator[Cause]:
    pattern = schema.get("pattern")
    if pattern is None:
        return
    try:
        rule = compile_rule("text.matches(pattern)", ("text", "pattern"))
        rule.evaluate({"text": "", "pattern": pattern}, Budget())
    except EvaluationError:
        yield invalid_value(f"{field}.pattern", pattern, "must be a valid regular expression")


def _validate_default(schema: Document, field: str) -> Iterator[Cause]:
    plain = {key: value for key, value in schema.items() if key != "default"}
    for cause in validate(schema["default"], plain, "default"):
        yield Cause(cause.reason, f"{field}.{cause.field}", cause.message)


def _validate_value_schema(schema: Any, field: str, *, allows_type: bool = False) -> Iterator[Cause]:
    """Within `allOf` and the like, only values may be constrained: the structure stands outside."""
    if type(schema) is not dict:
        return
    for name in _VALUE_ONLY:
        if name in schema and not (allows_type and name == "type"):
            yield forbidden(f"{field}.{name}", "must be undefined to be structural")
    for name in schema:
        if name.startswith("x-kubernetes-") and name != "x-kubernetes-validations":
            yield forbidden(f"{field}.{name}", "must be undefined to be structural")
    for name, inner in schema.get("properties", {}).items():
        yield from _validate_value_schema(inner, f"{field}.properties[{name}]")
    if "items" in schema:
        yield from _validate_value_schema(schema["items"], f"{field}.items")
    for junctor in ("allOf", "anyOf", "oneOf"):
        for index, one in enumerate(schema.get(junctor, ())):
            yield from _validate_value_schema(one, f"{field}.{junctor}[{index}]")


def _validate_rules(schema: Document, field: str, many: int | None) -> Iterator[Cause]:
    for index, rule in enumerate(schema.get("x-kubernetes-validations", ())):
        where = f"{field}.x-kubernetes-validations[{index}]"
        if not rule.get("rule", "").strip():
            yield required(f"{where}.rule", "rule is not specified")
            continue
        if rule.get("reason") not in {None, *REASONS}:
            yield not_supported(f"{where}.reason", rule["reason"], REASONS)
        for name, source, result in (
            ("rule", source_of(rule), "bool"),
            ("messageExpression", rule.get("messageExpression"), "string"),
        ):
            try:
                if source is not None:
                    compile_rule(source, VARIABLES, result, typed_by(schema))
            except RuleError as error:
                yield invalid_value(f"{where}.{name}", rule[name], f"compilation failed: {error}")
        if rule.get("optionalOldSelf") and not is_transition(rule):
            yield invalid_value(
                f"{where}.optionalOldSelf", True, "may not be set if oldSelf is not used in rule"
            )
        cost = _cost(rule, schema, many)
        if cost > MAX_COST:
            yield forbidden(f"{where}.rule", _too_much("estimated rule cost", cost, MAX_COST))


def _too_much(what: str, cost: float, most: int) -> str:
    factor = f"{cost / most:.1f}x" if cost < 100 * most else "more than 100x"
    return (
        f"{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, "
        "maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )


def _cost(rule: Document, schema: Document, many: int | None) -> float:
    """What a rule may cost for all the values of one object that it is about."""
    if many is None:
        many = MAX_REQUEST // (smallest(schema) + 1)
    return many * estimate(source_of(rule), typed_by(schema))


def _costs(schema: Any, field: str, many: int | None) -> Iterator[tuple[str, float]]:
    """All the rules of a schema, by where they stand, with their costs."""
    if type(schema) is not dict:
        return
    for index, rule in enumerate(schema.get("x-kubernetes-validations", ())):
        yield f"{field}.x-kubernetes-validations[{index}].rule", _cost(rule, schema, many)
    for name, inner in schema.get("properties", {}).items():
        yield from _costs(inner, f"{field}.properties[{name}]", many)
    for name in ("additionalProperties", "items"):
        yield from _costs(schema.get(name), f"{field}.{name}", _times(many, schema))
