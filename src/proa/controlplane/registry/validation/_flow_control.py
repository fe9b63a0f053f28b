"""Flow schemas and priority levels. Pure."""

from __future__ import annotations

import math
from typing import Any

from proa.controlplane._errors import Cause, duplicate, forbidden, invalid_value, not_supported, required
from proa.controlplane._json import Document
from proa.controlplane.registry._checks import Check, one_of
from proa.controlplane.registry._names import dns_label, dns_subdomain

from ._parts import each, names

_EXEMPT = "exempt"
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
_MOST_QUEUES = 10_000_000
_HASH_BITS = 60


def _flow_schema(schema: Any, path: str) -> list[Cause]:
    del path
    spec, found = schema["spec"], []
    precedence, level = spec.get("matchingPrecedence", 0), spec.get("priorityLevelConfiguration") or {}
    at = "spec.matchingPrecedence"
    if not 1 <= precedence <= 10_000:
        found.append(invalid_value(at, precedence, "must be a value between 1 and 10000"))
    if precedence == 1 and schema["metadata"].get("name") != _EXEMPT:
        why = "only the schema named 'exempt' may have matchingPrecedence 1"
        found.append(invalid_value(at, precedence, why))
    at = "spec.priorityLevelConfiguration.name"
    found += names(dns_subdomain, level["name"], at) if level.get("name") else [required(at)]
    for rule, where in each(spec, "rules", "spec"):
        found += _rule(rule, where)
    return found


def _rule(rule: Document, path: str) -> list[Cause]:
    found: list[Cause] = []
    if not rule.get("subjects"):
        found.append(required(f"{path}.subjects", "subjects must contain at least one value"))
    for subject, at in each(rule, "subjects", path):
        found += _subject(subject, at)
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        why = "at least one of resourceRules and nonResourceRules has to be non-empty"
        found.append(required(path, why))
    for one, at in each(rule, "resourceRules", path):
        found += _resource_rule(one, at)
    for one, at in each(rule, "nonResourceRules", path):
        found += _verbs(one, at) + _urls(one, at)
    return found


def _subject(subject: Document, path: str) -> list[Cause]:
    kind = subject.get("kind", "")
    if kind not in _SUBJECTS:
        return [not_supported(f"{path}.kind", kind, sorted(_SUBJECTS))]
    field = _SUBJECTS[kind]
    at, own = f"{path}.{field}", subject.get(field)
    found = [] if own is not None else [required(at, f"{field} is required when subject kind is '{kind}'")]
    if own is not None:
        found += _named(own, at, account=kind == "ServiceAccount")
    return found + [
        forbidden(f"{path}.{other}", f"{other} is forbidden when subject kind is not '{name}'")
        for name, other in _SUBJECTS.items()
        if other != field and subject.get(other) is not None
    ]


def _named(subject: Document, path: str, *, account: bool) -> list[Cause]:
    name, namespace = subject.get("name", ""), subject.get("namespace", "")
    found = [] if name else [required(f"{path}.name")]
    if not account:
        return found
    if name and name != "*":
        found += names(dns_subdomain, name, f"{path}.name")
    if namespace:
        return found + names(dns_label, namespace, f"{path}.namespace")
    return [*found, required(f"{path}.namespace", "must specify namespace for service account")]


def _verbs(rule: Document, path: str) -> list[Cause]:
    verbs, at = rule.get("verbs") or [], f"{path}.verbs"
    if not verbs:
        return [required(at, "verbs must contain at least one value")]
    if "*" in verbs:
        return _alone(verbs, at)
    return [] if set(verbs) <= set(_VERBS) else [not_supported(at, verbs, _VERBS)]


def _alone(values: list[str], path: str) -> list[Cause]:
    """A star says everything."""
    if "*" in values and len(values) > 1:
        return [invalid_value(path, values, "if '*' is present, must not specify others")]
    return []


def _resource_rule(rule: Document, path: str) -> list[Cause]:
    found = _verbs(rule, path)
    for field in ("apiGroups", "resources"):
        values, at = rule.get(field) or [], f"{path}.{field}"
        found += _alone(values, at) if values else [required(at, "must contain at least one value")]
    namespaces, at = rule.get("namespaces") or [], f"{path}.namespaces"
    if not namespaces and not rule.get("clusterScope"):
        why = "resource rules that are not cluster scoped must supply at least one namespace"
        return [*found, required(at, why)]
    if "*" in namespaces:
        return found + _alone(namespaces, at)
    return found + [
        cause for index, one in enumerate(namespaces) for cause in names(dns_label, one, f"{at}[{index}]")
    ]


def _urls(rule: Document, path: str) -> list[Cause]:
    urls, at = rule.get("nonResourceURLs") or [], f"{path}.nonResourceURLs"
    if not urls:
        return [required(at, "nonResourceURLs must contain at least one value")]
    if "*" in urls:
        return _alone(urls, at)
    return [
        invalid_value(f"{at}[{index}]", url, "must be a path, with a wildcard at its end at most")
        for index, url in enumerate(urls)
        if not _is_path(url)
    ]


def _is_path(url: str) -> bool:
    stars = url.count("*")
    plain = url.startswith("/") and " " not in url and "//" not in url
    return plain and (not stars or (stars == 1 and url.endswith("/*")))


def _priority_level(level: Any, path: str) -> list[Cause]:
    del path
    spec, found = level["spec"], []
    kind, exempt, limited = spec.get("type", ""), spec.get("exempt"), spec.get("limited")
    if (level["metadata"].get("name") == _EXEMPT) != (kind == "Exempt"):
        why = "type must be 'Exempt' if and only if name is 'exempt'"
        found.append(invalid_value("spec.type", kind, why))
    if kind == "Exempt":
        if limited is not None:
            found.append(forbidden("spec.limited", "must be nil if the type is not Limited"))
        return found + _shares(exempt or {}, "spec.exempt")
    if kind != "Limited":
        return [*found, not_supported("spec.type", kind, ("Exempt", "Limited"))]
    if exempt is not None:
        found.append(forbidden("spec.exempt", "must be nil if the type is Limited"))
    if limited is None:
        return [*found, required("spec.limited", "must not be empty when type is Limited")]
    return found + _shares(limited, "spec.limited") + _borrowing(limited) + _response(limited)


def _shares(own: Document, path: str) -> list[Cause]:
    shares, lent = own.get("nominalConcurrencyShares", 0), own.get("lendablePercent", 0)
    found = []
    if shares < 0:
        why = "must be a non-negative integer"
        found.append(invalid_value(f"{path}.nominalConcurrencyShares", shares, why))
    if not 0 <= lent <= 100:
        found.append(invalid_value(f"{path}.lendablePercent", lent, "must be between 0 and 100, inclusive"))
    return found


def _borrowing(limited: Document) -> list[Cause]:
    share = limited.get("borrowingLimitPercent", 0)
    at, why = "spec.limited.borrowingLimitPercent", "if specified, must be a non-negative integer"
    return [invalid_value(at, share, why)] if share < 0 else []


def _response(limited: Document) -> list[Cause]:
    response, at = limited.get("limitResponse") or {}, "spec.limited.limitResponse"
    kind, queuing = response.get("type", ""), response.get("queuing")
    if kind == "Reject":
        why = "must be nil if limited.limitResponse.type is not Limited"
        return [forbidden(f"{at}.queuing", why)] if queuing is not None else []
    if kind != "Queue":
        return [not_supported(f"{at}.type", kind, ("Queue", "Reject"))]
    if queuing is None:
        why = "must not be empty if limited.limitResponse.type is Limited"
        return [required(f"{at}.queuing", why)]
    return _queuing(queuing, f"{at}.queuing")


def _queuing(queuing: Document, path: str) -> list[Cause]:
    found, queues, hand = [], queuing.get("queues", 0), queuing.get("handSize", 0)
    if queuing.get("queueLengthLimit", 0) <= 0:
        found.append(
            invalid_value(f"{path}.queueLengthLimit", queuing.get("queueLengthLimit", 0), "must be positive")
        )
    if not 0 < queues <= _MOST_QUEUES:
        why = f"must be positive, and not greater than {_MOST_QUEUES}"
        found.append(invalid_value(f"{path}.queues", queues, why))
    if hand <= 0:
        found.append(invalid_value(f"{path}.handSize", hand, "must be positive"))
    elif hand > queues:
        why = f"should not be greater than queues ({queues})"
        found.append(invalid_value(f"{path}.handSize", hand, why))
    elif math.ceil(sum(math.log2(queues - index) for index in range(min(hand, 100)))) > _HASH_BITS:
        why = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than 60"
        found.append(invalid_value(f"{path}.handSize", hand, why))
    return found


def _conditions(status: Any, path: str) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for one, at in each(status or {}, "conditions", path):
        kind = one.get("type", "")
        found += [duplicate(f"{at}.type", kind)] if kind in seen else []
        found += [] if kind else [required(f"{at}.type", "must not be empty")]
        seen.add(kind)
    return found


_STATUS: dict[str, tuple[Check, ...]] = {"": (_conditions,)}
RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "flowcontrol.v1.FlowSchema": {"": (_flow_schema,)},
    "flowcontrol.v1.FlowDistinguisherMethod": {"type": (one_of("ByNamespace", "ByUser"),)},
    "flowcontrol.v1.PriorityLevelConfiguration": {"": (_priority_level,)},
    "flowcontrol.v1.FlowSchemaStatus": _STATUS,
    "flowcontrol.v1.PriorityLevelConfigurationStatus": _STATUS,
}
