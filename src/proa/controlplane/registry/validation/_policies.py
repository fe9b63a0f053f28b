"""Admission policies, what binds them, and conditions on which webhooks are asked. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from proa.controlplane._errors import (
    Cause,
    duplicate,
    forbidden,
    invalid_value,
    not_supported,
    required,
    too_many,
)
from proa.controlplane._json import Document
from proa.controlplane.cel import RuleError, compile_rule
from proa.controlplane.cel._translation import RESERVED
from proa.controlplane.registry._checks import Check, one_of
from proa.controlplane.registry._names import dns_1035_label, dns_subdomain, path_segment, qualified_name

from ._parts import each, names
from ._webhooks import rule_problems

CONDITION_VARIABLES = ("object", "oldObject", "request", "authorizer")
_IN_POLICIES = (*CONDITION_VARIABLES, "namespaceObject")
_MAX_CONDITIONS = 64
_MAX_ANNOTATIONS = 20
_MAX_ANNOTATION = 5 * 1024
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_ACTIONS = ("Audit", "Deny", "Warn")
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_FAILURES = one_of("Fail", "Ignore")
_POLICIES = one_of("Equivalent", "Exact")


def expression(source: str, variables: tuple[str, ...], result: str, path: str) -> list[Cause]:
    """An expression that has to be there, and to be of a type."""
    if not source.strip():
        return [required(path)]
    try:
        compile_rule(source, variables, result)
    except RuleError as error:
        return [invalid_value(path, source, f"compilation failed: {error}")]
    return []


def conditions(holder: Document, path: str, variables: tuple[str, ...]) -> list[Cause]:
    """Conditions on which a webhook or a policy is asked."""
    found: list[Cause] = []
    seen: set[str] = set()
    count = len(holder.get("matchConditions", ()))
    if count > _MAX_CONDITIONS:
        found.append(too_many(f"{path}.matchConditions", count, _MAX_CONDITIONS))
    for one, at in each(holder, "matchConditions", path):
        name = one.get("name", "")
        found += expression(one.get("expression", ""), variables, "bool", f"{at}.expression")
        found += names(qualified_name, name, f"{at}.name") if name else [required(f"{at}.name")]
        found += [duplicate(f"{at}.name", name)] if name and name in seen else []
        seen.add(name)
    return found


def _policy(spec: Document, path: str) -> tuple[list[Cause], tuple[str, ...]]:
    """What both kinds of policies have, and what their expressions may use."""
    found = _FAILURES(spec.get("failurePolicy"), f"{path}.failurePolicy")
    usable: tuple[str, ...] = _IN_POLICIES
    if spec.get("paramKind") is not None:
        usable = (*usable, "params")
        found += _param_kind(spec["paramKind"], f"{path}.paramKind")
    constraints, at = spec.get("matchConstraints"), f"{path}.matchConstraints"
    if constraints is None:
        found.append(required(at))
    else:
        found += _resources(constraints, at)
        if not constraints.get("resourceRules"):
            found.append(required(f"{at}.resourceRules"))
    found += conditions(spec, path, usable)
    usable = (*usable, "variables")
    for one, at in each(spec, "variables", path):
        name = one.get("name", "").strip()
        if not name:
            found.append(required(f"{at}.name", "name is not specified"))
        elif not _IDENTIFIER.fullmatch(name) or name in RESERVED:
            found.append(invalid_value(f"{at}.name", name, "name is not a valid CEL identifier"))
        found += expression(one.get("expression", ""), usable, "any", f"{at}.expression")
    return found, usable


def _param_kind(kind: Document, path: str) -> list[Cause]:
    version, name = kind.get("apiVersion", ""), kind.get("kind", "")
    at, found = f"{path}.apiVersion", []
    if not version:
        found.append(required(at))
    elif version.count("/") > 1:
        found.append(invalid_value(at, version, f"unexpected GroupVersion string: {version}"))
    else:
        group, _, number = version.rpartition("/")
        if group and dns_subdomain(group):
            found.append(invalid_value(at, group, ",".join(dns_subdomain(group))))
        if dns_1035_label(number):
            found.append(invalid_value(at, number, ",".join(dns_1035_label(number))))
    if not name:
        return [*found, required(f"{path}.kind")]
    problems = dns_1035_label(name.lower())
    return found + ([invalid_value(f"{path}.kind", name, ",".join(problems))] if problems else [])


def _resources(constraints: Document, path: str) -> list[Cause]:
    found = _POLICIES(constraints.get("matchPolicy"), f"{path}.matchPolicy")
    for kind in ("resourceRules", "excludeResourceRules"):
        for rule, at in each(constraints, kind, path):
            seen: set[str] = set()
            for index, name in enumerate(rule.get("resourceNames", ())):
                found += names(path_segment, name, f"{at}.resourceNames[{index}]")
                found += [duplicate(f"{at}.resourceNames[{index}]", name)] if name in seen else []
                seen.add(name)
            found += rule_problems(rule, at)
    return found


def _validating(policy: Any, path: str) -> list[Cause]:
    del path
    spec = policy["spec"]
    found, usable = _policy(spec, "spec")
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        why = "validations or auditAnnotations must contain at least one item"
        return [*found, required("spec.validations", why), required("spec.auditAnnotations", why)]
    for one, at in each(spec, "validations", "spec"):
        found += _validation(one, at, usable)
    return found + list(_annotations(policy, usable))


def _validation(validation: Document, path: str, usable: tuple[str, ...]) -> list[Cause]:
    found = expression(validation.get("expression", ""), usable, "bool", f"{path}.expression")
    told, message = validation.get("messageExpression", ""), validation.get("message", "")
    at = f"{path}.messageExpression"
    if told and not told.strip():
        found.append(invalid_value(at, told, "must be non-empty if specified"))
    elif told:
        plain = tuple(name for name in usable if name != "authorizer")
        found += expression(told, plain, "string", at)
    if message and not message.strip():
        why = "message must be non-empty if specified"
        found.append(invalid_value(f"{path}.message", message, why))
    elif "\n" in message.strip() or "\r" in message.strip():
        found.append(invalid_value(f"{path}.message", message, "message must not contain line breaks"))
    return found + one_of(*_REASONS)(validation.get("reason"), f"{path}.reason")


def _annotations(policy: Document, usable: tuple[str, ...]) -> Iterator[Cause]:
    spec, name = policy["spec"], policy["metadata"].get("name", "")
    count = len(spec.get("auditAnnotations", ()))
    if count > _MAX_ANNOTATIONS:
        why = f"must not have more than {_MAX_ANNOTATIONS} auditAnnotations"
        yield invalid_value("spec.auditAnnotations", count, why)
    seen: set[str] = set()
    for one, at in each(spec, "auditAnnotations", "spec"):
        key, source = one.get("key", ""), one.get("valueExpression", "")
        yield from names(qualified_name, f"{name}/{key}", f"{at}.key")
        if len(source.strip()) > _MAX_ANNOTATION:
            yield required(f"{at}.valueExpression", f"must not exceed {_MAX_ANNOTATION} bytes in length")
        else:
            yield from _text_or_null(source, usable, f"{at}.valueExpression")
        if key in seen:
            yield duplicate(f"{at}.key", key)
        seen.add(key)


def _text_or_null(source: str, usable: tuple[str, ...], path: str) -> list[Cause]:
    found = expression(source, usable, "string", path)
    return [] if found and source.strip() and not expression(source, usable, "null", path) else found


def _mutating(policy: Any, path: str) -> list[Cause]:
    del path
    spec = policy["spec"]
    found, usable = _policy(spec, "spec")
    policies, at = spec.get("reinvocationPolicy"), "spec.reinvocationPolicy"
    found += [required(at)] if not policies else one_of("IfNeeded", "Never")(policies, at)
    if not spec.get("mutations"):
        found.append(required("spec.mutations", "mutations must contain at least one item"))
    for one, where in each(spec, "mutations", "spec"):
        found += _mutation(one, where, usable)
    return found


_PATCHES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}


def _mutation(mutation: Document, path: str, usable: tuple[str, ...]) -> list[Cause]:
    kind, at = mutation.get("patchType", ""), f"{path}.patchType"
    if not kind:
        return [required(at, "patchType must be set")]
    if kind not in _PATCHES:
        return [not_supported(at, kind, sorted(_PATCHES))]
    field = _PATCHES[kind]
    found = [
        invalid_value(f"{path}.{other}", "", f"must not be set when patchType is {kind}")
        for other in _PATCHES.values()
        if other != field and mutation.get(other) is not None
    ]
    patch = mutation.get(field)
    if patch is None:
        return [*found, required(f"{path}.{field}", f"must be set when patchType is {kind}")]
    result = "map" if kind == "ApplyConfiguration" else "list"
    return found + expression(patch.get("expression", ""), usable, result, f"{path}.{field}.expression")


def _binding(spec: Document, path: str) -> list[Cause]:
    name, reference = spec.get("policyName", ""), spec.get("paramRef")
    at = f"{path}.policyName"
    found = names(dns_subdomain, name, at) if name else [required(at)]
    if reference is not None:
        found += _param_reference(reference, f"{path}.paramRef")
    if spec.get("matchResources") is not None:
        found += _resources(spec["matchResources"], f"{path}.matchResouces")  # as Kubernetes spells it
    return found


def _param_reference(reference: Document, path: str) -> list[Cause]:
    name, selector, found = reference.get("name", ""), reference.get("selector"), []
    why = "name and selector are mutually exclusive"
    if name:
        found += names(path_segment, name, f"{path}.name")
    if name and selector is not None:
        found += [forbidden(f"{path}.{field}", why) for field in ("name", "selector")]
    if not name and selector is None:
        found.append(required(path, "one of name or selector must be specified"))
    action, at = reference.get("parameterNotFoundAction", ""), f"{path}.parameterNotFoundAction"
    return found + (one_of("Deny", "Allow", sort=False)(action, at) if action else [required(at)])


def _validating_binding(spec: Any, path: str) -> list[Cause]:
    found, actions, at = _binding(spec, path), spec.get("validationActions", []), f"{path}.validationActions"
    for index, action in enumerate(actions):
        found += one_of(*_ACTIONS)(action, f"{at}[{index}]")
        found += [duplicate(f"{at}[{index}]", action)] if action in actions[:index] else []
    if {"Deny", "Warn"} <= set(actions):
        why = "must not contain both Deny and Warn: one failure would be told twice"
        found.append(invalid_value(at, actions, why))
    return found + ([] if actions else [required(at, "at least one validation action is required")])


RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "admissionregistration.v1.ValidatingAdmissionPolicy": {"": (_validating,)},
    "admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec": {"": (_validating_binding,)},
    "admissionregistration.v1.MutatingAdmissionPolicy": {"": (_mutating,)},
    "admissionregistration.v1.MutatingAdmissionPolicyBindingSpec": {"": (_binding,)},
}
