"""Configurations of admission webhooks. Pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from proa.controlplane._errors import (
    Cause,
    duplicate,
    invalid_value,
    not_supported,
    required,
)
from proa.controlplane._json import Document
from proa.controlplane.registry._checks import Check, between, one_of
from proa.controlplane.registry._names import dns_subdomain

from ._parts import each, names

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_REVIEWS = frozenset({"v1", "v1beta1"})


def full_name(name: str, path: str) -> list[Cause]:
    """A DNS name of three labels at least."""
    if not name:
        return [required(path)]
    found = names(dns_subdomain, name, path)
    if not found and name.count(".") < 2:
        why = "should be a domain with at least three segments separated by dots"
        found.append(invalid_value(path, name, why))
    return found


def _configuration(configuration: Any, path: str) -> list[Cause]:
    del path
    found: list[Cause] = []
    seen: set[str] = set()
    for hook, at in each(configuration, "webhooks", ""):
        where, name = at.removeprefix("."), hook.get("name", "")
        found += full_name(name, f"{where}.name")
        found += [duplicate(f"{where}.name", name)] if name in seen else []
        seen.add(name)
        found += _hook(hook, where)
    return found


def _hook(hook: Document, path: str) -> list[Cause]:
    found: list[Cause] = []
    for rule, at in each(hook, "rules", path):
        found += rule_problems(rule, at)
    found += one_of("Fail", "Ignore")(hook.get("failurePolicy"), f"{path}.failurePolicy")
    found += one_of("Equivalent", "Exact")(hook.get("matchPolicy"), f"{path}.matchPolicy")
    found += one_of("IfNeeded", "Never")(hook.get("reinvocationPolicy"), f"{path}.reinvocationPolicy")
    effects, at = hook.get("sideEffects"), f"{path}.sideEffects"
    if effects is None:
        found.append(required(at, "must specify one of None, NoneOnDryRun"))
    else:
        found += one_of("None", "NoneOnDryRun")(effects, at)
    why = "the timeout value must be between 1 and 30 seconds"
    found += between(1, 30, why)(hook.get("timeoutSeconds"), f"{path}.timeoutSeconds")
    versions, at = hook.get("admissionReviewVersions", []), f"{path}.admissionReviewVersions"
    if not versions:
        found.append(required(at, "must specify one of v1, v1beta1"))
    elif not _REVIEWS & set(versions):
        found.append(invalid_value(at, versions, "must include at least one of v1, v1beta1"))
    from ._policies import CONDITION_VARIABLES, conditions  # which needs our rules

    found += conditions(hook, path, CONDITION_VARIABLES)
    return found + client_problems(hook.get("clientConfig") or {}, f"{path}.clientConfig")


def rule_problems(rule: Document, path: str) -> list[Cause]:
    """A rule about requests: operations, groups, versions, resources, scope."""
    operations, at = rule.get("operations", []), f"{path}.operations"
    found = [] if operations else [required(at)]
    if "*" in operations and len(operations) > 1:
        found.append(invalid_value(at, operations, "if '*' is present, must not specify other operations"))
    for index, operation in enumerate(operations):
        if operation not in _OPERATIONS:
            found.append(not_supported(f"{at}[{index}]", operation, _OPERATIONS))
    for field in ("apiGroups", "apiVersions", "resources"):
        values, at = rule.get(field, []), f"{path}.{field}"
        if not values:
            found.append(required(at))
        if "*" in values and len(values) > 1 and field != "resources":
            found.append(invalid_value(at, values, "if '*' is present, must not specify others"))
        if field != "apiGroups":
            found += [required(f"{at}[{index}]") for index, value in enumerate(values) if not value]
    return found + one_of("*", "Cluster", "Namespaced")(rule.get("scope"), f"{path}.scope")


def client_problems(config: Document, path: str) -> list[Cause]:
    """Where a webhook is: a URL, or a service."""
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [required(path, "exactly one of url or service is required")]
    if service is None:
        return _url(str(url), f"{path}.url")
    at = f"{path}.service"
    found = [required(f"{at}.{field}") for field in ("name", "namespace") if not service.get(field)]
    port = service.get("port", 443)
    if not 1 <= port <= 65535:
        why = "port is not valid: must be between 1 and 65535, inclusive"
        found.append(invalid_value(f"{at}.port", port, why))
    return found + (_path(service["path"], f"{at}.path") if service.get("path") else [])


def _url(url: str, path: str) -> list[Cause]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return [required(path, "url must be a valid URL")]
    found = []
    if parts.scheme != "https":
        found.append(invalid_value(path, parts.scheme, "'https' is the only allowed URL scheme"))
    if not parts.netloc:
        found.append(invalid_value(path, "", "host must be specified"))
    wrong = {
        "user information": "@" in parts.netloc,
        "fragments": parts.fragment,
        "query parameters": parts.query,
    }
    return found + [
        invalid_value(path, url, f"{what} are not permitted") for what, there in wrong.items() if there
    ]


def _path(value: str, path: str) -> list[Cause]:
    if not value.startswith("/"):
        return [invalid_value(path, value, "must start with a '/'")]
    parts = value[1:].split("/")
    if value != "/" and not all(parts[:-1]):
        return [invalid_value(path, value, "segment may not be empty")]
    return [cause for part in parts if part for cause in names(dns_subdomain, part, path)]


_CONFIGURATION: dict[str, tuple[Check, ...]] = {"": (_configuration,)}
RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "admissionregistration.v1.MutatingWebhookConfiguration": _CONFIGURATION,
    "admissionregistration.v1.ValidatingWebhookConfiguration": _CONFIGURATION,
}
