"""What is there in every cluster from its first moment: the namespaces, the `kubernetes` service,
priority classes, the default roles and bindings.
"""

from __future__ import annotations

import asyncio

from ._errors import StatusError
from ._json import Document
from .admission import PRIORITIES
from .registry import Catalogue, Options, Registry
from .security import Rule, default_policy, uncovered
from .security._default_roles import AUTOUPDATE, RBAC

NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


def objects(api_address: str, api_port: int, service_address: str) -> list[tuple[str, str, str, Document]]:
    """The objects: group, resource, namespace, document. The first thing that is written to a new cluster."""
    found: list[tuple[str, str, str, Document]] = [
        ("", "namespaces", "", {"metadata": {"name": name}}) for name in NAMESPACES
    ]
    labels = {"component": "apiserver", "provider": "kubernetes"}
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": api_port}
    service = {
        "metadata": {"name": "kubernetes", "labels": labels},
        "spec": {"type": "ClusterIP", "clusterIP": service_address, "ports": [port]},
    }
    found.append(("", "services", "default", service))
    endpoints = {
        "metadata": {"name": "kubernetes"},
        "subsets": [
            {
                "addresses": [{"ip": api_address}],
                "ports": [{"name": "https", "port": api_port, "protocol": "TCP"}],
            }
        ],
    }
    found.append(("", "endpoints", "default", endpoints))
    for name, value in PRIORITIES.items():
        document = {"metadata": {"name": name}, "value": value, "description": "For what the cluster needs."}
        found.append(("scheduling.k8s.io", "priorityclasses", "", document))
    return found + default_policy()


async def bootstrap(
    registry: Registry, catalogue: Catalogue, wanted: list[tuple[str, str, str, Document]]
) -> None:
    """Creates what is not there, and brings up to date what must be: the API's own endpoints, for its port
    may have changed, and the default roles and bindings, unless they are marked as somebody's own.

    All of it is one transaction or few; a part whose namespace is being deleted is left out.
    """
    await asyncio.gather(*(_ensure(registry, catalogue, *one) for one in wanted))


async def _ensure(
    registry: Registry, catalogue: Catalogue, group: str, plural: str, namespace: str, document: Document
) -> None:
    resource = catalogue.find(group, plural)
    assert resource is not None
    name = document["metadata"]["name"]
    stored = registry.store.latest(registry.key(resource, namespace, name))
    if stored is None:
        try:
            await registry.create(resource, namespace, document, Options())
        except StatusError as error:
            if error.code != 403:  # its namespace is being deleted: as somebody wished
                raise
    elif plural == "endpoints":
        await registry.update(resource, namespace, name, lambda _: document, Options())
    elif group == RBAC:
        await registry.update(resource, namespace, name, lambda old: reconciled(old, document), Options())


def reconciled(old: Document, wanted: Document) -> Document:
    """A default role or binding with all that it should have by now, and what was added to it; itself if
    that is no change.
    """
    if (old["metadata"].get("annotations") or {}).get(AUTOUPDATE) != "true":
        return old
    if "roleRef" in wanted:
        key = "subjects"
        missing = [one for one in wanted.get(key, ()) if one not in old.get(key, ())]
    else:
        key = "rules"
        held = [Rule.parse(rule) for rule in old.get(key, ())]
        missing = [rule for rule in wanted.get(key, ()) if uncovered(held, [Rule.parse(rule)])]
    return {**old, key: [*old.get(key, ()), *missing]} if missing else old
