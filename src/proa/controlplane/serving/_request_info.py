"""What a method and a path mean. Pure.

https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import parse_qsl, unquote

import msgspec

from proa.controlplane.registry._options import is_set

_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_VERBS = {
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "GET": "get",
    "HEAD": "get",
    "DELETE": "delete",
}


class RequestInfo(msgspec.Struct, frozen=True):
    """A request, understood. Without a `plural` it is for a path that is no resource."""

    verb: str
    path: str
    query: Mapping[str, str] = {}
    group: str = ""
    version: str = ""
    namespace: str = ""
    plural: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    """What follows the subresource: the path behind a proxy."""

    @property
    def on_collection(self) -> bool:
        """Whether it is about all objects rather than one."""
        return not self.name


def parse(method: str, target: str) -> RequestInfo:
    """What a request line asks for; an unknown method has itself as the verb, in lower case."""
    return _remembered(method, target) if len(target) <= _REMEMBERED_BYTES else _parse(method, target)


_REMEMBERED_BYTES = 256


def _parse(method: str, target: str) -> RequestInfo:
    path, _, query_text = target.partition("?")
    query: dict[str, str] = {}
    for name, value in parse_qsl(query_text, keep_blank_values=True) if query_text else ():
        query.setdefault(name, value)  # Of values given twice the first one counts.
    verb = _VERBS.get(method, method.lower())
    parts = path.split("/")
    if "%" in path:
        parts = [unquote(part) for part in parts]
    parts = [part for part in parts if part]
    if parts[:1] == ["api"] and len(parts) >= 3:
        return _resource(verb, path, query, "", parts[1], parts[2:])
    if parts[:1] == ["apis"] and len(parts) >= 4:
        return _resource(verb, path, query, parts[1], parts[2], parts[3:])
    return RequestInfo(verb, path, query)


_remembered = lru_cache(2048)(_parse)
"""Clients ask for the same again and again."""


def _resource(
    verb: str, path: str, query: dict[str, str], group: str, version: str, parts: list[str]
) -> RequestInfo:
    if parts[0] == "watch" and verb == "get" and len(parts) > 1:
        parts = parts[1:]
        query = query | {"watch": "1"}
    namespace = ""
    if (
        parts[0] == "namespaces"
        and len(parts) > 2
        and not (not group and parts[2] in _NAMESPACE_SUBRESOURCES)
    ):
        namespace, parts = parts[1], parts[2:]
    plural, name, subresource = (*parts, "", "")[:3]
    rest = "/".join(parts[3:])
    if is_set(query, "watch") and verb == "get" and not subresource:
        verb = "watch"
        if name:
            query = query | {"fieldSelector": f"metadata.name={name}"}
            name = ""
    elif not name:
        verb = {"get": "list", "delete": "deletecollection"}.get(verb, verb)
    return RequestInfo(verb, path, query, group, version, namespace, plural, name, subresource, rest)
