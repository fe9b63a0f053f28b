"""Which Service a request is for: a plain function of the Ingresses and the request's host and path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from proa.kube.models import IntOrString
from proa.kube.models.networking_v1 import HTTPIngressPath, Ingress, IngressBackend, IngressClass

CLASS = "proa"
CONTROLLER = "proa.dev/ingress"
"""What an IngressClass calls this server."""
DOMAIN = "localhost"


@dataclass(frozen=True)
class Target:
    """The port of a Service, by name or number; None means its first."""

    namespace: str
    service: str
    port: IntOrString | None = None


@dataclass(frozen=True)
class _Rule:
    """A host and path that lead to a target."""

    host: str
    path: str
    exact: bool
    target: Target

    def matches(self, host: str, path: str) -> bool:
        here = path == self.path if self.exact else _begins(path, self.path)
        return here and matches_host(self.host, host)

    @property
    def rank(self) -> tuple[bool, bool, int, bool]:
        """What takes precedence: the very host, then a wildcard; the longest path; an exact one."""
        return (
            bool(self.host) and not self.host.startswith("*"),
            bool(self.host),
            len(self.path),
            self.exact,
        )


class Rules:
    """The rules of the Ingresses that are served, in the order in which they are looked at."""

    def __init__(self, ingresses: Iterable[Ingress]) -> None:
        mine = list(ingresses)
        self._rules = sorted(
            (rule for one in mine for rule in _rules(one)), key=lambda one: one.rank, reverse=True
        )
        self._hosts = {rule.host for rule in self._rules if rule.host}
        self._default = next((target for one in mine if (target := _default(one))), None)

    def find(self, host: str, path: str) -> Target | None:
        """Return where a request goes.

        A rule for its host comes first, then the Service that the host names, then rules for every host, and
        last a default.

        Args:
            host: The request's host in lower case, without its port.
            path: The request's path, beginning with a slash.
        """
        found = next((rule for rule in self._rules if rule.matches(host, path)), None)
        if found is not None and found.host:
            return found.target
        if not any(matches_host(known, host) for known in self._hosts) and (named := service_named(host)):
            return named
        return found.target if found is not None else self._default


def served(ingresses: Iterable[Ingress], classes: Iterable[IngressClass]) -> list[Ingress]:
    """Return the Ingresses that are for this server: of none of the classes, or of one with its controller.

    The class `proa` need not be there, but may be somebody else's.
    """
    controllers = {CLASS: CONTROLLER} | {
        one.metadata.name or "": one.spec.controller or "" for one in classes
    }
    return [one for one in ingresses if not (name := _class(one)) or controllers.get(name) == CONTROLLER]


def _class(ingress: Ingress) -> str | None:
    return ingress.spec.ingress_class_name or ingress.metadata.annotations.get("kubernetes.io/ingress.class")


def service_named(host: str) -> Target | None:
    """Return the Service that `NAME.NAMESPACE.localhost` names."""
    match host.split("."):
        case [name, namespace, domain] if domain == DOMAIN and name and namespace:
            return Target(namespace, name)
    return None


def matches_host(pattern: str, host: str) -> bool:
    """Tell whether a rule's host means this one; `*.` stands for exactly one label, and nothing for all."""
    if not pattern:
        return True
    if pattern.startswith("*."):
        first, _, rest = host.partition(".")
        return bool(first) and rest == pattern[2:].lower()
    return host == pattern.lower()


def _begins(path: str, prefix: str) -> bool:
    """Tell whether a path is `prefix` or below it, element by element."""
    prefix = prefix.rstrip("/")
    return path == prefix or path.startswith(prefix + "/")


def _rules(ingress: Ingress) -> Iterator[_Rule]:
    namespace = ingress.metadata.namespace or ""
    for rule in ingress.spec.rules:
        for path in rule.http.paths if rule.http else ():
            target = _target(namespace, path.backend)
            if target is not None:
                yield _Rule(rule.host or "", _path(path), path.path_type == "Exact", target)


def _path(path: HTTPIngressPath) -> str:
    return path.path or "/"


def _default(ingress: Ingress) -> Target | None:
    backend = ingress.spec.default_backend
    return _target(ingress.metadata.namespace or "", backend) if backend else None


def _target(namespace: str, backend: IngressBackend) -> Target | None:
    service = backend.service
    if service is None:
        return None
    port = service.port
    return Target(namespace, service.name, port.number or port.name)
