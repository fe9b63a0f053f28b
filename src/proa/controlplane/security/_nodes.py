"""What a node may do: its own affairs, and to read what the pods that are bound to it need.

https://kubernetes.io/docs/reference/access-authn-authz/node/
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from proa.controlplane._json import Document
from proa.controlplane.storage import Event, Key, Store, Stored

from ._attributes import NO_OPINION, Attributes, Decision
from ._authentication import User
from ._default_roles import node_rules

PREFIX = "system:node:"
GROUP = "system:nodes"
ALLOWED = Decision(allowed=True)
_READ = frozenset({"get", "list", "watch"})
_BOUND = b'"nodeName":"'
_EPHEMERAL = b'"ephemeralContainers":'

Reference = tuple[str, str, str]
"""Resource, namespace and name of what a pod refers to."""


def node_of(user: User) -> str | None:
    """The name of the node that a user is; None for all other users."""
    if not user.name.startswith(PREFIX) or GROUP not in user.groups:
        return None
    return user.name.removeprefix(PREFIX)


def references(pod: Document) -> Iterator[Reference]:
    """What a pod's node must be able to read for it."""
    namespace, spec = pod["metadata"].get("namespace", ""), pod["spec"]
    yield "pods", namespace, pod["metadata"]["name"]
    yield "serviceaccounts", namespace, spec.get("serviceAccountName") or "default"
    for one in spec.get("imagePullSecrets", ()):
        yield "secrets", namespace, one.get("name", "")
    for key in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(key, ()):
            for resource, name in _of_environment(container):
                yield resource, namespace, name
    for volume in spec.get("volumes", ()):
        for resource, name in _of_volume(volume, pod["metadata"]["name"]):
            yield resource, namespace, name


def _of_environment(container: Document) -> Iterator[tuple[str, str]]:
    sources = [variable.get("valueFrom", {}) for variable in container.get("env", ())]
    for source in (*sources, *container.get("envFrom", ())):
        for key, resource in _KEYS.items():
            if key in source:
                yield resource, source[key].get("name", "")


_KEYS = {
    "secretKeyRef": "secrets",
    "configMapKeyRef": "configmaps",
    "secretRef": "secrets",
    "configMapRef": "configmaps",
    "nodePublishSecretRef": "secrets",
}


def _of_volume(volume: Document, pod: str) -> Iterator[tuple[str, str]]:
    for source in (volume, *(volume.get("projected", {}).get("sources") or ())):
        if "configMap" in source:
            yield "configmaps", source["configMap"].get("name", "")
        if "secret" in source:
            yield "secrets", source["secret"].get("secretName") or source["secret"].get("name", "")
    if "persistentVolumeClaim" in volume:
        yield "persistentvolumeclaims", volume["persistentVolumeClaim"].get("claimName", "")
    if "ephemeral" in volume:
        yield "persistentvolumeclaims", f"{pod}-{volume['name']}"
    for source in volume.values():
        if type(source) is dict:
            yield from ((_KEYS[key], source[key].get("name", "")) for key in _KEYS.keys() & source.keys())


class NodeAuthoriser:
    """Knows which node's pods refer to what. Follows the pods of a store from `follow` on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pods: dict[Key, tuple[str, str, frozenset[Reference]]] = {}
        self._reachable: dict[str, Counter[Reference]] = defaultdict(Counter)
        self._rules = node_rules()

    def follow(self) -> None:
        """Takes in the pods that there are, and their changes from now on."""
        for stored in self._store.scan("pods"):
            self._put(stored)
        self._store.subscribe("pods", self._on_pod)

    def _on_pod(self, event: Event) -> None:
        if event.current is None:
            self._drop(event.key)
        else:
            self._put(event.current)

    def _put(self, stored: Stored) -> None:
        known = self._pods.get(stored.key)
        if known is not None and known[1] == stored.uid and _EPHEMERAL not in stored.tail:
            return  # neither the node nor what is referred to ever changes
        if _BOUND not in stored.tail:
            return
        pod = stored.document()
        node = pod["spec"].get("nodeName")
        if node:
            self._drop(stored.key)
            found = frozenset(references(pod))
            self._pods[stored.key] = (node, stored.uid, found)
            self._reachable[node].update(found)

    def _drop(self, key: Key) -> None:
        known = self._pods.pop(key, None)
        if known is None:
            return
        node, _, found = known
        left = self._reachable[node]
        left.subtract(found)
        for reference in found:
            if not left[reference]:
                del left[reference]
        if not left:
            del self._reachable[node]

    def refers(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether some pod on the node needs an object."""
        return node in self._reachable and (resource, namespace, name) in self._reachable[node]

    def decide(self, wanted: Attributes) -> Decision:
        """Whether the user, being a node, may do what is wanted. No opinion on other users."""
        node = node_of(wanted.user)
        if node is None or not wanted.resource:
            return NO_OPINION
        decide = _SPECIAL.get((wanted.group, wanted.resource))
        if decide is not None:
            decision: Decision | None = decide(self, node, wanted)
            if decision is not None:
                return decision
        return ALLOWED if any(rule.allows(wanted) for rule in self._rules) else NO_OPINION

    def _referred(self, node: str, wanted: Attributes) -> Decision | None:
        if wanted.subresource == "status":
            readable = wanted.verb in {"get", "patch", "update"}
        else:
            readable = wanted.verb in _READ and not wanted.subresource
        if not readable:
            return Decision(False, "nodes can only read resources of this type")
        if not wanted.name:
            return Decision(False, "nodes can only read objects of this type by name")
        if self.refers(node, wanted.resource, wanted.namespace, wanted.name):
            return ALLOWED
        return _unrelated(node)

    def _volume(self, node: str, wanted: Attributes) -> Decision | None:
        stored = self._store.get(Key("persistentvolumes", "", wanted.name))
        claim: Any = stored.document()["spec"].get("claimRef", {}) if stored else {}
        where = ("persistentvolumeclaims", claim.get("namespace", ""), claim.get("name", ""))
        return ALLOWED if wanted.verb == "get" and self.refers(node, *where) else _unrelated(node)

    def _attachment(self, node: str, wanted: Attributes) -> Decision | None:
        stored = self._store.get(Key("volumeattachments.storage.k8s.io", "", wanted.name))
        own = stored is not None and stored.document()["spec"].get("nodeName") == node
        return ALLOWED if wanted.verb == "get" and own else _unrelated(node)

    def _account(self, node: str, wanted: Attributes) -> Decision | None:
        if wanted.subresource not in {"", "token"}:
            return NO_OPINION
        if wanted.verb != ("create" if wanted.subresource else "get"):
            return Decision(False, "nodes can only read service accounts and ask for tokens")
        return ALLOWED if self.refers(node, *_target(wanted)) else _unrelated(node)

    def _pod(self, node: str, wanted: Attributes) -> Decision | None:
        if wanted.subresource or wanted.verb not in _READ:
            return None
        if wanted.verb == "get":
            return ALLOWED if self.refers(node, *_target(wanted)) else _unrelated(node)
        if f"spec.nodeName={node}" in wanted.field_selector.split(","):
            return ALLOWED
        return Decision(False, "can only list/watch pods with spec.nodeName field selector")

    def _node(self, node: str, wanted: Attributes) -> Decision | None:
        if wanted.verb == "create" or wanted.name == node:
            return None
        if wanted.verb in {"list", "watch"} and f"metadata.name={node}" in wanted.field_selector.split(","):
            return None
        return Decision(False, f"node {node!r} cannot read or change another node")

    def _own(self, node: str, wanted: Attributes) -> Decision | None:
        """A lease or CSI node of the node's own name."""
        if wanted.resource == "leases" and wanted.namespace != "kube-node-lease":
            return Decision(False, "can only access leases in the kube-node-lease namespace")
        if wanted.verb == "create" and not wanted.name:
            return None  # admission looks at the name
        return (
            None
            if wanted.name == node
            else Decision(False, f"can only access the {wanted.resource} of the node's own name")
        )


_SPECIAL = {
    ("", "secrets"): NodeAuthoriser._referred,  # noqa: SLF001 - a table of its own methods
    ("", "configmaps"): NodeAuthoriser._referred,  # noqa: SLF001
    ("", "persistentvolumeclaims"): NodeAuthoriser._referred,  # noqa: SLF001
    ("", "persistentvolumes"): NodeAuthoriser._volume,  # noqa: SLF001
    ("storage.k8s.io", "volumeattachments"): NodeAuthoriser._attachment,  # noqa: SLF001
    ("", "serviceaccounts"): NodeAuthoriser._account,  # noqa: SLF001
    ("", "pods"): NodeAuthoriser._pod,  # noqa: SLF001
    ("", "nodes"): NodeAuthoriser._node,  # noqa: SLF001
    ("coordination.k8s.io", "leases"): NodeAuthoriser._own,  # noqa: SLF001
    ("storage.k8s.io", "csinodes"): NodeAuthoriser._own,  # noqa: SLF001
}


def _target(wanted: Attributes) -> Reference:
    return wanted.resource, wanted.namespace, wanted.name


def _unrelated(node: str) -> Decision:
    return Decision(False, f"no relationship found between node '{node}' and this object")
